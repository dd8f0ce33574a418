/**
 * What the bench's connections say: reads and writes of a key space, checked byte for byte, and the plain request by
 * which bare HTTP servers are measured.
 */
import type { Exchange } from "./closed-loop.ts";
import { type Answer, headerOf } from "./connection.ts";
import type { History } from "./history.ts";

/** The next thing to do with a key, or undefined when all is done. */
export type Operation = { readonly kind: "read" | "write"; readonly key: number };
export type OperationSource = () => Operation | undefined;

/** The keys of one history: their names begin with `prefix`, their values are of one size. */
export type KeySpace = {
  readonly prefix: string;
  readonly history: History;
  /** VALUE_HEADER_BYTES and more. */
  readonly valueBytes: number;
  readonly counts: SpaceCounts;
};

/** What the answers of a space were, besides right and fresh. */
export type SpaceCounts = { stale: number; wrong: number; siblings: number; refused: number };

export function newCounts(): SpaceCounts {
  return { stale: 0, wrong: 0, siblings: 0, refused: 0 };
}

const KEY_DIGITS = 12;

/** A key's name: always as long, so that a request is prepared once and only its digits change. */
export function keyName(prefix: string, key: number): string {
  return `${prefix}${String(key).padStart(KEY_DIGITS, "0")}`;
}

/**
 * Reads and writes the keys of a space as `source` says.
 *
 * @param query Of each request, with its question mark, for example `?r=2`; may be empty.
 */
export function kvExchange(space: KeySpace, source: OperationSource, query = ""): Exchange {
  const { history, counts } = space;
  const read = prepare("GET", space.prefix, query, undefined);
  const write = prepare("PUT", space.prefix, query, space.valueBytes);
  let kind: Operation["kind"] = "read";
  let key = 0;
  /** The read's floor, or the write's sequence number. */
  let mark = 0;
  return {
    next() {
      const operation = source();
      if (operation === undefined) return undefined;
      ({ kind, key } = operation);
      if (kind === "read") {
        mark = history.beginRead(key);
        writeDigits(read.bytes, read.keyEnd, key);
        return read.bytes;
      }
      mark = history.beginWrite(key, space.valueBytes);
      writeDigits(write.bytes, write.keyEnd, key);
      history.fill(write.bytes, write.bodyStart, mark);
      return write.bytes;
    },
    answered(answer) {
      if (kind === "write") return writeAnswered(space, key, mark, answer);
      const values = valuesOf(answer);
      if (values === undefined) {
        counts.refused++;
        return complaint("GET", space, key, answer);
      }
      if (values.length > 1) counts.siblings++;
      const verdict = history.check(key, mark, values);
      if (verdict === "fresh") return undefined;
      counts[verdict]++;
      return `${verdict}: ${complaint("GET", space, key, answer)}`;
    },
    unanswered() {
      if (kind === "write") history.unknown(mark);
    },
  };
}

function writeAnswered(space: KeySpace, key: number, write: number, answer: Answer): string | undefined {
  if (answer.status === 204) {
    space.history.acknowledged(write);
    return undefined;
  }
  space.counts.refused++;
  if (headerOf(answer.head, "kv-outcome") === "unknown") space.history.unknown(write);
  else space.history.refused(write);
  return complaint("PUT", space, key, answer);
}

/** The values of an answer to a read, none for not found; undefined when it is an error. */
export function valuesOf(answer: Pick<Answer, "status" | "body">): Buffer[] | undefined {
  if (answer.status === 200) return [answer.body];
  if (answer.status === 404) return [];
  if (answer.status !== 300) return undefined;
  const parsed = JSON.parse(answer.body.toString("utf8")) as { siblings: { value?: string }[] };
  return parsed.siblings.flatMap(({ value }) => (value === undefined ? [] : [Buffer.from(value, "base64")]));
}

function complaint(method: string, space: KeySpace, key: number, answer: Answer): string {
  const body = answer.status === 200 ? `${answer.body.length} bytes` : answer.body.toString("utf8", 0, 300);
  return `${method} ${keyName(space.prefix, key)}: ${answer.status} ${body}`;
}

type Prepared = { readonly bytes: Buffer; readonly keyEnd: number; readonly bodyStart: number };

function prepare(method: string, prefix: string, query: string, bodyBytes: number | undefined): Prepared {
  const start = `${method} /v1/kv/${keyName(prefix, 0)}`;
  const length = bodyBytes === undefined ? "" : `Content-Length: ${bodyBytes}\r\n`;
  const head = `${start}${query} HTTP/1.1\r\nHost: 127.0.0.1\r\n${length}\r\n`;
  const bytes = Buffer.alloc(head.length + (bodyBytes ?? 0));
  bytes.write(head, "latin1");
  return { bytes, keyEnd: start.length, bodyStart: head.length };
}

/** Writes a key's digits so that they end before `end`. */
function writeDigits(target: Buffer, end: number, key: number): void {
  let rest = key;
  for (let offset = end - 1; offset >= end - KEY_DIGITS; offset--) {
    target[offset] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** Asks a server for its only page, again and again. */
export function plainExchange(): Exchange {
  const request = Buffer.from("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "latin1");
  return {
    next: () => request,
    answered: (answer) => (answer.status === 200 ? undefined : `GET /: ${answer.status}`),
    unanswered: () => {},
  };
}

/** Each key once, in order, over all connections that share the source. */
export function eachKey(kind: Operation["kind"], keys: Iterable<number>): OperationSource {
  const iterator = keys[Symbol.iterator]();
  return () => {
    const next = iterator.next();
    return next.done === true ? undefined : { kind, key: next.value };
  };
}
