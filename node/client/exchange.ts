/** One request on its way through Undici's pool, until whoever asked has the whole answer or knows that none comes. */
import type { Dispatcher } from "undici";

/** One answer that is whole. */
export type WholeAnswer = {
  readonly status: number;
  /** By lower-case name. Values are Latin-1. */
  readonly headers: AnswerHeaders;
  readonly body: Buffer;
};

/** What came several times is a list. */
export type AnswerHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Who waits for an answer. One of the first two is called, once. */
export type Waiting = {
  answered(answer: WholeAnswer): void;
  /** No answer comes any more. `isStarted`: the request may have reached the node. */
  failed(error: Error, isStarted: boolean): void;
  /** The pool has done with it; also after `failed`, where it was given up. */
  left(): void;
};

const EMPTY = Buffer.alloc(0);

/** One request. After `failed` nothing of it is sent that was not sent before. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly request: Dispatcher.DispatchOptions;
  #waiting: Waiting | undefined;
  readonly #left: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #headers: AnswerHeaders = {};
  #parts: Buffer[] = [];

  constructor(request: Dispatcher.DispatchOptions, waiting: Waiting) {
    this.request = request;
    this.#waiting = waiting;
    this.#left = () => waiting.left();
  }

  /** Ends it now: the connection that it is on is closed, for the answer may still come. */
  giveUp(error: Error): void {
    if (this.#controller === undefined) this.#fail(error);
    else this.#controller.abort(error);
  }

  /** A connection is there, and the request is about to be sent. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Given up while the connection came about. What is thrown here ends the request and spares the connection.
    if (this.#waiting === undefined) throw new Error("given up");
    this.#controller = controller;
  }

  /** Called again for the final one where others came before that only say to wait. */
  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: AnswerHeaders): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(_controller: Dispatcher.DispatchController, part: Buffer): void {
    this.#parts.push(part);
  }

  onResponseEnd(): void {
    const parts = this.#parts;
    const body = parts.length === 0 ? EMPTY : parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#left();
    waiting?.answered({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#left();
    this.#fail(error);
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.failed(error, this.#controller !== undefined);
  }
}

/** A header's value; what came several times is joined by commas (RFC 9110 §5.3). */
export function headerOf({ headers }: WholeAnswer, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "object" ? value.join(", ") : value;
}
