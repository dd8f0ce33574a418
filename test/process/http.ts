/** Small HTTP and socket helpers of the process tests. */
import { connect } from "node:net";
import type { ClusterNode } from "../bench/cluster.ts";

export type Answered = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
};

export type Asked = {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream;
};

/** One request to a node's data port. `path` follows `/v1/kv/`, percent-encoded, query included. */
export async function ask(node: ClusterNode, method: string, path: string, asked: Asked = {}): Promise<Answered> {
  const response = await fetch(`http://${node.host}:${node.dataPort}/v1/kv/${path}`, {
    method,
    headers: { ...asked.headers },
    ...(asked.body === undefined ? {} : { body: asked.body, duplex: "half" }),
    signal: AbortSignal.timeout(10_000),
  });
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
}

/** What a problem document says (RFC 9457 with this project's members). */
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly required?: number;
  readonly acknowledged?: number;
};

/** The problem that an answer carries; throws when it carries none. */
export function problemOf(answer: Answered): Problem {
  const type = answer.headers.get("content-type") ?? "";
  if (!type.startsWith("application/problem+json")) throw new Error(`${answer.status} with ${type}: ${answer.body}`);
  return JSON.parse(answer.body.toString("utf8")) as Problem;
}

/** The values and the context of a 300, values as text and in the order they came. */
export function siblingsOf(answer: Answered): { context: string; values: string[] } {
  if (answer.status !== 300) throw new Error(`expected siblings, got ${answer.status} ${answer.body}`);
  const parsed = JSON.parse(answer.body.toString("utf8")) as { context: string; siblings: { value: string }[] };
  return {
    context: parsed.context,
    values: parsed.siblings.map(({ value }) => Buffer.from(value, "base64").toString("utf8")),
  };
}

export type RawOutcome = { readonly received: string; readonly closed: boolean };

/**
 * Sends bytes over a bare socket, piece by piece, and waits until the other side closes, at most `waitMs`.
 *
 * @param pieces Sent one after the other, `pauseMs` apart.
 */
export function sendRaw(
  port: number,
  pieces: readonly (string | Uint8Array)[],
  { waitMs, pauseMs = 0 }: { waitMs: number; pauseMs?: number },
): Promise<RawOutcome> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(port, "127.0.0.1");
    const end = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ received, closed });
    };
    const timer = setTimeout(() => end(false), waitMs);
    const sendFrom = (index: number): void => {
      const piece = pieces[index];
      if (piece === undefined || socket.destroyed) return;
      socket.write(piece, () => setTimeout(() => sendFrom(index + 1), pauseMs));
    };
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
    });
    socket.on("connect", () => sendFrom(0));
    // A reset by the server while bytes are still being sent is a way of closing.
    socket.on("error", () => end(true));
    socket.on("close", () => end(true));
  });
}
