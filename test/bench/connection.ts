/**
 * One HTTP/1.1 keep-alive connection of a load generator, one request at a time, at a few µs of CPU each.
 *
 * The generator shares the machine with the servers it measures, so it writes prepared bytes to a bare socket and
 * reads into one buffer that it keeps. It understands just what the servers under test send: a status line, headers,
 * and a body of a stated `Content-Length` (none for 204 and 304). Not an HTTP client for anything else.
 */
import { connect, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ClientTls } from "../../node/client/http.ts";

/** One answer. `body` is a view that is valid only during the call that gets it. */
export type Answer = {
  readonly status: number;
  /** Status line and headers, as sent. */
  readonly head: string;
  readonly body: Buffer;
};

export type ConnectionEvents = {
  answered(answer: Answer): void;
  /** The connection is gone; a request in flight will get no answer. Called once. */
  broken(reason: string): void;
};

const RECEIVE_BYTES = 65_536;
const EMPTY = Buffer.alloc(0);

export class HttpConnection {
  readonly #events: ConnectionEvents;
  readonly #socket: Socket;
  /** Bytes of an answer that has not come whole. */
  #partial: Buffer = EMPTY;
  #over = false;

  /** Connects to `127.0.0.1:port`, by TLS where it is told whom to trust; requests may be sent at once. */
  constructor(port: number, events: ConnectionEvents, tls?: ClientTls) {
    this.#events = events;
    this.#socket = tls === undefined ? this.#connect(port) : this.#connectSecurely(port, tls);
    this.#socket.on("error", (error) => this.#end(error.message));
    this.#socket.on("close", () => this.#end("the server closed the connection"));
  }

  #connect(port: number): Socket {
    return connect({ host: "127.0.0.1", port, noDelay: true, onread: this.#intoOneBuffer() });
  }

  #connectSecurely(port: number, { authorities }: ClientTls): Socket {
    const trust = authorities === undefined ? {} : { ca: authorities };
    const options = { host: "127.0.0.1", port, onread: this.#intoOneBuffer(), ...trust };
    return connectTls(options).setNoDelay(true);
  }

  #intoOneBuffer(): OnReadOpts {
    const receive = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
    return {
      buffer: receive,
      callback: (count) => {
        this.#received(receive.subarray(0, count));
        return true;
      },
    };
  }

  /** Sends one request. The bytes may be changed again once its answer is in. */
  send(request: Buffer): void {
    this.#socket.write(request);
  }

  /** Closes without telling `broken`. */
  close(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket.destroy();
    this.#events.broken(reason);
  }

  #received(chunk: Buffer): void {
    if (this.#over) return;
    const bytes = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    const headEnd = bytes.indexOf("\r\n\r\n");
    if (headEnd < 0) {
      this.#keep(bytes);
      return;
    }
    const head = bytes.toString("latin1", 0, headEnd);
    const status = Number(head.slice(9, 12));
    const bodyBytes = status === 204 || status === 304 ? 0 : contentLength(head);
    if (bodyBytes === undefined) {
      this.#end(`an answer without Content-Length: ${head}`);
      return;
    }
    const end = headEnd + 4 + bodyBytes;
    if (bytes.length < end) {
      this.#keep(bytes);
      return;
    }
    if (bytes.length > end) {
      this.#end("the server sent more than one answer to one request");
      return;
    }
    this.#partial = EMPTY;
    this.#events.answered({ status, head, body: bytes.subarray(headEnd + 4, end) });
  }

  /** The receive buffer is used again for the next chunk, so what must wait is copied. */
  #keep(bytes: Buffer): void {
    this.#partial = Buffer.from(bytes);
  }
}

/** The value of `Content-Length`, or undefined where there is none. */
function contentLength(head: string): number | undefined {
  const match = /\r\ncontent-length: *(\d+)/i.exec(head);
  return match === null ? undefined : Number(match[1]);
}

/** The value of a header in `head`, or undefined where it is not there. */
export function headerOf(head: string, name: string): string | undefined {
  const match = new RegExp(`\\r\\n${name}: *([^\\r]*)`, "i").exec(head);
  return match?.[1];
}
