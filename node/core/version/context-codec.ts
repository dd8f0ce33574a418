/**
 * Causal contexts as bytes: inside records, between nodes, and as the token that clients carry (`KV-Context`).
 *
 *   context  =  actors: count, 16 bytes each, ascending
 *               vector: count, then actor's place, incarnation, counter of each
 *               dots:   count, then the same
 *   between nodes  =  format, context
 *   token          =  base64url of: format, checksum over context (seeded by the key's checksum), context
 *
 * Equal contexts have equal bytes, and no other bytes are accepted. The checksum binds a token to its key and finds
 * damage; it does not stop a client that wants to lie about what it saw (such a client may as well overwrite).
 */
import assert from "node:assert/strict";
import { KvError } from "../errors.ts";
import { checksumOf } from "./checksum.ts";
import { compareDots, EMPTY_CONTEXT } from "./context.ts";
import type { CausalContext, Dot } from "./record.ts";
import { compareSources, counterOf, EMPTY_VECTOR, type VersionVector } from "./vector.ts";
import { ACTOR_BYTES, readUint32, varintSize, WireReader, writeActor, writeUint32, writeVarint } from "./wire.ts";

const FORMAT = 1;
const FORMAT_BYTES = 1;
const CHECKSUM_BYTES = 4;

/** Longest token that is made or accepted: with the other headers it stays well under Node's 16 KiB. */
export const TOKEN_CHARACTERS_MAX = 8_192;

/** Longest encoded context, so that its token keeps within `TOKEN_CHARACTERS_MAX`. */
export const CONTEXT_BYTES_MAX = (TOKEN_CHARACTERS_MAX / 4) * 3 - FORMAT_BYTES - CHECKSUM_BYTES;

/** Most that one entry or dot may take: its own actor, a place in the table, incarnation, counter. */
const ITEM_BYTES_MAX = ACTOR_BYTES + 2 + 8 + 8;

/** Least that one entry or dot takes: a byte each for the actor's place, incarnation and counter. */
const ITEM_BYTES_MIN = 3;

/** Distinct actors of a context, ascending: what dots refer to by place. */
export function actorTable({ vector, dots }: CausalContext): readonly string[] {
  const table: string[] = [];
  let last: string | undefined;
  let inDots = 0;
  for (const entry of vector) {
    for (let dot = dots[inDots]; dot !== undefined && dot.actor < entry.actor; dot = dots[++inDots]) {
      if (dot.actor !== last) table.push(dot.actor);
      last = dot.actor;
    }
    if (entry.actor !== last) table.push(entry.actor);
    last = entry.actor;
  }
  for (let dot = dots[inDots]; dot !== undefined; dot = dots[++inDots]) {
    if (dot.actor !== last) table.push(dot.actor);
    last = dot.actor;
  }
  return table;
}

/**
 * The place of an actor that surely is in the table, searched from the place of the one before it: lists are in
 * actor order, so a whole list takes one pass over the table.
 */
export function placeOf(table: readonly string[], actor: string, from: number): number {
  let place = from;
  while (table[place] !== actor) {
    place += 1;
    assert(place < table.length, "a list is in dot order and names only actors that its record's context names");
  }
  return place;
}

/** Bytes of a list of entries or dots. */
export function dotsSize(table: readonly string[], dots: readonly Dot[]): number {
  let size = varintSize(dots.length);
  let place = 0;
  for (const dot of dots) {
    place = placeOf(table, dot.actor, place);
    size += varintSize(place) + varintSize(dot.incarnation) + varintSize(dot.counter);
  }
  return size;
}

/** Writes such a list at `at` and returns the position after it. */
export function writeDots(out: Uint8Array, at: number, table: readonly string[], dots: readonly Dot[]): number {
  let position = writeVarint(out, at, dots.length);
  let place = 0;
  for (const dot of dots) {
    place = placeOf(table, dot.actor, place);
    position = writeVarint(out, position, place);
    position = writeVarint(out, position, dot.incarnation);
    position = writeVarint(out, position, dot.counter);
  }
  return position;
}

/** Bytes of an actor table. */
export function tableSize(table: readonly string[]): number {
  return varintSize(table.length) + table.length * ACTOR_BYTES;
}

/** Writes an actor table at `at` and returns the position after it. */
export function writeTable(out: Uint8Array, at: number, table: readonly string[]): number {
  let position = writeVarint(out, at, table.length);
  for (const actor of table) position = writeActor(out, position, actor);
  return position;
}

/** Reads an actor table; throws the reader's error unless it is in ascending order. */
export function readTable(reader: WireReader): readonly string[] {
  const count = reader.count(ACTOR_BYTES);
  const table: string[] = [];
  for (let index = 0; index < count; index++) {
    const actor = reader.actor();
    if (index > 0 && actor <= (table[index - 1] as string)) throw reader.malformed("its actors are not in order");
    table.push(actor);
  }
  return table;
}

/** Reads one dot or vector entry, whose actor is a place in `table`; throws the reader's error for any other. */
export function readDot(reader: WireReader, table: readonly string[]): Dot {
  const actor = table[reader.varint()];
  const incarnation = reader.varint();
  const counter = reader.varint();
  if (actor === undefined) throw reader.malformed("a dot names no actor of it");
  if (counter === 0) throw reader.malformed("a counter is 0");
  return { actor, incarnation, counter };
}

/** Reads a vector, whose actors are places in `table`; throws the reader's error unless it is in order. */
export function readVector(reader: WireReader, table: readonly string[]): VersionVector {
  const count = reader.count(ITEM_BYTES_MIN);
  if (count === 0) return EMPTY_VECTOR;
  const vector: Dot[] = [];
  let last: Dot | undefined;
  for (let index = 0; index < count; index++) {
    const entry = readDot(reader, table);
    if (last !== undefined && compareSources(last, entry) >= 0) throw reader.malformed("its vector is not in order");
    vector.push(entry);
    last = entry;
  }
  return vector;
}

/** Reads vector and dots, whose actors are places in `table`; throws the reader's error unless both are canonical. */
export function readContext(reader: WireReader, table: readonly string[]): CausalContext {
  const vector = readVector(reader, table);
  const count = reader.count(ITEM_BYTES_MIN);
  if (count === 0) return vector === EMPTY_VECTOR ? EMPTY_CONTEXT : { vector, dots: EMPTY_CONTEXT.dots };
  const dots: Dot[] = [];
  for (let index = 0; index < count; index++) {
    const dot = readDot(reader, table);
    if (index > 0 && compareDots(dots[index - 1] as Dot, dot) >= 0) throw reader.malformed("its dots are not in order");
    if (counterOf(vector, dot) >= dot.counter) throw reader.malformed("a dot is under its vector");
    dots.push(dot);
  }
  return { vector, dots };
}

/** Refuses a table with actors that its context does not name: equal contexts would not have equal bytes. */
export function checkTable(reader: WireReader, table: readonly string[], context: CausalContext): void {
  if (actorTable(context).length !== table.length) throw reader.malformed("it lists an actor that it does not name");
}

/** A context as it goes between nodes. One too large for a token is cut as `encodeToken` cuts it. */
export function encodeContext(context: CausalContext): Uint8Array {
  return writeWhole(context, FORMAT_BYTES);
}

/**
 * @throws {KvError} INVALID_CONTEXT for anything but the bytes that `encodeContext` makes.
 */
export function decodeContext(bytes: Uint8Array): CausalContext {
  if (bytes.length > FORMAT_BYTES + CONTEXT_BYTES_MAX) throw malformed("it is too long");
  return readWhole(bytes, FORMAT_BYTES);
}

/**
 * The token of a context, for one key.
 *
 * A context that would make a token longer than `TOKEN_CHARACTERS_MAX` loses what does not fit, isolated dots first. That is safe:
 * a write with such a token replaces less than it could, never more.
 *
 * @param key The client's key, any bytes.
 */
export function encodeToken(context: CausalContext, key: Uint8Array): string {
  const out = writeWhole(context, FORMAT_BYTES + CHECKSUM_BYTES);
  writeUint32(out, FORMAT_BYTES, tokenChecksum(out, key));
  return out.toString("base64url");
}

/**
 * Reads a token that was made for this key.
 *
 * @throws {KvError} INVALID_CONTEXT for anything but what `encodeToken` makes for this very key.
 */
export function decodeToken(token: string, key: Uint8Array): CausalContext {
  if (token.length > TOKEN_CHARACTERS_MAX) throw malformed("it is too long");
  const bytes = Buffer.from(token, "base64url");
  if (bytes.toString("base64url") !== token) throw malformed("it is not base64url");
  if (bytes.length < FORMAT_BYTES + CHECKSUM_BYTES) throw malformed("it is too short");
  checkFormat(bytes);
  if (readUint32(bytes, FORMAT_BYTES) !== tokenChecksum(bytes, key))
    throw malformed("its checksum is wrong, or it belongs to another key");
  return readWhole(bytes, FORMAT_BYTES + CHECKSUM_BYTES);
}

function tokenChecksum(bytes: Uint8Array, key: Uint8Array): number {
  return checksumOf(bytes.subarray(FORMAT_BYTES + CHECKSUM_BYTES), checksumOf(key, FORMAT));
}

/** Format byte, a gap up to `headBytes`, then the context. */
function writeWhole(context: CausalContext, headBytes: number): Buffer {
  const fitting = cutToFit(context);
  const table = actorTable(fitting);
  const size = headBytes + tableSize(table) + dotsSize(table, fitting.vector) + dotsSize(table, fitting.dots);
  const out = Buffer.allocUnsafe(size);
  out[0] = FORMAT;
  const afterTable = writeTable(out, headBytes, table);
  const afterVector = writeDots(out, afterTable, table, fitting.vector);
  const end = writeDots(out, afterVector, table, fitting.dots);
  assert.equal(end, size, "the size of a context is computed as it is written");
  return out;
}

function readWhole(bytes: Uint8Array, headBytes: number): CausalContext {
  checkFormat(bytes);
  const reader = new WireReader(bytes, headBytes, malformed);
  const table = readTable(reader);
  const context = readContext(reader, table);
  checkTable(reader, table, context);
  reader.end();
  return context;
}

function checkFormat(bytes: Uint8Array): void {
  if (bytes[0] !== FORMAT) throw malformed(`its format is ${bytes[0] ?? "missing"}, known is ${FORMAT}`);
}

function malformed(reason: string): KvError {
  return new KvError(
    "INVALID_CONTEXT",
    `Cannot use the context: ${reason}. Read the key again and use the context of that answer`,
  );
}

/** As much of the context as surely fits into `CONTEXT_BYTES_MAX`. */
function cutToFit(context: CausalContext): CausalContext {
  const { vector, dots } = context;
  const itemsSurelyFitting = Math.floor((CONTEXT_BYTES_MAX - 3 * ITEM_BYTES_MIN) / ITEM_BYTES_MAX);
  if (vector.length + dots.length <= itemsSurelyFitting) return context;
  const table = actorTable(context);
  if (tableSize(table) + dotsSize(table, vector) + dotsSize(table, dots) <= CONTEXT_BYTES_MAX) return context;
  const keptEntries = Math.min(vector.length, itemsSurelyFitting);
  return { vector: vector.slice(0, keptEntries), dots: dots.slice(0, itemsSurelyFitting - keptEntries) };
}
