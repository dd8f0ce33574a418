/** Messages of every kind, for properties of what carries them. */
import fc from "fast-check";
import type { ErrorCode } from "../../node/core/errors.ts";
import { LEAF_BITS_MAX, LEAF_BITS_MIN, SUM_BYTES } from "../../node/core/merkle/tree.ts";
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

const nodes = fc.array(fc.nat({ max: 15 }), { maxLength: 20 });
const target = fc.stringMatching(/^[a-z0-9.-]{1,63}$/);
/** Of these fields one may be missing altogether, as in a message that is about no hint. */
const withOptional = <T, O>(fields: fc.Arbitrary<T>, optional: fc.Arbitrary<O>): fc.Arbitrary<T & Partial<O>> =>
  fc.tuple(fields, fc.option(optional, { nil: {} })).map(([some, more]) => ({ ...some, ...more }));
const memberName = fc.stringMatching(/^[a-z0-9.-]{1,63}$/);
const news = fc.array(
  plain({
    name: memberName,
    generation: count,
    heartbeat: count,
    isLeaving: fc.boolean(),
    suspects: fc.array(memberName, { maxLength: 3 }),
  }),
  { maxLength: 4 },
);
const ballot = plain({ round: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), proposer: memberName });
const document = fc.string();
const actor = fc.stringMatching(/^[0-9a-f]{32}$/);

const trace = fc.uint8Array({ minLength: 25, maxLength: 25 });
const maybeTraced = <T, O>(fields: fc.Arbitrary<T>, optional: fc.Arbitrary<O>) =>
  withOptional(withOptional(fields, optional), plain({ trace }));

/** Requests of every kind, small ones. */
export const anyRequest: fc.Arbitrary<Request> = fc.oneof(
  maybeTraced(
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
    plain({ hintFor: target }),
  ),
  maybeTraced(
    plain({ kind: fc.constant("merge" as const), epoch: count, key, record: body }),
    plain({ hint: plain({ target, counts: fc.boolean() }) }),
  ),
  maybeTraced(
    plain({ kind: fc.constant("read" as const), epoch: count, key }),
    fc.oneof(plain({ asStandIn: fc.constant(true as const) }), plain({ forRepair: fc.constant(true as const) })),
  ),
  fc.constant({ kind: "ring" as const }),
  plain({ kind: fc.constant("gossip" as const), news, epoch: count }),
  plain({ kind: fc.constant("promise" as const), epoch: count, ballot }),
  plain({ kind: fc.constant("accept" as const), epoch: count, ballot, document }),
  fc.constant({ kind: "progress" as const }),
  plain({
    kind: fc.constant("scan" as const),
    epoch: count,
    partition: count,
    after: orAbsent(key),
    limit: fc.integer({ min: 1, max: MESSAGE_BOUNDS.scanLimitMax }),
  }),
  plain({ kind: fc.constant("sizes" as const), partitions: fc.array(fc.nat({ max: 2 ** 32 - 1 })) }),
  plain({
    kind: fc.constantFrom("roots" as const, "horizons" as const),
    epoch: count,
    partitions: fc.array(fc.nat({ max: 2 ** 32 - 1 })),
  }),
  withOptional(
    plain({
      kind: fc.constant("clearance" as const),
      epoch: count,
      partitions: fc.array(fc.nat({ max: 2 ** 32 - 1 })),
    }),
    plain({ isToFlush: fc.constant(true as const) }),
  ),
  plain({
    kind: fc.constant("branches" as const),
    epoch: count,
    partition: count,
    depth: fc.integer({ min: 4, max: 12 }),
    step: fc.integer({ min: 1, max: 4 }),
    nodes,
  }),
  plain({
    kind: fc.constant("leaves" as const),
    epoch: count,
    partition: count,
    depth: fc.integer({ min: 4, max: 16 }),
    nodes,
  }),
);

const lane = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const leafKey = plain({ key, print: plain({ a: lane, b: lane, c: lane, d: lane }) });
const root = plain({
  bits: fc.integer({ min: LEAF_BITS_MIN, max: LEAF_BITS_MAX }),
  sum: fc.uint8Array({ minLength: SUM_BYTES, maxLength: SUM_BYTES }),
  isComplete: fc.boolean(),
});
const mark = plain({ digest: fc.nat({ max: 2 ** 32 - 1 }), vouches: fc.boolean() });
const sums = fc.nat({ max: 5 }).chain((many) => fc.uint8Array({ minLength: many * 16, maxLength: many * 16 }));
const entries = fc.array(plain({ key, record: body }), { maxLength: 30 });
const codes: readonly ErrorCode[] = ["INVALID_REQUEST", "STALE_RING", "STORAGE_FULL", "TIMED_OUT", "OVERLOADED"];
/** Replies of every kind, small ones. */
export const anyReply: fc.Arbitrary<Reply> = fc.oneof(
  plain({ kind: fc.constant("stamped" as const), record: body, context: body }),
  plain({ kind: fc.constant("merged" as const), isCovered: fc.boolean() }),
  plain({ kind: fc.constant("record" as const), record: orAbsent(body) }),
  plain({
    kind: fc.constant("ring" as const),
    document: orAbsent(fc.string()),
    hadRing: fc.boolean(),
    knowsAnother: fc.boolean(),
    actor,
  }),
  plain({ kind: fc.constant("gossiped" as const), news, epoch: count }),
  plain({
    kind: fc.constant("voted" as const),
    vote: fc.constantFrom("yes" as const, "no" as const, "not a voter" as const, "behind" as const),
    promised: orAbsent(ballot),
    accepted: orAbsent(plain({ ballot, document })),
    newer: orAbsent(document),
  }),
  plain({
    kind: fc.constant("progress" as const),
    actor,
    epoch: count,
    completeFor: orAbsent(fc.stringMatching(/^[0-9a-f]{16}$/)),
    isEmptied: fc.boolean(),
    totalPartitions: count,
    movedPartitions: count,
    totalBytes: count,
    movedBytes: count,
  }),
  plain({ kind: fc.constant("scanned" as const), entries, done: fc.boolean() }),
  fc.array(fc.tuple(orAbsent(root), mark), { maxLength: 10 }).chain((pairs) =>
    plain({
      kind: fc.constant("roots" as const),
      roots: fc.constant(pairs.map(([one]) => one)),
      epoch: count,
      horizons: fc.constant(pairs.map(([, one]) => one)),
    }),
  ),
  plain({
    kind: fc.constant("horizons" as const),
    horizons: fc.array(orAbsent(fc.uint8Array({ minLength: 1, maxLength: 60 })), { maxLength: 10 }),
  }),
  withOptional(
    plain({ kind: fc.constant("clearance" as const), epoch: count, clear: fc.array(fc.boolean(), { maxLength: 20 }) }),
    plain({ incarnation: count }),
  ),
  plain({ kind: fc.constant("sizes" as const), bytes: fc.array(count) }),
  plain({ kind: fc.constant("branches" as const), sums }),
  plain({ kind: fc.constant("branches" as const), sums, inDoubt: fc.constant(true as const) }),
  plain({ kind: fc.constant("leaves" as const), keys: fc.array(leafKey, { maxLength: 10 }) }),
  plain({
    kind: fc.constant("leaves" as const),
    keys: fc.array(leafKey, { maxLength: 10 }),
    inDoubt: fc.constant(true as const),
  }),
  plain({
    kind: fc.constant("failure" as const),
    code: fc.constantFrom(...codes),
    message: fc.string(),
    outcome: fc.constantFrom("none" as const, "unknown" as const),
  }),
);
