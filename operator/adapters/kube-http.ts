/**
 * Single requests to the API server: signed in by @kubernetes/client-node, sent by undici, answers as plain JSON.
 *
 * The library's own typed clients are not used: they turn texts into dates and back, and know no custom kinds.
 */
import { type HttpMethod, type KubeConfig, RequestContext } from "@kubernetes/client-node";
import { type Dispatcher, fetch, type Response } from "undici";
import { KubeError, type KubeFailure } from "../ports.ts";

export type KubeRequest = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Ends the request and its answer's stream. */
  readonly signal: AbortSignal;
};

/**
 * One pool of connections for each kubeconfig. The library makes a new one at every sign-in, which would mean a new TLS
 * handshake for every request; only the headers are taken anew, for tokens are rotated.
 */
const pools = new WeakMap<KubeConfig, Dispatcher>();

/**
 * Sends one request; resolves once the answer's head is there.
 *
 * @throws {KubeError} Anything but a 2xx answer.
 */
export async function send(config: KubeConfig, request: KubeRequest): Promise<Response> {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new KubeError("refused", "the kubeconfig names no cluster");
  const url = new URL(cluster.server + request.path);
  for (const [key, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined && value !== "") url.searchParams.set(key, value);
  }
  const context = new RequestContext(url.toString(), request.method as HttpMethod);
  let response: Response;
  try {
    await config.applySecurityAuthentication(context);
    const dispatcher = pools.get(config) ?? (context.getDispatcher() as Dispatcher | undefined);
    if (dispatcher !== undefined) pools.set(config, dispatcher);
    response = await fetch(url, {
      method: request.method,
      headers: {
        ...context.getHeaders(),
        Accept: "application/json",
        ...(request.body === undefined ? {} : { "Content-Type": request.contentType ?? "application/json" }),
      },
      signal: request.signal,
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      ...(dispatcher === undefined ? {} : { dispatcher }),
    } as Parameters<typeof fetch>[1]);
  } catch (cause) {
    // Certificates may have been renewed, or the server moved: the next request connects anew.
    if (!request.signal.aborted) pools.delete(config);
    throw new KubeError("unavailable", `${request.method} ${url.pathname}: ${reasonOf(cause)}`, { cause });
  }
  if (response.ok) return response;
  const message = await messageOf(response);
  throw new KubeError(failureOf(response.status), `${request.method} ${url.pathname}: ${response.status} ${message}`);
}

/** Reads an answer whole. */
export async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (cause) {
    throw new KubeError("unavailable", `the API server's answer broke off: ${reasonOf(cause)}`, { cause });
  }
}

/** What an error of the network says. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

function failureOf(status: number): KubeFailure {
  if (status === 404) return "not-found";
  if (status === 409) return "conflict";
  if (status === 401 || status === 429 || status >= 500 || status === 410) return "unavailable";
  return "refused";
}

async function messageOf(response: Response): Promise<string> {
  try {
    const status = (await response.json()) as { message?: unknown };
    return typeof status.message === "string" ? status.message : "";
  } catch (error) {
    return `(its answer could not be read: ${reasonOf(error)})`;
  }
}
