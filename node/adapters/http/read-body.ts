/**
 * Reads one request body into one buffer, with its limit known before the first byte is taken.
 *
 * A declared length over the limit is refused without reading; a chunked body is counted and given up at the limit;
 * a body that does not arrive in time is given up too. A small body comes in one piece, and that piece is the answer
 * without a copy. What happens to the connection afterwards is `respond.ts`'s affair.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { KvError } from "../../core/errors.ts";
import type { Time } from "../../ports.ts";
import { WireError } from "./problem.ts";

export type BodyLimits = {
  /** Most bytes of the body. */
  readonly bytesMax: number;
  /** How long the whole body may take from here on. */
  readonly timeoutMs: number;
};

const EMPTY = new Uint8Array(0);

/** Requests whose clients were told to go on: their bodies are under way like any other. */
const toldToGoOn = new WeakSet<IncomingMessage>();

/** Whether the client still waits for `100 Continue` before it sends its body. HTTP/1.0 knows no such thing. */
export function awaitsContinue(request: IncomingMessage): boolean {
  return request.headers.expect !== undefined && request.httpVersion === "1.1" && !toldToGoOn.has(request);
}

/** Tells the client to go on, if it waits for that. */
export function tellToGoOn(request: IncomingMessage, response: ServerResponse): void {
  if (!awaitsContinue(request)) return;
  toldToGoOn.add(request);
  response.writeContinue();
}

/** Bytes that the client announced; undefined for a chunked body, whose length nobody knows yet. */
export function declaredLength(request: IncomingMessage): number | undefined {
  if (request.headers["transfer-encoding"] !== undefined) return undefined;
  const length = request.headers["content-length"];
  // The parser has refused everything that is not a number.
  return length === undefined ? 0 : Number(length);
}

/**
 * Reads the body, telling the client to go on first if it waits for that.
 *
 * @returns The body, owned by the caller; undefined when the client left before its end: there is nobody to answer.
 * @throws {KvError} TOO_LARGE. What was not read is still on the connection.
 * @throws {WireError} REQUEST_TIMEOUT.
 */
export function readBody(
  time: Time,
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
): Promise<Uint8Array | undefined> {
  const length = declaredLength(request);
  if (length === 0) return Promise.resolve(EMPTY);
  if (length !== undefined && length > limits.bytesMax) return Promise.reject(tooLarge(limits.bytesMax, length));
  tellToGoOn(request, response);
  return length === undefined ? readChunked(time, request, limits) : readSized(time, request, length, limits);
}

function readSized(
  time: Time,
  request: IncomingMessage,
  length: number,
  limits: BodyLimits,
): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    let body: Uint8Array | undefined;
    let filled = 0;
    const timer = time.after(limits.timeoutMs, () => reject(tooSlow(limits.timeoutMs, filled)));
    request.on("data", (chunk: Buffer) => {
      if (filled === 0 && chunk.length === length) {
        filled = length;
        body = chunk;
      } else {
        body ??= Buffer.allocUnsafeSlow(length);
        body.set(chunk, filled);
        filled += chunk.length;
      }
      if (filled < length) return;
      timer.cancel();
      resolve(body);
    });
    request.on("close", () => {
      timer.cancel();
      resolve(undefined);
    });
  });
}

function readChunked(time: Time, request: IncomingMessage, limits: BodyLimits): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let filled = 0;
    let over = false;
    const timer = time.after(limits.timeoutMs, () => {
      over = true;
      reject(tooSlow(limits.timeoutMs, filled));
    });
    request.on("data", (chunk: Buffer) => {
      if (over) return;
      filled += chunk.length;
      if (filled <= limits.bytesMax) {
        chunks.push(chunk);
        return;
      }
      over = true;
      chunks = [];
      timer.cancel();
      reject(tooLarge(limits.bytesMax, undefined));
    });
    request.on("end", () => {
      if (over) return;
      timer.cancel();
      const [only] = chunks;
      resolve(only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks, filled));
    });
    request.on("close", () => {
      timer.cancel();
      resolve(undefined);
    });
  });
}

function tooLarge(bytesMax: number, found: number | undefined): KvError {
  const size = found === undefined ? "more" : String(found);
  return new KvError(
    "TOO_LARGE",
    `Cannot store the pair: expected a value of at most ${bytesMax} bytes beside this key, found ${size}.`,
  );
}

function tooSlow(timeoutMs: number, found: number): WireError {
  return new WireError(
    "REQUEST_TIMEOUT",
    `Cannot read the body: expected all of it within ${timeoutMs} ms, found ${found} bytes.`,
  );
}
