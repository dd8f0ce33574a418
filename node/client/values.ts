/** Values as the client library gives them: bytes with their type, as text or JSON where that is what they are. */
import { isUint8Array } from "node:util/types";
import type { Receipt } from "../core/errors.ts";

/** What is written: text (UTF-8), bytes, or both with their type. */
export type Content = string | Uint8Array | { readonly bytes: Uint8Array | string; readonly contentType: string };

/** Bytes and their type. */
export class Value {
  readonly bytes: Buffer;
  readonly contentType: string;

  constructor(bytes: Buffer, contentType: string) {
    this.bytes = bytes;
    this.contentType = contentType;
  }

  /** The bytes as UTF-8. */
  text(): string {
    return this.bytes.toString("utf8");
  }

  /**
   * The bytes as JSON. The type is the caller's word, as with `JSON.parse`.
   *
   * @throws {SyntaxError} They are none.
   */
  json<T>(): T {
    return JSON.parse(this.text()) as T;
  }
}

/** One of the concurrent values of a key; a deletion concurrent with a write is one as well, without bytes. */
export class Sibling extends Value {
  readonly isDeleted: boolean;
  /** By the clock of the replica that took the write: for people, never for deciding. Undefined: the answer did not say. */
  readonly writtenAt: Date | undefined;

  constructor(value: Value, options: { readonly isDeleted: boolean; readonly writtenAt: Date | undefined }) {
    super(value.bytes, value.contentType);
    this.isDeleted = options.isDeleted;
    this.writtenAt = options.writtenAt;
  }
}

/** The one value of a key, or what `resolve` made of several. */
export class Found extends Value {
  /** What this reading saw: a write that carries it replaces that and nothing else. */
  readonly context: string;
  /** How many values there were; more than 1 until a write with the context has settled them. */
  readonly siblings: number;

  constructor(value: Value, options: { readonly context: string; readonly siblings: number }) {
    super(value.bytes, value.contentType);
    this.context = options.context;
    this.siblings = options.siblings;
  }
}

/** All that a read showed. */
export type Reading = {
  /** None: never written, or deleted. */
  readonly siblings: readonly Sibling[];
  /** Undefined only for a key that was never written. */
  readonly context: string | undefined;
  /** The member that answered. */
  readonly node: string | undefined;
  readonly receipt: Receipt | undefined;
};

/** What became of a write that was acknowledged. */
export type Written = {
  /** Covers exactly what was written and what it replaced. */
  readonly context: string;
  readonly node: string | undefined;
  readonly receipt: Receipt | undefined;
};

const JSON_TYPE = "application/json";

/**
 * A JSON document as content to be written.
 *
 * @throws {TypeError} There is none of it, as of `undefined` or a function.
 */
export function json(value: unknown): Content {
  const bytes: string | undefined = JSON.stringify(value);
  if (bytes !== undefined) return { bytes, contentType: JSON_TYPE };
  throw new TypeError(`Cannot write the value as JSON: expected one that has a JSON form, found ${typeof value}.`);
}

/** Whether it is a sibling that is a deletion: one has no bytes, and would be an empty value. */
export function isDeletion(content: Content): boolean {
  return content instanceof Sibling && content.isDeleted;
}

/**
 * Content as a request's body and its type.
 *
 * @throws {TypeError} It is none, and would be stored as an empty value.
 */
export function bodyOf(content: Content): { readonly body: Uint8Array; readonly contentType: string } {
  if (typeof content === "string") return { body: Buffer.from(content), contentType: "text/plain; charset=utf-8" };
  if (isDeletion(content))
    throw new TypeError("Cannot write the content: it is a sibling that is a deletion; use delete.");
  // Not instanceof: the bytes may come from another realm, as in a test runner.
  if (isUint8Array(content)) return { body: content, contentType: "application/octet-stream" };
  const { bytes, contentType } = (content ?? {}) as Partial<Exclude<Content, string | Uint8Array>>;
  if (typeof contentType === "string") {
    if (typeof bytes === "string") return { body: Buffer.from(bytes), contentType };
    if (isUint8Array(bytes)) return { body: bytes, contentType };
  }
  const found = typeof content === "object" ? "something else" : typeof content;
  throw new TypeError(`Cannot write the content: expected text, bytes or { bytes, contentType }, found ${found}.`);
}

/** The last that was read: of a healthy cluster nearly all are the same. */
let last: { readonly text: string; readonly receipt: Receipt | undefined } | undefined;

/** Reads `KV-Receipt`; undefined where it is none. */
export function parseReceipt(text: string | undefined): Receipt | undefined {
  if (text === undefined) return undefined;
  if (last?.text !== text) last = { text, receipt: receiptOf(text) };
  return last.receipt;
}

function receiptOf(text: string): Receipt | undefined {
  const found = /^acks=(\d+); asked=(\d+); zones=(\d+); hinted=(\d+); durability=(os|disk)$/.exec(text);
  if (found === null) return undefined;
  const [, acks, asked, zones, hinted, durability] = found;
  return Object.freeze({
    acks: Number(acks),
    asked: Number(asked),
    zones: Number(zones),
    hinted: Number(hinted),
    durability: durability === "disk" ? "disk" : "os",
  });
}
