/**
 * A `node:http` server with every bound set, for the data port and the admin port.
 *
 * What is not a request (malformed bytes, headers that never end, a connection that sends nothing) is answered with a
 * problem document where an answer can still be understood, and its connection is closed; the others go on. Stopping
 * is graceful: no new connections, idle ones closed, requests in flight answered with `Connection: close`.
 */
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Telemetry } from "../../ports.ts";
import type { Credentials } from "../tls/credentials.ts";
import { OpenConnections } from "./open-connections.ts";
import { problemHeaders, problemOf, quote, WireError } from "./problem.ts";

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

export type HttpServerOptions = {
  /** Address to listen on; port 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** Beyond it the one on which nothing was asked for longest is closed. Each costs some 20 KiB. */
  readonly connectionsMax: number;
  /** Time for request line and headers, from the first byte or the connection's start. */
  readonly headersTimeoutMs: number;
  /** Time for a whole request with its body; bounds what a slow or endless body can hold. */
  readonly requestTimeoutMs: number;
  /** Requests that one connection may send; the answer to the last says that it is closed. */
  readonly requestsPerConnectionMax: number;
  /** How long an idle connection is kept. Longer than a load balancer's, or requests run into a closing connection. */
  readonly keepAliveTimeoutMs: number;
  /** With them the port speaks TLS only, and asks for certificates where they hold authorities. */
  readonly tls?: Credentials | undefined;
};

export type HttpServer = {
  /** Listens; resolves to the port. Rejects when the address is taken. */
  start(): Promise<number>;
  /**
   * Takes no more connections, lets what is in flight finish, closes the rest after `graceMs`. Resolves when the last
   * connection is gone.
   */
  stop(graceMs: number): Promise<void>;
};

/** How long clients may take on either port, in ms; docs/security.md says the same. */
export const HTTP_TIMES = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  /** Longer than the 60 s after which usual load balancers drop an idle connection. */
  keepAliveTimeoutMs: 75_000,
} as const;

/** How long the body of one pair may take, in ms. */
export const BODY_TIMEOUT_MS = 30_000;

/** Bytes of request line and headers together: room for the longest key, percent-encoded, and a long context token. */
export const HEADER_BYTES_MAX = 32_768;
/** A client that takes nothing of its answer for so long is gone; longer than the longest request may take. */
const SILENCE_MS_MAX = 630_000;
/** How long a connection with an error on it stays open, so that the client can read the answer. */
const LINGER_MS = 1_000;

/**
 * @param identity Headers of every answer, names and values in turn, also of those to what is no request.
 * @param makeHandler Gets a function that says whether the server is stopping: then its answers must carry
 *   `Connection: close`. The handler must never throw.
 */
export function createHttpServer(
  telemetry: Telemetry,
  identity: (error: WireError) => readonly string[],
  makeHandler: (draining: () => boolean) => HttpHandler,
  options: HttpServerOptions,
): HttpServer {
  let stopping = false;
  const handler = makeHandler(() => stopping);
  const answerWireError = (response: ServerResponse, error: WireError) => {
    const problem = problemOf(error);
    response.writeHead(problem.status, [...problemHeaders(identity(error), problem), "Connection", "close"]);
    response.end(problem.body);
  };
  const dispatch: HttpHandler = (request, response) => {
    const { url = "", socket } = request;
    const count = connections.asked(socket);
    // Sent behind the one whose answer closes the connection: it is not done, and its client knows from that answer.
    if (count > options.requestsPerConnectionMax) return;
    if (count === options.requestsPerConnectionMax) response.shouldKeepAlive = false;
    const hosts = hostsOf(request);
    if (hosts > 1 || (hosts === 0 && request.httpVersion === "1.1")) {
      const message = `Cannot read the request: expected one Host header, found ${hosts}.`;
      answerWireError(response, new WireError("MALFORMED", message));
      return;
    }
    if (url.charCodeAt(0) !== 0x2f) request.url = originForm(url);
    handler(request, response);
  };
  // `requireHostHeader` is off since Node's own refusal has no body; `dispatch` asks for it.
  const server = serverOf(
    options,
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      requireHostHeader: false,
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: options.requestTimeoutMs,
      keepAliveTimeout: options.keepAliveTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, options.headersTimeoutMs, options.requestTimeoutMs),
      keepAlive: true,
      noDelay: true,
    },
    dispatch,
  );
  server.maxHeadersCount = 0; // Bounded in bytes; a limit in number would drop headers silently.
  server.timeout = SILENCE_MS_MAX;
  server.on("checkContinue", dispatch);
  server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => {
    const found = quote(request.headers.expect ?? "");
    const message = `Cannot meet the expectation: expected 100-continue or none, found ${found}.`;
    answerWireError(response, new WireError("EXPECTATION_FAILED", message));
  });
  const connections = new OpenConnections(
    server,
    { max: options.connectionsMax, isSecure: options.tls !== undefined },
    () => telemetry.count("annulus.http.connections_refused"),
  );
  server.on("clientError", (error: Error, socket: Socket) => {
    telemetry.count("annulus.http.client_errors");
    refuse(error, socket, identity);
  });
  return {
    async start() {
      const port = await listen(server, options);
      // A connection that could not be accepted (no file descriptors) is reported here; the next one may be.
      server.on("error", (error) => telemetry.log("warn", "http.accept_failed", { port, reason: error.message }));
      return port;
    },
    stop(graceMs) {
      stopping = true;
      return close(server, connections, graceMs);
    },
  };
}

function serverOf({ tls, headersTimeoutMs }: HttpServerOptions, settings: ServerOptions, handler: HttpHandler): Server {
  if (tls === undefined) return createServer(settings, handler);
  const { options } = tls.current();
  const isMutual = options.ca !== undefined;
  const server = createSecureServer(
    {
      ...settings,
      ...options,
      requestCert: isMutual,
      rejectUnauthorized: isMutual,
      handshakeTimeout: headersTimeoutMs,
    },
    handler,
  );
  tls.onChange((identity) => server.setSecureContext(identity.options));
  return server;
}

function listen(server: Server, { host, port }: HttpServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.removeListener("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function close(server: Server, connections: OpenConnections, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.closeAllConnections();
      connections.destroyAll(); // The server does not count those that are no requests yet.
    }, graceMs);
    // The only error close() knows is that the server was not listening: then there is nothing to wait for either.
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    // It closes idle ones, but takes one without a first request for one with a request under way.
    connections.destroySilent();
  });
}

/** How many Host headers were sent. Of several Node shows the first, and whoever stands before it may go by the last (RFC 9112 §3.2). */
function hostsOf({ rawHeaders }: IncomingMessage): number {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  return hosts;
}

/** Turns a proxy's `http://host/path` into `/path` (RFC 9112 §3.2.2); everything else stays and finds no route. */
function originForm(url: string): string {
  const match = /^https?:\/\/[^/?#]*/i.exec(url);
  if (match === null) return url;
  const rest = url.slice(match[0].length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** What the parser's error means to a client, or undefined when the connection itself broke. */
function wireErrorOf(error: Error): WireError | undefined {
  const { code, reason } = error as Error & { code?: unknown; reason?: unknown };
  if (code === "HPE_HEADER_OVERFLOW") {
    const message = `Cannot read the request: expected at most ${HEADER_BYTES_MAX} bytes before the body, found more.`;
    return new WireError("HEADERS_TOO_LARGE", message);
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new WireError(
      "REQUEST_TIMEOUT",
      "Cannot read the request: expected all of it in time, found it unfinished.",
    );
  }
  if (typeof code !== "string" || !code.startsWith("HPE_")) return undefined;
  const why = typeof reason === "string" ? reason : code;
  return new WireError("MALFORMED", `Cannot read the request: expected HTTP/1.1, found: ${why}.`);
}

/**
 * Ends a connection on which the parser gave up.
 *
 * An answer is only written where it answers the bytes at fault. A request before them on the same connection that
 * was received whole is answered as usual and then the connection is closed: told 400, its client would believe that
 * its write was not done.
 */
function refuse(error: Error, socket: Socket, identity: (error: WireError) => readonly string[]): void {
  if (socket.writableEnded) return; // More bytes after the first error; the linger below ends it.
  const wireError = wireErrorOf(error);
  // Node has no public name for "the response that this connection waits for"; its own default handler asks the same.
  const pending = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage;
  if (wireError === undefined || !socket.writable || pending?.headersSent === true) {
    socket.destroy();
    return;
  }
  if (pending?.req.complete === true) {
    pending.shouldKeepAlive = false;
    return;
  }
  const problem = problemOf(wireError);
  const headers = [...problemHeaders(identity(wireError), problem), "Connection", "close"];
  let head = `HTTP/1.1 ${problem.status} ${REASONS[wireError.code]}\r\n`;
  for (let index = 0; index < headers.length; index += 2) head += `${headers[index]}: ${headers[index + 1]}\r\n`;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.end(`${head}\r\n${problem.body}`);
}

const REASONS: Readonly<Record<WireError["code"], string>> = {
  MALFORMED: "Bad Request",
  REQUEST_TIMEOUT: "Request Timeout",
  EXPECTATION_FAILED: "Expectation Failed",
  HEADERS_TOO_LARGE: "Request Header Fields Too Large",
};
