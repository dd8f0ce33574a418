/**
 * Reads one HTTP/1.1 answer after another from the bytes of a connection, however they are cut. Pure.
 *
 * Strict where leniency could take one answer's bytes for another's: what does not follow RFC 9112 is an error, after
 * which the connection is of no more use. `node:http` reads the same and costs several times as much, which shows where
 * a program asks thousands of times a second; so do Undici's objects around an answer.
 */

/** One answer that is whole. */
export type WholeAnswer = {
  readonly status: number;
  /** By lower-case name; what came several times is joined by commas. Values are Latin-1. */
  readonly headers: ReadonlyMap<string, string>;
  /** The reader's own copy. */
  readonly body: Buffer;
  /** Nothing more may be asked over this connection. */
  readonly isLast: boolean;
};

/** What came is no answer of HTTP/1.1. */
export class AnswerMalformedError extends Error {
  constructor(what: string) {
    super(`not an answer of HTTP/1.1: ${what}`);
    this.name = "AnswerMalformedError";
  }
}

export type AnswerLimits = {
  /** Of status line and headers, and of the trailers, in bytes. */
  readonly headBytesMax: number;
  readonly bodyBytesMax: number;
};

const LIMITS: AnswerLimits = { headBytesMax: 65_536, bodyBytesMax: 64 * 1024 * 1024 };

type Head = Omit<WholeAnswer, "body">;

/** How a body says where it ends; in the chunked one, what of it comes next. */
type Phase = "head" | "counted" | "until the end" | "chunk size" | "chunk" | "chunk end" | "trailers";

const EMPTY = Buffer.alloc(0);
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: .*)?$/;
/** RFC 9110 §5.6.2. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const COUNT = /^\d{1,15}$/;
/** An extension behind the size means nothing here. */
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?$/;

/** The answers of one connection, to requests that are not HEAD. After an error it must not be used again. */
export class AnswerReader {
  readonly #limits: AnswerLimits;
  #phase: Phase = "head";
  #head: Head | undefined;
  /** Bytes of a head or a line that has not come whole. */
  #held: Buffer = EMPTY;
  #parts: Buffer[] = [];
  #bodyBytes = 0;
  /** Bytes that are still to come of the body, or of the chunk. */
  #missing = 0;

  constructor(limits: AnswerLimits = LIMITS) {
    this.#limits = limits;
  }

  /**
   * Takes the next bytes.
   *
   * @param bytes Copied where they are kept.
   * @returns The answer when it is whole; undefined while more has to come.
   * @throws {AnswerMalformedError} They are none, or more than one answer, or too many.
   */
  read(bytes: Buffer): WholeAnswer | undefined {
    let left = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = EMPTY;
    for (;;) {
      const used = this.#step(left);
      if (used === undefined) {
        this.#held = Buffer.from(left);
        return undefined;
      }
      left = left.subarray(used);
      if (this.#head !== undefined && this.#phase === "head") {
        if (left.length > 0) throw new AnswerMalformedError("more than was asked for");
        return this.#whole(this.#head);
      }
      if (left.length === 0) return undefined;
    }
  }

  /**
   * The other side has ended the connection.
   *
   * @returns The answer whose body lasts until then; undefined when none was on its way, or it was cut off.
   */
  end(): WholeAnswer | undefined {
    return this.#phase === "until the end" && this.#head !== undefined ? this.#whole(this.#head) : undefined;
  }

  /** Takes what comes first of the bytes; gives how many that were, or undefined where too few are there. */
  #step(bytes: Buffer): number | undefined {
    switch (this.#phase) {
      case "head":
        return this.#readHead(bytes);
      case "counted":
      case "chunk":
        return this.#readCounted(bytes);
      case "until the end":
        this.#keep(bytes);
        return bytes.length;
      case "chunk size":
      case "chunk end":
      case "trailers":
        return this.#readLine(bytes);
    }
  }

  #readHead(bytes: Buffer): number | undefined {
    const end = bytes.indexOf("\r\n\r\n", 0, "latin1");
    if (end < 0 ? bytes.length > this.#limits.headBytesMax : end > this.#limits.headBytesMax) {
      throw new AnswerMalformedError("a head that does not end");
    }
    if (end < 0) return undefined;
    const head = headOf(bytes.toString("latin1", 0, end));
    if (head.status === 101) throw new AnswerMalformedError("a change of protocol");
    // Before the answer others may come that only say to wait (RFC 9110 §15.2).
    if (head.status >= 200) this.#begin(head);
    return end + 4;
  }

  /** RFC 9112 §6.3. */
  #begin(head: Head): void {
    const { status, headers } = head;
    const [coding, length] = [headers.get("transfer-encoding"), headers.get("content-length")];
    this.#head = head;
    if (status === 204 || status === 304) return;
    if (coding !== undefined) {
      if (coding.toLowerCase() !== "chunked" || length !== undefined) {
        throw new AnswerMalformedError("a body that does not say where it ends");
      }
      this.#phase = "chunk size";
    } else if (length === undefined) {
      this.#head = { ...head, isLast: true };
      this.#phase = "until the end";
    } else {
      if (!COUNT.test(length)) throw new AnswerMalformedError("a length that is none");
      this.#expect(Number(length));
      if (this.#missing > 0) this.#phase = "counted";
    }
  }

  #readCounted(bytes: Buffer): number {
    const taken = Math.min(this.#missing, bytes.length);
    this.#keep(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    this.#missing -= taken;
    if (this.#missing === 0) this.#phase = this.#phase === "counted" ? "head" : "chunk end";
    return taken;
  }

  #readLine(bytes: Buffer): number | undefined {
    const end = bytes.indexOf("\r\n", 0, "latin1");
    if (end < 0 ? bytes.length > this.#limits.headBytesMax : end > this.#limits.headBytesMax) {
      throw new AnswerMalformedError("a line that does not end");
    }
    if (end < 0) return undefined;
    const line = bytes.toString("latin1", 0, end);
    if (this.#phase === "chunk size") {
      const size = CHUNK_SIZE.exec(line)?.[1];
      if (size === undefined) throw new AnswerMalformedError("a chunk without a size");
      this.#expect(Number.parseInt(size, 16));
      this.#phase = this.#missing > 0 ? "chunk" : "trailers";
    } else if (this.#phase === "chunk end") {
      if (line !== "") throw new AnswerMalformedError("a chunk that is longer than it says");
      this.#phase = "chunk size";
    } else if (line === "") this.#phase = "head";
    return end + 2;
  }

  #expect(bytes: number): void {
    if (this.#bodyBytes + bytes > this.#limits.bodyBytesMax) throw new AnswerMalformedError("a body that is too long");
    this.#missing = bytes;
  }

  #keep(bytes: Buffer): void {
    this.#bodyBytes += bytes.length;
    if (this.#bodyBytes > this.#limits.bodyBytesMax) throw new AnswerMalformedError("a body that is too long");
    this.#parts.push(Buffer.from(bytes));
  }

  #whole(head: Head): WholeAnswer {
    const parts = this.#parts;
    const body = parts.length === 0 ? EMPTY : parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    this.#phase = "head";
    this.#head = undefined;
    this.#bodyBytes = 0;
    if (parts.length > 0) this.#parts = [];
    const { status, headers, isLast } = head;
    return { status, headers, body, isLast };
  }
}

/** @throws {AnswerMalformedError} The text is no status line with headers. */
function headOf(text: string): Head {
  let at = text.indexOf("\r\n");
  const line = STATUS_LINE.exec(at < 0 ? text : text.slice(0, at));
  if (line === null) throw new AnswerMalformedError("no status line");
  const headers = new Map<string, string>();
  while (at >= 0) {
    const from = at + 2;
    at = text.indexOf("\r\n", from);
    addField(headers, text, from, at < 0 ? text.length : at);
  }
  const connection = headers.get("connection")?.toLowerCase() ?? "";
  // HTTP/1.0 keeps a connection only by agreement, which was not asked for.
  const isLast = line[1] === "0" || (connection !== "keep-alive" && /\bclose\b/.test(connection));
  return { status: Number(line[2]), headers, isLast };
}

function addField(headers: Map<string, string>, text: string, from: number, until: number): void {
  const colon = text.indexOf(":", from);
  const name = colon < 0 || colon > until ? "" : text.slice(from, colon).toLowerCase();
  if (!NAME.test(name)) throw new AnswerMalformedError("a header without a name");
  const value = text.slice(colon + 1, until).trim();
  const held = headers.get(name);
  if (held === undefined) headers.set(name, value);
  // Two lengths that agree are one (RFC 9110 §8.6); joined ones that differ are no number.
  else if (name !== "content-length" || held !== value) headers.set(name, `${held}, ${value}`);
}
