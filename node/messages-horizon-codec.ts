/**
 * The messages about collecting tombstones as flat arrays: horizons, their marks beside roots, and clearances; see
 * messages-codec.ts.
 *
 * | list     | bytes of each item                                                                 |
 * | -------- | ---------------------------------------------------------------------------------- |
 * | marks    | digest (uint32), 1 where the replica vouches (uint8)                               |
 * | horizons | length (uint32), 0 for none, then the horizon as core/version/horizon-codec.ts has it |
 * | clear    | 1 where nothing is kept besides (uint8)                                            |
 */
import { packNumbers, unpackNumbers } from "./core/merkle/packed.ts";
import type { ClearanceReply, ClearanceRequest, HorizonMark, HorizonsReply, HorizonsRequest } from "./messages.ts";
import { invalid, toBytes, toCount } from "./messages-fields.ts";

/** The same numbers for requests and for replies. */
const KIND = { horizons: 14, clearance: 15 } as const;

/** What was added at the end of clearances, in words, for what else may stand there is a later release's. */
const FLUSH = "flush";
const INCARNATION = "incarnation ";

const PARTITIONS_MAX = 4_096;
const LIST_BYTES_MAX = 16 * 1_024 * 1_024;
const MARK_BYTES = 5;
const LENGTH_BYTES = 4;
const NO_MARK: HorizonMark = { digest: 0, vouches: false };

/** Whether the first element of an array is a kind that is read here. */
export function isHorizonKind(kind: unknown): boolean {
  return kind === KIND.horizons || kind === KIND.clearance;
}

/** The array for `request`. */
export function encodeHorizonRequest(request: HorizonsRequest | ClearanceRequest): unknown[] {
  const fields = [KIND[request.kind], request.epoch, packNumbers(request.partitions)];
  return request.kind === "clearance" && request.isToFlush === true ? [...fields, FLUSH] : fields;
}

/** @throws {KvError} INVALID_REQUEST. */
export function decodeHorizonRequest(fields: readonly unknown[]): HorizonsRequest | ClearanceRequest {
  const epoch = toCount(fields[1], "epoch");
  const partitions = toNumbers(fields[2], PARTITIONS_MAX, "partitions");
  if (fields[0] === KIND.horizons) return { kind: "horizons", epoch, partitions };
  return { kind: "clearance", epoch, partitions, ...(fields[3] === FLUSH ? { isToFlush: true } : {}) };
}

/** The array for `reply`. */
export function encodeHorizonReply(reply: HorizonsReply | ClearanceReply): unknown[] {
  if (reply.kind === "horizons") return [KIND.horizons, packHorizons(reply.horizons)];
  const fields = [KIND.clearance, reply.epoch, Uint8Array.from(reply.clear, Number)];
  return reply.incarnation === undefined ? fields : [...fields, INCARNATION + reply.incarnation];
}

/** @throws {KvError} INVALID_REQUEST. */
export function decodeHorizonReply(fields: readonly unknown[]): HorizonsReply | ClearanceReply {
  if (fields[0] === KIND.horizons) {
    return { kind: "horizons", horizons: unpackHorizons(toBytes(fields[1], 0, LIST_BYTES_MAX, "horizons")) };
  }
  const clear = Array.from(toBytes(fields[2], 0, PARTITIONS_MAX, "clearances"), (byte) => byte === 1);
  const epoch = toCount(fields[1], "epoch");
  const incarnation = toIncarnation(fields[3]);
  return { kind: "clearance", epoch, clear, ...(incarnation === undefined ? {} : { incarnation }) };
}

/** Undefined for what is none: a peer of an older release sends nothing there. */
function toIncarnation(field: unknown): number | undefined {
  if (typeof field !== "string" || !field.startsWith(INCARNATION)) return undefined;
  const digits = field.slice(INCARNATION.length);
  const incarnation = /^(0|[1-9][0-9]*)$/.test(digits) ? Number(digits) : undefined;
  return Number.isSafeInteger(incarnation) ? incarnation : undefined;
}

/** Marks in the order of the roots that they stand beside. */
export function packMarks(marks: readonly HorizonMark[]): Uint8Array {
  const packed = new Uint8Array(marks.length * MARK_BYTES);
  const view = new DataView(packed.buffer);
  for (const [index, { digest, vouches }] of marks.entries()) {
    view.setUint32(index * MARK_BYTES, digest);
    view.setUint8(index * MARK_BYTES + 4, Number(vouches));
  }
  return packed;
}

/**
 * What `packMarks` made.
 *
 * @param count Of the roots; a peer of an older release sends no marks.
 * @throws {KvError} INVALID_REQUEST.
 */
export function toMarks(value: unknown, count: number): HorizonMark[] {
  if (value === undefined) return new Array<HorizonMark>(count).fill(NO_MARK);
  const packed = toBytes(value, count * MARK_BYTES, count * MARK_BYTES, "marks of horizons");
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  return Array.from({ length: count }, (_, index) => {
    const at = index * MARK_BYTES;
    return { digest: view.getUint32(at), vouches: view.getUint8(at + 4) === 1 };
  });
}

/**
 * The numbers of a field.
 *
 * @throws {KvError} INVALID_REQUEST.
 */
export function toNumbers(value: unknown, countMax: number, name: string): number[] {
  const numbers = unpackNumbers(toBytes(value, 0, countMax * 4, name));
  if (numbers === undefined) throw invalid(name, "whole numbers of 4 bytes", value);
  return numbers;
}

function packHorizons(horizons: readonly (Uint8Array | undefined)[]): Uint8Array {
  const size = horizons.reduce((sum, horizon) => sum + LENGTH_BYTES + (horizon?.length ?? 0), 0);
  const packed = new Uint8Array(size);
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const horizon of horizons) {
    view.setUint32(at, horizon?.length ?? 0);
    if (horizon !== undefined) packed.set(horizon, at + LENGTH_BYTES);
    at += LENGTH_BYTES + (horizon?.length ?? 0);
  }
  return packed;
}

/** The horizons are views into the list. */
function unpackHorizons(packed: Uint8Array): (Uint8Array | undefined)[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const horizons: (Uint8Array | undefined)[] = [];
  for (let at = 0; at < packed.length; ) {
    const from = at + LENGTH_BYTES;
    const until = from <= packed.length ? from + view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (until > packed.length) throw invalid("horizons", "whole ones", packed);
    horizons.push(until === from ? undefined : packed.subarray(from, until));
    at = until;
  }
  return horizons;
}
