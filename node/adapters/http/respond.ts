/**
 * Writes answers: one head, one body, one call, and never to a client that has left.
 *
 * Headers go out as one flat array, which spares Node its header table. Every answer carries `KV-Node`, `KV-Epoch` and
 * `KV-Receipt`. When an error is answered while a long body is still on its way, the answer is sent in full, what
 * still comes is read and thrown away for a moment, and only then the connection is closed: closing at once would
 * make the kernel reset the connection, and the client would lose the answer (RFC 9112 §9.6).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Durability, Receipt } from "../../core/errors.ts";
import type { Sibling } from "../../core/version/record.ts";
import type { Time } from "../../ports.ts";
import type { ReadAnswer, WriteAnswer } from "../../services/coordinator.ts";
import { CONTENT_TYPE_DEFAULT, isContentType, KV_METHODS } from "./parse-request.ts";
import { DELETED, NEVER_WRITTEN, type Problem, problemHeaders } from "./problem.ts";
import { awaitsContinue, declaredLength } from "./read-body.ts";

export type NodeIdentity = {
  /** Sent as `KV-Node`. */
  readonly member: string;
  /** Told in the receipt of answers for which no replica was asked. */
  readonly durability: Durability;
  /** The epoch of the ring by which this node goes, sent as `KV-Epoch`; 0 before there is one. */
  readonly epoch: () => number;
};

export type ResponderOptions = NodeIdentity & {
  /** Longest declared body that is read to its end after an error, so that the connection can go on. */
  readonly drainBytesMax: number;
  /** How long and how much is still taken from a connection that is about to be closed. */
  readonly lingerMs: number;
  readonly lingerBytesMax: number;
};

/** Answers of the data API. Each does nothing when the client has left or was answered. */
export type Responder = {
  /** 204: the write is durable as the receipt says. */
  written(response: ServerResponse, answer: WriteAnswer): void;
  /** 200: the one value. */
  value(response: ServerResponse, answer: ReadAnswer, sibling: Sibling): void;
  /** 300: all siblings, as JSON. */
  siblings(response: ServerResponse, answer: ReadAnswer): void;
  /** 404: never written, or deleted; with the context of what was deleted. */
  missing(response: ServerResponse, answer: ReadAnswer): void;
  /** Any error; takes care of a body that was not read. */
  problem(request: IncomingMessage, response: ServerResponse, problem: Problem): void;
};

const ALLOW = KV_METHODS.join(", ");

/** The `KV-Receipt` header's value. */
export function formatReceipt({ acks, asked, zones, hinted, durability }: Receipt): string {
  return `acks=${acks}; asked=${asked}; zones=${zones}; hinted=${hinted}; durability=${durability}`;
}

/** @param draining Whether the server is about to stop: then every answer closes its connection. */
export function createResponder(time: Time, draining: () => boolean, options: ResponderOptions): Responder {
  const { member, epoch } = options;

  function send(response: ServerResponse, status: number, headers: string[], body: string | Uint8Array): void {
    if (response.destroyed || response.headersSent) return;
    if (draining()) headers.push("Connection", "close");
    response.writeHead(status, headers);
    if (body.length === 0) response.end();
    else response.end(body);
  }

  return {
    written(response, { context, receipt }) {
      send(
        response,
        204,
        ["KV-Context", context, "KV-Node", member, "KV-Epoch", String(epoch()), "KV-Receipt", formatReceipt(receipt)],
        "",
      );
    },
    value(response, { context, receipt }, { value = EMPTY, contentType }) {
      const headers = [
        "Content-Type",
        isContentType(contentType) ? contentType : CONTENT_TYPE_DEFAULT,
        "Content-Length",
        String(value.length),
        "Cache-Control",
        "no-store",
        "KV-Node",
        member,
        "KV-Epoch",
        String(epoch()),
        "KV-Receipt",
        formatReceipt(receipt),
      ];
      if (context !== undefined) headers.push("KV-Context", context);
      send(response, 200, headers, value);
    },
    siblings(response, { context = "", receipt, siblings }) {
      const body = JSON.stringify({ context, siblings: siblings.map(siblingView) });
      const headers = [
        "Content-Type",
        "application/json",
        "Content-Length",
        String(Buffer.byteLength(body)),
        "Cache-Control",
        "no-store",
        "KV-Node",
        member,
        "KV-Epoch",
        String(epoch()),
        "KV-Receipt",
        formatReceipt(receipt),
        "KV-Context",
        context,
      ];
      send(response, 300, headers, body);
    },
    missing(response, { context, receipt, siblings }) {
      const problem = siblings.length === 0 ? NEVER_WRITTEN : DELETED;
      const headers = problemHeaders(
        ["KV-Node", member, "KV-Epoch", String(epoch()), "KV-Receipt", formatReceipt(receipt)],
        problem,
      );
      if (context !== undefined) headers.push("KV-Context", context);
      send(response, 404, headers, problem.body);
    },
    problem(request, response, problem) {
      if (response.destroyed || response.headersSent) return;
      const headers = problemHeaders(problemIdentity(options, problem), problem);
      if (problem.status === 405) headers.push("Allow", ALLOW);
      const long = bodyIsLong(request, options.drainBytesMax) || problem.status === 408;
      if (!long || request.complete || awaitsContinue(request)) {
        if (long && !draining()) headers.push("Connection", "close");
        send(response, problem.status, headers, problem.body);
        return;
      }
      headers.push("Connection", "close");
      response.writeHead(problem.status, headers);
      response.flushHeaders(); // A HEAD has no body whose writing would send them.
      response.write(problem.body);
      linger(time, request, response, options);
    },
  };
}

const EMPTY = new Uint8Array(0);

/** What every answer of the data port carries, for one that is an error. */
export function problemIdentity(
  { member, durability, epoch }: NodeIdentity,
  problem: Pick<Problem, "receipt" | "acknowledged">,
): string[] {
  const receipt = problem.receipt ?? { acks: problem.acknowledged, asked: 0, zones: 0, hinted: 0, durability };
  return ["KV-Node", member, "KV-Epoch", String(epoch()), "KV-Receipt", formatReceipt(receipt)];
}

/** One of several concurrent values as clients see it. A deletion has no value. */
export function siblingView({ value, contentType, writtenAtMs }: Sibling): Record<string, unknown> {
  const writtenAt = formatInstant(writtenAtMs);
  if (value === undefined) return { contentType, writtenAt, deleted: true };
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return { contentType, value: bytes.toString("base64"), writtenAt, deleted: false };
}

/** The years that RFC 3339 can write. */
const INSTANT_MS_MAX = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** RFC 3339, UTC. A peer's clock may say anything: what is no date of four-digit years becomes the nearest. */
export function formatInstant(wallMs: number): string {
  return new Date(Math.min(Math.max(0, Number.isNaN(wallMs) ? 0 : wallMs), INSTANT_MS_MAX)).toISOString();
}

function bodyIsLong(request: IncomingMessage, drainBytesMax: number): boolean {
  const length = declaredLength(request);
  return length === undefined || length > drainBytesMax;
}

/** Reads on for a moment, so that the client can read its answer, and then ends the connection. */
function linger(time: Time, request: IncomingMessage, response: ServerResponse, options: ResponderOptions): void {
  let taken = 0;
  const timer = time.after(options.lingerMs, finish);
  function finish(): void {
    timer.cancel();
    if (!response.writableEnded) response.end();
  }
  request.on("data", (chunk: Buffer) => {
    taken += chunk.length;
    if (taken > options.lingerBytesMax) finish();
  });
  request.on("end", finish);
  request.on("close", finish);
  request.resume();
}
