/** What a caller says, as the data API takes it. */
import { isUint8Array } from "node:util/types";
import type { Call } from "./http.ts";
import { newName } from "./names.ts";
import type { Key, RequestOptions, WriteOptions } from "./options.ts";

/**
 * The bytes of a key.
 *
 * @throws {TypeError} It is no key. A lone half of a surrogate pair has no bytes in UTF-8: keys that differ in it were one.
 */
export function bytesOf(key: Key): Uint8Array {
  if (typeof key === "string" && key.isWellFormed()) return Buffer.from(key);
  if (isUint8Array(key)) return key;
  const found = typeof key === "string" ? "text with a lone surrogate" : typeof key;
  throw new TypeError(`Cannot use the key: expected text or bytes, found ${found}.`);
}

/** A key as text that no other key has. */
export function nameOf(key: Key): string {
  return Buffer.from(bytesOf(key)).toString("latin1");
}

/** The token that a caller hands over, by itself or with what carries it. */
export function contextOf(context: WriteOptions["context"]): string | undefined {
  return typeof context === "object" ? context.context : context;
}

/** A write always has a name: it may be repeated, and must stay one write. */
export function writeHeaders(context: string | undefined, idempotencyKey: string | undefined): Record<string, string> {
  return {
    "idempotency-key": idempotencyKey ?? newName(),
    ...(context === undefined ? {} : { "kv-context": context }),
  };
}

/** Tells which attempt a write's is under its name. One that says 1 need not be looked for. */
export const ATTEMPT_HEADER = "kv-attempt";

/** What is sent after the first attempt, which alone may say that it is the first. */
export function repetitionOf<Sent extends Pick<Call, "headers">>(call: Sent): Sent {
  if (call.headers?.[ATTEMPT_HEADER] === undefined) return call;
  const { [ATTEMPT_HEADER]: _, ...headers } = call.headers;
  return { ...call, headers };
}

/** The query of a request. */
export function queryOf(
  { r, w, consistency, mode, zones, nodeTimeoutMs }: RequestOptions,
  { ttl, blind }: { readonly ttl?: number | undefined; readonly blind?: string | undefined } = {},
): string {
  return (
    parameter("r", r) +
    parameter("w", w) +
    parameter("consistency", consistency) +
    parameter("mode", mode) +
    parameter("zones", zones) +
    parameter("timeout", nodeTimeoutMs) +
    parameter("ttl", ttl) +
    parameter("blind", blind)
  ).slice(1);
}

/** Behind an ampersand; empty where the cluster decides. */
function parameter(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : `&${name}=${encodeURIComponent(value)}`;
}
