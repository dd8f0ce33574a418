/**
 * Answers `/v1/kv/{key}`: the one route that every client's data goes through.
 *
 * A plain `(request, response)` function without a framework around it, because Express costs several times what all
 * of a quorum read does here. In production it stands in front of Express on one `node:http` server; it runs just as
 * well inside Express, and one contract suite holds both to the same answers. It parses and bounds (`parse-*.ts`),
 * reads the body (`read-body.ts`), calls the coordinator and writes what it said (`respond.ts`, `problem.ts`); it
 * decides nothing about data.
 *
 * Mount it on a server's `request` and `checkContinue` events alike: it tells a waiting client to go on itself,
 * after the body's length was found to be within bounds.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { KvError } from "../../core/errors.ts";
import type { Span, Telemetry, Time } from "../../ports.ts";
import type { Coordinator } from "../../services/coordinator.ts";
import type { Gate } from "./gate.ts";
import type { HttpHandler } from "./http-server.ts";
import { acceptsJson, KV_PREFIX, type KvRequest, parseKvRequest, type RingBounds } from "./parse-request.ts";
import { BUG_PROBLEM, problemOf, WireError } from "./problem.ts";
import { readBody } from "./read-body.ts";
import { ActiveRequests, durationName } from "./request-figures.ts";
import { createResponder, type NodeIdentity } from "./respond.ts";

export type KvHandlerPorts = {
  readonly coordinator: Coordinator;
  readonly telemetry: Telemetry;
  readonly time: Time;
  /** The newest ring's bounds. Called by every request: be quick. */
  readonly bounds: () => RingBounds;
  /** Whether the server is stopping, so that every answer closes its connection. */
  readonly draining: () => boolean;
  /** Whether a request read at this moment may have waited here while the process stood still; see `held-up.ts`. */
  readonly isWaking: (nowMs: number) => boolean;
  /** Told of everything that was thrown and is no answer, after the client got its 500. The node should stop. */
  readonly onBug: (error: unknown) => void;
  /** Undefined: everybody may read and write every key. */
  readonly gate?: Gate | undefined;
  /** Shared by all ports of a node that answer for keys; one of its own when left out. */
  readonly places?: Places | undefined;
};

/** How many requests about keys a node has in work, and how many wait pipelined behind others that were not answered yet. */
export type Places = { inFlight: number; waiting: number; readonly active: ActiveRequests };

/** None is taken yet. */
export function createPlaces(telemetry: Telemetry): Places {
  return { inFlight: 0, waiting: 0, active: new ActiveRequests(telemetry) };
}

export type KvHandlerOptions = Omit<NodeIdentity, "epoch"> & {
  /** Most bytes of key and value together, 1_025 .. 1_048_576. */
  readonly pairBytesMax: number;
  /**
   * Requests that may be read, coordinated or waiting at once; the next one gets 429. It bounds memory, which grows with
   * pair size; how many are worth working on at once the coordinator finds out, and a request beyond gets 429 as well.
   */
  readonly inFlightMax: number;
  /** How long a body may take to arrive. A slow client holds one of `inFlightMax` for that long. */
  readonly bodyTimeoutMs: number;
};

/** How long a connection is kept open for an answer to be read after its request was given up. */
const LINGER_MS = 2_000;
const LINGER_BYTES_MAX = 1_048_576;

/** Whether a request target belongs to this handler. */
export function isKvPath(url: string): boolean {
  return url.startsWith(KV_PREFIX);
}

/**
 * Makes the handler. It never throws and never rejects: whatever happens, the client is answered (or has left).
 *
 * Telemetry: `http.server.request.duration` by method and status, `http.server.active_requests` by method, counters `annulus.http.errors.<code>`.
 */
export function createKvHandler(ports: KvHandlerPorts, options: KvHandlerOptions): HttpHandler {
  const { coordinator, telemetry, time, bounds, gate, places = createPlaces(telemetry) } = ports;
  const { pairBytesMax, inFlightMax } = options;
  const respond = createResponder(time, ports.draining, {
    member: options.member,
    durability: options.durability,
    epoch: () => bounds().epoch,
    drainBytesMax: pairBytesMax,
    lingerMs: LINGER_MS,
    lingerBytesMax: LINGER_BYTES_MAX,
  });
  // Made once: under overload an error with its stack would be the dearest part of saying no.
  const overloaded = problemOf(
    new KvError(
      "OVERLOADED",
      "Cannot take the request: as many are in flight here as can be served in time; repeat it later or elsewhere.",
    ),
  );
  const waking = new KvError(
    "NOT_READY",
    "Cannot take the write: this node stood still, and cannot tell how old the request is. Nothing was done; repeat it.",
  );

  async function execute(
    request: IncomingMessage,
    response: ServerResponse,
    parsed: KvRequest,
    span: Span | undefined,
  ): Promise<void> {
    const { key } = parsed;
    const choices = span === undefined ? parsed.options : { ...parsed.options, trace: span.context };
    switch (parsed.method) {
      case "GET":
      case "HEAD":
        return answerRead(request, response, key, choices);
      case "PUT": {
        const limits = { bytesMax: pairBytesMax - key.length, timeoutMs: options.bodyTimeoutMs };
        const value = await readBody(time, request, response, limits);
        if (value === undefined) return;
        const { contentType, base, ttlS, idempotencyKey, isFirstAttempt, onlyIfAbsent } = parsed;
        const command = { key, value, contentType, base, ttlS, idempotencyKey, isFirstAttempt, onlyIfAbsent };
        return respond.written(response, await coordinator.put(command, choices));
      }
      case "DELETE": {
        const { context, idempotencyKey } = parsed;
        return respond.written(response, await coordinator.delete({ key, context, idempotencyKey }, choices));
      }
    }
  }

  async function answerRead(
    request: IncomingMessage,
    response: ServerResponse,
    key: Uint8Array,
    choices: KvRequest["options"],
  ): Promise<void> {
    const answer = await coordinator.get(key, choices);
    const { siblings, context, receipt } = answer;
    const [only] = siblings;
    if (only !== undefined && siblings.length === 1 && only.value !== undefined) {
      respond.value(response, answer, only);
      return;
    }
    if (siblings.every((sibling) => sibling.value === undefined)) {
      respond.missing(response, answer);
      return;
    }
    if (!acceptsJson(request.headers.accept)) {
      throw new KvError(
        "CONFLICT",
        `Cannot show one value: found ${siblings.length} siblings, and Accept excludes application/json; ` +
          "read them as JSON, or settle them by writing with the KV-Context of this answer.",
        { details: context === undefined ? { receipt } : { receipt, context } },
      );
    }
    respond.siblings(response, answer);
  }

  function fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (error instanceof KvError || error instanceof WireError) {
      telemetry.count(`annulus.http.errors.${error.code.toLowerCase()}`);
      respond.problem(request, response, problemOf(error));
      return;
    }
    telemetry.count("annulus.http.errors.bug");
    respond.problem(request, response, BUG_PROBLEM);
    ports.onBug(error);
  }

  async function serve(request: IncomingMessage, response: ServerResponse, startedMs: number): Promise<void> {
    const { method = "_OTHER", headers } = request;
    const span = telemetry.tracer?.receive(method, headers.traceparent as string | undefined);
    try {
      const grant = gate?.admit(request);
      const parsed = parseKvRequest(request, bounds);
      if (grant !== undefined) gate?.demandKey(grant, parsed.key, isWrite(parsed.method));
      if (isWrite(parsed.method) && ports.isWaking(startedMs)) throw waking;
      await execute(request, response, parsed, span);
    } catch (error) {
      fail(request, response, error);
    }
    places.inFlight -= 1;
    places.active.like(request).count -= 1;
    telemetry.observe(durationName(request, response), time.monotonicMs() - startedMs);
    span?.end({ "http.response.status_code": response.statusCode });
  }

  function shed(request: IncomingMessage, response: ServerResponse): void {
    telemetry.count("annulus.http.errors.overloaded");
    respond.problem(request, response, overloaded);
  }

  /** Takes a request whose turn it is into work, or refuses it. */
  function begin(request: IncomingMessage, response: ServerResponse, startedMs: number): void {
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (places.inFlight >= inFlightMax || coordinator.isFull(isRead ? "read" : "write")) {
      shed(request, response);
      return;
    }
    places.inFlight += 1;
    places.active.like(request).count += 1;
    void serve(request, response, startedMs);
  }

  return (request, response) => {
    const startedMs = time.monotonicMs();
    if (response.socket !== null) return begin(request, response, startedMs);
    // Those that wait have places of their own: else a client that takes no answers could have all with one connection.
    if (places.waiting >= inFlightMax) return shed(request, response);
    places.waiting += 1;
    const active = places.active.like(request);
    active.count += 1;
    whenItsTurn(request, response, (hasLeft) => {
      places.waiting -= 1;
      active.count -= 1;
      if (!hasLeft) begin(request, response, startedMs);
    });
  };
}

function isWrite(method: KvRequest["method"]): boolean {
  return method === "PUT" || method === "DELETE";
}

/**
 * Holds a pipelined request back until the one before it on its connection was answered. Node hands them over at
 * once, but a GET that follows a PUT must see it (RFC 9112 §9.3.2). A response without a socket is one that waits.
 */
function whenItsTurn(request: IncomingMessage, response: ServerResponse, run: (hasLeft: boolean) => void): void {
  let settled = false;
  const settle = (hasLeft: boolean) => {
    if (settled) return;
    settled = true;
    run(hasLeft);
  };
  response.once("socket", () => settle(false));
  request.once("close", () => settle(true));
}
