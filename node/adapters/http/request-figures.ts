/**
 * Under which name the time of a client's request is kept: `http.server.request.duration` with the attributes of
 * OpenTelemetry's semantic conventions. Each name is made once; the hot path looks it up by method and status.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

/** Of what the store knows; everything else is `_OTHER`, so that no client can make up new time series. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE"]);

const names = new Map<string, Map<number, string>>();

/** The name for a request that was answered, or whose client left before it was (no status then). */
export function durationName({ method = "", socket }: IncomingMessage, response: ServerResponse): string {
  const known = METHODS.has(method) ? method : "_OTHER";
  const status = response.headersSent ? response.statusCode : 0;
  let byStatus = names.get(known);
  if (byStatus === undefined) {
    byStatus = new Map();
    names.set(known, byStatus);
  }
  let name = byStatus.get(status);
  if (name === undefined) {
    const scheme = "encrypted" in socket ? "https" : "http";
    const end = status === 0 ? "error.type=client_left" : `http.response.status_code=${status}`;
    name = `http.server.request.duration{http.request.method=${known},http.route=/v1/kv/{key},url.scheme=${scheme},${end}}`;
    byStatus.set(status, name);
  }
  return name;
}
