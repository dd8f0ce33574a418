/** Messages of every kind, for properties of what carries them. */
import fc from "fast-check";
import type { ErrorCode } from "../../node/core/errors.ts";
import type { Reply, Request } from "../../node/messages.ts";
import { MESSAGE_BOUNDS } from "../../node/messages-codec.ts";

const plain = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(fields, { noNullPrototype: true });
const count = fc.maxSafeNat();
const key = fc.uint8Array({ minLength: 1, maxLength: 40 });
const body = fc.uint8Array({ maxLength: 80 });
const eventName = plain({
  kind: fc.constantFrom("client" as const, "forward" as const),
  id: fc.uint8Array({ minLength: 1, maxLength: 64 }),
});
const orAbsent = <T>(some: fc.Arbitrary<T>) => fc.option(some, { nil: undefined });

/** Requests of every kind, small ones. */
export const anyRequest: fc.Arbitrary<Request> = fc.oneof(
  plain({
    kind: fc.constant("stamp" as const),
    epoch: count,
    key,
    base: fc.oneof(
      plain({ kind: fc.constant("context" as const), context: body }),
      fc.constantFrom({ kind: "overwrite" as const }, { kind: "sibling" as const }),
    ),
    content: plain({ value: orAbsent(body), contentType: fc.string(), expiresAtMs: orAbsent(count) }),
    event: orAbsent(eventName),
  }),
  plain({ kind: fc.constant("merge" as const), epoch: count, key, record: body }),
  plain({ kind: fc.constant("read" as const), epoch: count, key }),
  fc.constant({ kind: "ring" as const }),
  plain({
    kind: fc.constant("scan" as const),
    epoch: count,
    partition: count,
    after: orAbsent(key),
    limit: fc.integer({ min: 1, max: MESSAGE_BOUNDS.scanLimitMax }),
  }),
);

const entries = fc.array(plain({ key, record: body }), { maxLength: 30 });
const codes: readonly ErrorCode[] = ["INVALID_REQUEST", "STALE_RING", "STORAGE_FULL", "TIMED_OUT", "OVERLOADED"];
/** Replies of every kind, small ones. */
export const anyReply: fc.Arbitrary<Reply> = fc.oneof(
  plain({ kind: fc.constant("stamped" as const), record: body, context: body }),
  fc.constant({ kind: "merged" as const }),
  plain({ kind: fc.constant("record" as const), record: orAbsent(body) }),
  plain({ kind: fc.constant("ring" as const), document: orAbsent(fc.string()), hadRing: fc.boolean() }),
  plain({ kind: fc.constant("scanned" as const), entries, done: fc.boolean() }),
  plain({
    kind: fc.constant("failure" as const),
    code: fc.constantFrom(...codes),
    message: fc.string(),
    outcome: fc.constantFrom("none" as const, "unknown" as const),
  }),
);
