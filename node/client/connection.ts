/** One kept connection to one node: a request is written, its answer read, and then the next. Nothing is pipelined. */
import { connect, isIP, type Socket } from "node:net";
import { connect as connectSecurely, type ConnectionOptions as SecureOptions } from "node:tls";
import { AnswerMalformedError, AnswerReader, type WholeAnswer } from "./answer-reader.ts";

/** Where a connection goes. */
export type Target = {
  readonly host: string;
  readonly port: number;
  /** For https: whom to trust and what to show. */
  readonly secure: Pick<SecureOptions, "ca" | "cert" | "key"> | undefined;
};

/** Who waits for an answer. Exactly one of the two is called, once. */
export type Waiting = {
  answered(answer: WholeAnswer): void;
  /** No answer comes any more. */
  failed(error: Error): void;
};

/** A request as it is sent: text alone, or with the bytes that follow it. */
export type Outgoing = { readonly head: string; readonly body: Uint8Array | undefined };

export type ConnectionEvents = {
  /** Called before whoever waits is told of the end. */
  ended(connection: Connection): void;
  /** A session that spares later connections the dear part of a handshake. */
  session(session: Buffer): void;
};

/** Holds an answer to a read of 10 KiB in one piece. */
const RECEIVE_BYTES = 16_384;
const PROBE_AFTER_MS = 1_000;
/** A node closes a connection that was idle for so long; by then nothing may be sent over it any more. */
const MARGIN_MS = 1_000;

/** One connection, from when it is opened until either side has ended it. */
export class Connection {
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #reader = new AnswerReader();
  #waiting: Waiting | undefined;
  #hasEnded = false;
  /** What the node last said of how long it keeps an idle connection, and that in ms. */
  #keepAlive: string | undefined;
  #keptMs = Number.POSITIVE_INFINITY;
  #idleSinceMs = 0;

  /** Connects; a request may be sent at once. */
  constructor(target: Target, session: Buffer | undefined, events: ConnectionEvents) {
    this.#events = events;
    this.#socket = target.secure === undefined ? this.#open(target) : this.#openSecurely(target, session);
    this.#socket.on("error", (error) => this.end(error));
    this.#socket.on("end", () => this.#closed());
    this.#socket.on("close", () => this.#closed());
  }

  get isOpen(): boolean {
    return !this.#hasEnded;
  }

  /** Whether a request may be sent now: the node has it open, and will not close it in this moment. */
  isFit(nowMs: number): boolean {
    return !this.#hasEnded && nowMs - this.#idleSinceMs < this.#keptMs;
  }

  /** Sends a request. Nobody may be waiting. While somebody waits the connection keeps the process alive. */
  send({ head, body }: Outgoing, waiting: Waiting): void {
    this.#waiting = waiting;
    this.#socket.ref();
    if (body === undefined || body.length === 0) {
      this.#socket.write(head, "latin1");
      return;
    }
    // One piece is one call of the system and one packet.
    const bytes = Buffer.allocUnsafe(head.length + body.length);
    bytes.write(head, 0, "latin1");
    bytes.set(body, head.length);
    this.#socket.write(bytes);
  }

  /** Closes it; whoever waits is told. */
  end(error: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#socket.destroy();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#events.ended(this);
    waiting?.failed(error);
  }

  #open({ host, port }: Target): Socket {
    const buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
    const callback = (count: number): boolean => {
      this.#received(buffer.subarray(0, count));
      return true;
    };
    return connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_AFTER_MS,
      onread: { buffer, callback },
    });
  }

  #openSecurely({ host, port, secure }: Target, session: Buffer | undefined): Socket {
    // An address is no name to ask for (RFC 6066 §3); the certificate is checked against it all the same.
    const servername = isIP(host) === 0 ? host : "";
    const named = { host, port, servername, ALPNProtocols: ["http/1.1"], ...secure };
    const socket = connectSecurely(session === undefined ? named : { ...named, session });
    socket.setNoDelay(true).setKeepAlive(true, PROBE_AFTER_MS);
    socket.on("session", (learned) => this.#events.session(learned));
    return socket.on("data", (bytes: Buffer) => this.#received(bytes));
  }

  #received(bytes: Buffer): void {
    if (this.#hasEnded) return;
    if (this.#waiting === undefined) return this.end(new AnswerMalformedError("more than was asked for"));
    let answer: WholeAnswer | undefined;
    try {
      answer = this.#reader.read(bytes);
    } catch (error) {
      if (!(error instanceof AnswerMalformedError)) throw error;
      return this.end(error);
    }
    if (answer !== undefined) this.#answered(answer);
  }

  #answered(answer: WholeAnswer): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (answer.isLast) this.end(new Error("the node closed the connection"));
    else {
      const keepAlive = answer.headers.get("keep-alive");
      if (keepAlive !== this.#keepAlive) this.#learnKept(keepAlive);
      this.#idleSinceMs = performance.now();
      this.#socket.unref();
    }
    waiting?.answered(answer);
  }

  #learnKept(keepAlive: string | undefined): void {
    this.#keepAlive = keepAlive;
    const seconds = /\btimeout=(\d{1,6})\b/.exec(keepAlive ?? "")?.[1];
    this.#keptMs = seconds === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Number(seconds) * 1_000 - MARGIN_MS);
  }

  /** The node has closed it, which ends an answer that says no length. */
  #closed(): void {
    if (this.#hasEnded) return;
    const answer = this.#waiting === undefined ? undefined : this.#reader.end();
    if (answer !== undefined) return this.#answered(answer);
    this.end(Object.assign(new Error("the node closed the connection"), { code: "ECONNRESET" }));
  }
}
