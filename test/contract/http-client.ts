/** A small HTTP client for tests: sends exactly what it is told, over one connection a call, and a raw one besides. */
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import { connect, type Socket } from "node:net";

export type Answer = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
};

export type CallOptions = {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array | string;
  /** Sends the body chunked, without its length. */
  readonly chunked?: boolean;
};

/** Sends one request. The path goes out as given. */
export function call(port: number, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const body = options.body === undefined ? undefined : Buffer.from(options.body);
  const length: OutgoingHttpHeaders =
    body === undefined || options.chunked === true ? {} : { "Content-Length": body.length };
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: "127.0.0.1", port, method, path, agent: false, headers: { ...length, ...options.headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const { statusCode: status = 0, headers, rawHeaders } = response;
          resolve({ status, headers, rawHeaders, body: Buffer.concat(chunks) });
        });
      },
    );
    request.on("error", reject);
    if (options.chunked === true) request.write(Buffer.alloc(0));
    request.end(body);
  });
}

/** A connection that says what a test wants it to say. */
export type RawConnection = {
  readonly socket: Socket;
  send(text: string): void;
  /** Everything received so far, one char a byte. */
  received(): string;
  /** Waits until what was received matches. Rejects when the connection closes before. */
  receives(pattern: RegExp): Promise<string>;
  /** Waits until the other side closed; resolves to everything received. */
  closes(): Promise<string>;
};

export async function connectRaw(port: number): Promise<RawConnection> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let text = "";
  let closed = false;
  let wake = () => {};
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    wake();
  });
  // A reset is one way of being closed; what was received before it is what tests look at.
  socket.on("error", () => {});
  socket.on("end", () => {
    closed = true;
    wake();
    socket.end();
  });
  socket.on("close", () => {
    closed = true;
    wake();
  });
  await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  const until = (done: () => boolean) =>
    new Promise<void>((resolve) => {
      wake = () => {
        if (done()) resolve();
      };
      wake();
    });
  return {
    socket,
    send(data) {
      socket.write(Buffer.from(data, "latin1"));
    },
    received: () => text,
    async receives(pattern) {
      await until(() => closed || pattern.test(text));
      if (pattern.test(text)) return text;
      throw new Error(`closed before ${pattern}; received ${JSON.stringify(text)}`);
    },
    async closes() {
      await until(() => closed);
      return text;
    },
  };
}

/** Lets the event loop turn until `done`; the test's own timeout is the limit. */
export async function eventually(done: () => boolean): Promise<void> {
  while (!done()) await new Promise<void>((resolve) => setImmediate(resolve));
}
