/**
 * Under which names clients' requests are kept: `http.server.request.duration` and `http.server.active_requests` with the
 * attributes of OpenTelemetry's semantic conventions. Each name is made once; the hot path looks it up.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Telemetry } from "../../ports.ts";

/** Of what the store knows; everything else is `_OTHER`, so that no client can make up new time series. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE"]);
const OTHER = "_OTHER";

type Scheme = "http" | "https";
type ByMethod<T> = Map<string, T>;

const names: Readonly<Record<Scheme, ByMethod<Map<number, string>>>> = { http: new Map(), https: new Map() };

/** The name for a request that was answered, or whose client left before it was (no status then). */
export function durationName(request: IncomingMessage, response: ServerResponse): string {
  const scheme = schemeOf(request);
  const method = methodOf(request);
  const status = response.headersSent ? response.statusCode : 0;
  let byStatus = names[scheme].get(method);
  if (byStatus === undefined) {
    byStatus = new Map();
    names[scheme].set(method, byStatus);
  }
  let name = byStatus.get(status);
  if (name === undefined) {
    const end = status === 0 ? "error.type=client_left" : `http.response.status_code=${status}`;
    name = `http.server.request.duration{http.request.method=${method},http.route=/v1/kv/{key},url.scheme=${scheme},${end}}`;
    byStatus.set(status, name);
  }
  return name;
}

/** How many requests of one method and scheme are in work, or wait behind others of their connection. */
export type Active = { count: number };

/** Requests that were begun and not answered yet. Gauge `http.server.active_requests`. */
export class ActiveRequests {
  readonly #active: Readonly<Record<Scheme, ByMethod<Active>>>;

  /** Shows all of them from the start, with nothing in work. */
  constructor(telemetry: Telemetry) {
    this.#active = { http: shown(telemetry, "http"), https: shown(telemetry, "https") };
  }

  /** Those like this request, itself not among them unless it was added. */
  like(request: IncomingMessage): Active {
    return this.#active[schemeOf(request)].get(methodOf(request)) as Active;
  }
}

function shown(telemetry: Telemetry, scheme: Scheme): ByMethod<Active> {
  const byMethod = new Map([...METHODS, OTHER].map((method) => [method, { count: 0 }]));
  for (const [method, active] of byMethod) {
    const name = `http.server.active_requests{http.request.method=${method},url.scheme=${scheme}}`;
    telemetry.gauge(name, () => active.count);
  }
  return byMethod;
}

function methodOf({ method = "" }: IncomingMessage): string {
  return METHODS.has(method) ? method : OTHER;
}

function schemeOf({ socket }: IncomingMessage): Scheme {
  return "encrypted" in socket ? "https" : "http";
}
