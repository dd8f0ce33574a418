/**
 * A record as bytes, on disk and between nodes. Equal records have equal bytes, and no other bytes are accepted.
 *
 *   format (1 byte), checksum over what follows (4 bytes, xxHash32)
 *   actors, vector, dots                as in context-codec.ts; all dots below refer to the actors by place
 *   events seen: 0 = as the vector      else 1, then a vector
 *   siblings: count, then of each: dot, flags, writtenAtMs, [expiresAtMs], [type: size, UTF-8], [value: size, bytes]
 *   events:   count, then of each: dot, flags, stampedAtMs, id: size, bytes, [past: vector, dots]
 *
 * Numbers are varints. Values and ids are given back as views into the bytes, so a decoded record lives as long as its
 * bytes are left alone. Any byte string is either decoded or answered with a `RecordCorruptError`, in time
 * that grows no faster than its length times a logarithm.
 */
import assert from "node:assert/strict";
import { KvError } from "../errors.ts";
import { checksumOf } from "./checksum.ts";
import { compareDots, covers } from "./context.ts";
import {
  actorTable,
  checkTable,
  dotsSize,
  placeOf,
  readContext,
  readDot,
  readTable,
  readVector,
  tableSize,
  writeDots,
  writeTable,
} from "./context-codec.ts";
import { type CausalContext, EVENT_ID_BYTES_MAX, type KvRecord, type Sibling, type WriteEvent } from "./record.ts";
import { counterOf, type VersionVector, vectorDescends } from "./vector.ts";
import { bytesOfText, readUint32, varintSize, WireReader, writeUint32, writeVarint } from "./wire.ts";

/** The newest format that this release reads, and the one that it writes. */
export const RECORD_FORMAT = 1;

const FORMAT_BYTES = 1;
const CHECKSUM_BYTES = 4;
const HEAD_BYTES = FORMAT_BYTES + CHECKSUM_BYTES;

/** Stored as a flag, for most values have it. */
const DEFAULT_CONTENT_TYPE = "application/octet-stream";

const HAS_VALUE = 1;
const HAS_EXPIRY = 2;
const HAS_OWN_TYPE = 4;
const SIBLING_FLAGS = HAS_VALUE | HAS_EXPIRY | HAS_OWN_TYPE;

const IS_FORWARD = 1;
const IS_OVERWRITE = 2;
const HAS_PAST = 4;
const EVENT_FLAGS = IS_FORWARD | IS_OVERWRITE | HAS_PAST;

/** Least that an item takes: a dot of three bytes, flags, a time. */
const ITEM_BYTES_MIN = 5;

/** Which bytes were found corrupt: those given, or of a merge the ones held here or the ones that arrived. */
export type CorruptSource = "record" | "local" | "incoming";

/** Bytes that are no record: damaged, forged, or of a newer release. The record is set aside and repaired from peers. */
export class RecordCorruptError extends KvError {
  readonly source: CorruptSource;
  readonly reason: string;

  constructor(reason: string, source: CorruptSource = "record") {
    const which = source === "record" ? "the record" : `the ${source} record`;
    super("STORAGE_FAILED", `Cannot read ${which}: ${reason}`);
    this.name = "RecordCorruptError";
    this.source = source;
    this.reason = reason;
  }
}

function corrupt(reason: string): RecordCorruptError {
  return new RecordCorruptError(reason);
}

/**
 * @param record A record that keeps the invariants of record.ts. What it refers to is copied.
 * @returns Fresh bytes, owned by the caller.
 */
export function encodeRecord(record: KvRecord): Uint8Array {
  const { context, eventsSeen, siblings, events } = record;
  const table = actorTable(context);
  const isSeenShared = eventsSeen === context.vector || isSameVector(eventsSeen, context.vector);
  let size = HEAD_BYTES + tableSize(table) + dotsSize(table, context.vector) + dotsSize(table, context.dots);
  size += isSeenShared ? 1 : 1 + dotsSize(table, eventsSeen);
  size += siblingsSize(table, siblings) + eventsSize(table, events);
  const out = Buffer.allocUnsafe(size);
  out[0] = RECORD_FORMAT;
  let at = writeTable(out, HEAD_BYTES, table);
  at = writeDots(out, at, table, context.vector);
  at = writeDots(out, at, table, context.dots);
  out[at++] = isSeenShared ? 0 : 1;
  if (!isSeenShared) at = writeDots(out, at, table, eventsSeen);
  at = writeSiblings(out, at, table, siblings);
  at = writeEvents(out, at, table, events);
  assert(at === size, "the size of a record is computed as it is written");
  writeUint32(out, FORMAT_BYTES, bodyChecksum(out));
  return out;
}

/**
 * @param bytes Anything. Must not be changed while the record is in use.
 * @throws {RecordCorruptError} for anything but the bytes that `encodeRecord` makes.
 */
export function decodeRecord(bytes: Uint8Array): KvRecord {
  if (bytes.length < HEAD_BYTES) throw corrupt("it ends too early");
  const format = bytes[0] as number;
  if (format > RECORD_FORMAT)
    throw corrupt(`its format is ${format}, this release knows up to ${RECORD_FORMAT}: it is of a newer release`);
  if (format !== RECORD_FORMAT) throw corrupt(`its format is ${format}, known is ${RECORD_FORMAT}`);
  if (readUint32(bytes, FORMAT_BYTES) !== bodyChecksum(bytes)) throw corrupt("its checksum is wrong");
  const reader = new WireReader(bytes, HEAD_BYTES, corrupt);
  const table = readTable(reader);
  const context = readContext(reader, table);
  checkTable(reader, table, context);
  const eventsSeen = readEventsSeen(reader, table, context.vector);
  const siblings = readSiblings(reader, table, context);
  const events = readEvents(reader, table, context, eventsSeen);
  reader.end();
  return { context, eventsSeen, siblings, events };
}

function bodyChecksum(bytes: Uint8Array): number {
  return checksumOf(new Uint8Array(bytes.buffer, bytes.byteOffset + HEAD_BYTES, bytes.length - HEAD_BYTES), 0);
}

function isSameVector(a: VersionVector, b: VersionVector): boolean {
  return a.length === b.length && vectorDescends(a, b) && vectorDescends(b, a);
}

function siblingsSize(table: readonly string[], siblings: readonly Sibling[]): number {
  let size = varintSize(siblings.length);
  let place = 0;
  for (const { dot, value, contentType, writtenAtMs, expiresAtMs } of siblings) {
    place = placeOf(table, dot.actor, place);
    size += varintSize(place) + varintSize(dot.incarnation) + varintSize(dot.counter) + 1 + varintSize(writtenAtMs);
    if (expiresAtMs !== undefined) size += varintSize(expiresAtMs);
    if (contentType !== DEFAULT_CONTENT_TYPE) {
      const { length } = bytesOfText(contentType);
      size += varintSize(length) + length;
    }
    if (value !== undefined) size += varintSize(value.length) + value.length;
  }
  return size;
}

function writeSiblings(out: Uint8Array, start: number, table: readonly string[], siblings: readonly Sibling[]): number {
  let at = writeVarint(out, start, siblings.length);
  let place = 0;
  for (const { dot, value, contentType, writtenAtMs, expiresAtMs } of siblings) {
    place = placeOf(table, dot.actor, place);
    at = writeVarint(out, at, place);
    at = writeVarint(out, at, dot.incarnation);
    at = writeVarint(out, at, dot.counter);
    const hasOwnType = contentType !== DEFAULT_CONTENT_TYPE;
    out[at++] =
      (value === undefined ? 0 : HAS_VALUE) |
      (expiresAtMs === undefined ? 0 : HAS_EXPIRY) |
      (hasOwnType ? HAS_OWN_TYPE : 0);
    at = writeVarint(out, at, writtenAtMs);
    if (expiresAtMs !== undefined) at = writeVarint(out, at, expiresAtMs);
    if (hasOwnType) at = writeSized(out, at, bytesOfText(contentType));
    if (value !== undefined) at = writeSized(out, at, value);
  }
  return at;
}

function writeSized(out: Uint8Array, start: number, bytes: Uint8Array): number {
  const at = writeVarint(out, start, bytes.length);
  out.set(bytes, at);
  return at + bytes.length;
}

function eventsSize(table: readonly string[], events: readonly WriteEvent[]): number {
  let size = varintSize(events.length);
  let place = 0;
  for (const { dot, id, stampedAtMs, past } of events) {
    place = placeOf(table, dot.actor, place);
    size += varintSize(place) + varintSize(dot.incarnation) + varintSize(dot.counter) + 1 + varintSize(stampedAtMs);
    size += 1 + id.length;
    if (past !== undefined) size += dotsSize(table, past.vector) + dotsSize(table, past.dots);
  }
  return size;
}

function writeEvents(out: Uint8Array, start: number, table: readonly string[], events: readonly WriteEvent[]): number {
  let at = writeVarint(out, start, events.length);
  let place = 0;
  for (const { dot, kind, id, stampedAtMs, isOverwrite, past } of events) {
    place = placeOf(table, dot.actor, place);
    at = writeVarint(out, at, place);
    at = writeVarint(out, at, dot.incarnation);
    at = writeVarint(out, at, dot.counter);
    out[at++] =
      (kind === "forward" ? IS_FORWARD : 0) | (isOverwrite ? IS_OVERWRITE : 0) | (past === undefined ? 0 : HAS_PAST);
    at = writeVarint(out, at, stampedAtMs);
    out[at++] = id.length;
    for (let index = 0; index < id.length; index++) out[at++] = id[index] as number;
    if (past === undefined) continue;
    at = writeDots(out, at, table, past.vector);
    at = writeDots(out, at, table, past.dots);
  }
  return at;
}

function readEventsSeen(reader: WireReader, table: readonly string[], vector: VersionVector): VersionVector {
  const flag = reader.byte();
  if (flag === 0) return vector;
  if (flag !== 1) throw reader.malformed("its flags are unknown");
  const seen = readVector(reader, table);
  if (!vectorDescends(vector, seen)) throw reader.malformed("it knows events of writes that it does not know");
  if (vectorDescends(seen, vector)) throw reader.malformed("it repeats its vector");
  return seen;
}

function readSiblings(reader: WireReader, table: readonly string[], context: CausalContext): readonly Sibling[] {
  const count = reader.count(ITEM_BYTES_MIN);
  const siblings: Sibling[] = [];
  for (let index = 0; index < count; index++) {
    const sibling = readSibling(reader, table);
    if (index > 0 && compareDots((siblings[index - 1] as Sibling).dot, sibling.dot) >= 0)
      throw reader.malformed("its values are not in order");
    if (!covers(context, sibling.dot)) throw reader.malformed("it holds a value that its context does not cover");
    siblings.push(sibling);
  }
  return siblings;
}

function readSibling(reader: WireReader, table: readonly string[]): Sibling {
  const dot = readDot(reader, table);
  const flags = reader.byte();
  if (flags > SIBLING_FLAGS) throw reader.malformed("its flags are unknown");
  const writtenAtMs = reader.varint();
  const expiresAtMs = (flags & HAS_EXPIRY) === 0 ? undefined : reader.varint();
  const contentType = (flags & HAS_OWN_TYPE) === 0 ? DEFAULT_CONTENT_TYPE : reader.text(reader.varint());
  if ((flags & HAS_OWN_TYPE) !== 0 && contentType === DEFAULT_CONTENT_TYPE)
    throw reader.malformed("it spells out the default content type");
  const value = (flags & HAS_VALUE) === 0 ? undefined : reader.view(reader.varint());
  return { dot, value, contentType, writtenAtMs, expiresAtMs };
}

function readEvents(
  reader: WireReader,
  table: readonly string[],
  context: CausalContext,
  eventsSeen: VersionVector,
): readonly WriteEvent[] {
  const count = reader.count(ITEM_BYTES_MIN);
  const events: WriteEvent[] = [];
  for (let index = 0; index < count; index++) {
    const event = readEvent(reader, table);
    if (index > 0 && compareDots((events[index - 1] as WriteEvent).dot, event.dot) >= 0)
      throw reader.malformed("its events are not in order");
    if (counterOf(eventsSeen, event.dot) < event.dot.counter)
      throw reader.malformed("it holds an event that it has not seen");
    if (event.past !== undefined && !isWithin(event.past, context))
      throw reader.malformed("it holds an event whose past it does not know");
    events.push(event);
  }
  return events;
}

/** As `contextDescends`, at a cost that grows with the past alone: a record may hold many events. */
function isWithin(past: CausalContext, context: CausalContext): boolean {
  for (const entry of past.vector) if (counterOf(context.vector, entry) < entry.counter) return false;
  for (const dot of past.dots) if (!covers(context, dot)) return false;
  return true;
}

function readEvent(reader: WireReader, table: readonly string[]): WriteEvent {
  const dot = readDot(reader, table);
  const flags = reader.byte();
  if (flags > EVENT_FLAGS) throw reader.malformed("its flags are unknown");
  const stampedAtMs = reader.varint();
  const idBytes = reader.byte();
  if (idBytes === 0 || idBytes > EVENT_ID_BYTES_MAX) throw reader.malformed("an event's id is not 1 to 64 bytes");
  const id = reader.view(idBytes);
  const past = (flags & HAS_PAST) === 0 ? undefined : readContext(reader, table);
  const kind = (flags & IS_FORWARD) === 0 ? "client" : "forward";
  return { dot, kind, id, stampedAtMs, isOverwrite: (flags & IS_OVERWRITE) !== 0, past };
}
