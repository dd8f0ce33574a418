/** What the Express apps of both ports share: the OpenAPI route, the end of every list of routes, the error handler. */
import type { ServerResponse } from "node:http";
import express, {
  type ErrorRequestHandler,
  type Express,
  type NextFunction,
  type Request,
  type Response,
} from "express";
import type { Need } from "../../core/access.ts";
import { KvError } from "../../core/errors.ts";
import type { Telemetry } from "../../ports.ts";
import type { Gate } from "./gate.ts";
import { BUG_PROBLEM, invalid, type Problem, problemHeaders, problemOf, quote } from "./problem.ts";

export type AppPorts = {
  readonly telemetry: Telemetry;
  /** Whether the server is stopping, so that every answer closes its connection. */
  readonly draining: () => boolean;
  /** Told of everything that was thrown and is no answer, after the client got its 500. */
  readonly onBug: (error: unknown) => void;
  /** Undefined: everybody may do everything. */
  readonly gate?: Gate | undefined;
  /** Headers of an answer, names and values in turn. */
  readonly identity: (problem: Problem | undefined) => readonly string[];
};

export type Route = {
  /** The path as OpenAPI writes it; Express matches it too unless `path` is given. */
  readonly template: string;
  readonly path?: RegExp | string;
  /** GET, and HEAD with it, unless it says otherwise. Only what reads a body looks at it. */
  readonly method?: "POST" | "DELETE";
  /** The right that it takes, or whose key it reads; the OpenAPI document says the same. */
  readonly need: Need | { readonly readsKey: (request: Request) => Uint8Array };
  /** @param stillMay Throws once the caller has the right no more: an answer that goes on for long asks it again. */
  readonly answer: (request: Request, response: Response, stillMay: () => void) => void | Promise<void>;
};

/**
 * An Express app of GET routes, HEAD with each, and of POST and DELETE routes; several may have one path. Any other
 * method is 405, any other path 404.
 */
export function createGetApp(ports: AppPorts, routes: readonly Route[]): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.enable("strict routing");
  app.enable("case sensitive routing");
  // Queries are read by parse-query.ts, which refuses what it does not know.
  app.set("query parser", false);
  app.use((_request: Request, response: Response, next: NextFunction) => {
    if (ports.draining()) response.setHeader("Connection", "close");
    const identity = ports.identity(undefined);
    for (let index = 0; index < identity.length; index += 2) {
      response.setHeader(identity[index] ?? "", identity[index + 1] ?? "");
    }
    next();
  });
  app.use((request: Request, _response: Response, next: NextFunction) => {
    if (request.method !== "GET" && request.method !== "HEAD" && isFromElsewhere(request)) {
      throw new KvError("FORBIDDEN", "Cannot take the request: it comes from a page of another site.");
    }
    next();
  });
  for (const [template, answers] of Map.groupBy(routes, (route) => route.template)) {
    const route = app.route(answers[0]?.path ?? template);
    for (const each of answers) {
      const answer = guarded(each, ports.gate);
      if (each.method === "POST") route.post(answer);
      else if (each.method === "DELETE") route.delete(answer);
      else route.get(answer);
    }
    const methods = answers.map(({ method }) => method ?? "GET, HEAD").join(", ");
    route.all((request: Request, response: Response) => {
      response.setHeader("Allow", methods);
      const expected = methods.replace(/, (?=\w+$)/, " or ");
      throw new KvError("METHOD_NOT_ALLOWED", `Cannot ${quote(request.method)} this path: expected ${expected}.`);
    });
  }
  app.use((request: Request) => {
    throw new KvError("NOT_FOUND", `Cannot find the path ${quote(request.path)}: /openapi.json lists what is here.`);
  });
  app.use(errorHandler(ports));
  return app;
}

/**
 * Whether a browser sent it for a page of another origin, which it does unasked where a form could have sent the same. Only
 * browsers say `Sec-Fetch-Site`, to origins that they trust, or `Origin`.
 */
function isFromElsewhere({ headers }: Request): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const { origin } = headers;
  return origin !== undefined && URL.parse(origin)?.host !== headers.host;
}

/** A route's answer to those who may have it. */
function guarded(
  { need, answer }: Route,
  gate: Gate | undefined,
): (request: Request, response: Response) => void | Promise<void> {
  if (gate === undefined || need === "open") return (request, response) => answer(request, response, () => {});
  return (request, response) => {
    const stillMay = () => {
      const grant = gate.admit(request);
      if (typeof need === "string") gate.demand(grant, need);
      else gate.demandKey(grant, need.readsKey(request), false);
    };
    stillMay();
    return answer(request, response, stillMay);
  };
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, body: unknown): void {
  const text = JSON.stringify(body);
  response.setHeader("Content-Type", "application/json");
  response.setHeader("Content-Length", Buffer.byteLength(text));
  response.setHeader("Cache-Control", "no-store");
  response.end(text);
}

function errorHandler(ports: AppPorts): ErrorRequestHandler {
  return (error: unknown, _request, response, _next) => {
    const known = answerOf(error);
    ports.telemetry.count(`annulus.http.errors.${known === undefined ? "bug" : known.code.toLowerCase()}`);
    if (response.headersSent) {
      // Half a body is out. Breaking the connection is the only way left to say that it is not whole.
      response.destroy();
    } else if (!response.destroyed) {
      const problem = known === undefined ? BUG_PROBLEM : problemOf(known);
      response.writeHead(problem.status, problemHeaders(ports.identity(problem), problem));
      response.end(problem.body);
    }
    if (known === undefined) ports.onBug(error);
  };
}

/** The answer that an error is; undefined for a bug. Express's own refusals (a path it cannot decode) say 4xx. */
function answerOf(error: unknown): KvError | undefined {
  if (error instanceof KvError) return error;
  if (error instanceof Error && "status" in error && typeof error.status === "number" && error.status < 500) {
    return invalid(`Cannot read the request: ${error.message}.`);
  }
  return undefined;
}
