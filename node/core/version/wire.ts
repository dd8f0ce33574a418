/**
 * Reading and writing the numbers and names that records and contexts are made of, bounds-checked and canonical.
 *
 * Numbers are little-endian base-128 varints of 0 .. 2^53 − 1 in their shortest form. Actor ids are 16 bytes on the
 * wire and 32 hex digits in memory; both directions go through small tables, for a cluster has few actors and each
 * record names some of them. Content types likewise. The tables are bounded, whatever a peer sends.
 */
import assert from "node:assert/strict";

export const ACTOR_BYTES = 16;

/** Makes the error that malformed bytes are answered with. */
export type Malformed = (reason: string) => Error;

/** Bytes that `writeVarint` takes for a number of 0 .. 2^53 − 1. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x40_00) return 2;
  if (value < 0x20_00_00) return 3;
  if (value < 0x10_00_00_00) return 4;
  if (value < 2 ** 35) return 5;
  if (value < 2 ** 42) return 6;
  return value < 2 ** 49 ? 7 : 8;
}

/** Writes at `at` and returns the position after it. */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  let position = at;
  let rest = value;
  // Bit operations see 32 bits only, so what is above is shifted out by division.
  while (rest >= 0x10_00_00_00) {
    out[position++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    out[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[position++] = rest;
  return position;
}

/** Writes the low 32 bits of a number into the four bytes at `at`. */
export function writeUint32(out: Uint8Array, at: number, value: number): void {
  out[at] = value & 0xff;
  out[at + 1] = (value >>> 8) & 0xff;
  out[at + 2] = (value >>> 16) & 0xff;
  out[at + 3] = value >>> 24;
}

/** The four bytes at `at` as an unsigned number. The caller has checked that they are there. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at) >>> 0;
}

function int32At(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
  return low | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
}

/** Reads forward through bytes that anybody may have sent. Every method throws what `malformed` makes, and only that. */
export class WireReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly malformed: Malformed;

  constructor(bytes: Uint8Array, position: number, malformed: Malformed) {
    this.bytes = bytes;
    this.position = position;
    this.malformed = malformed;
  }

  varint(): number {
    const bytes = this.bytes;
    let position = this.position;
    if (position >= bytes.length) throw this.malformed("it ends too early");
    const first = bytes[position++] as number;
    if (first < 0x80) {
      this.position = position;
      return first;
    }
    let value = first & 0x7f;
    for (let shift = 7; shift < 28; shift += 7) {
      if (position >= bytes.length) throw this.malformed("it ends too early");
      const byte = bytes[position++] as number;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0) throw this.malformed("a number is not in its shortest form");
        this.position = position;
        return value;
      }
    }
    this.position = position;
    return this.#largeVarint(value);
  }

  /** The part above 28 bits, where bit operations do not reach. */
  #largeVarint(low: number): number {
    let value = low;
    for (let scale = 2 ** 28; scale <= 2 ** 49; scale *= 0x80) {
      if (this.position >= this.bytes.length) throw this.malformed("it ends too early");
      const byte = this.bytes[this.position++] as number;
      value += (byte & 0x7f) * scale;
      if (byte >= 0x80) continue;
      if (byte === 0) throw this.malformed("a number is not in its shortest form");
      if (value > Number.MAX_SAFE_INTEGER) break;
      return value;
    }
    throw this.malformed("a number is above 2^53 − 1");
  }

  /** A number of things that take at least `itemBytes` each, so that no count can claim more than the bytes hold. */
  count(itemBytes: number): number {
    const count = this.varint();
    if (count * itemBytes > this.bytes.length - this.position) throw this.malformed("it ends too early");
    return count;
  }

  byte(): number {
    if (this.position >= this.bytes.length) throw this.malformed("it ends too early");
    return this.bytes[this.position++] as number;
  }

  /** A view of the next bytes, not a copy. */
  view(sizeBytes: number): Uint8Array {
    const { bytes, position } = this;
    if (sizeBytes > bytes.length - position) throw this.malformed("it ends too early");
    this.position = position + sizeBytes;
    return new Uint8Array(bytes.buffer, bytes.byteOffset + position, sizeBytes);
  }

  actor(): string {
    const { bytes, position } = this;
    if (ACTOR_BYTES > bytes.length - position) throw this.malformed("it ends too early");
    this.position = position + ACTOR_BYTES;
    return actorAt(bytes, position);
  }

  text(sizeBytes: number): string {
    const text = textOf(this.view(sizeBytes));
    if (text === undefined) throw this.malformed("a text is not UTF-8");
    return text;
  }

  end(): void {
    if (this.position !== this.bytes.length) throw this.malformed("there are bytes after its end");
  }
}

const ACTOR_SLOTS = 256;
const actorWords = new Int32Array(ACTOR_SLOTS * 4);
const actorTexts: (string | undefined)[] = new Array(ACTOR_SLOTS).fill(undefined);

/** Ids are random, so any byte of them finds the slot; a collision costs time, never a wrong name. */
function actorAt(bytes: Uint8Array, at: number): string {
  const first = int32At(bytes, at);
  const second = int32At(bytes, at + 4);
  const third = int32At(bytes, at + 8);
  const fourth = int32At(bytes, at + 12);
  const slot = first & (ACTOR_SLOTS - 1);
  const word = slot * 4;
  const known = actorTexts[slot];
  if (
    known !== undefined &&
    actorWords[word] === first &&
    actorWords[word + 1] === second &&
    actorWords[word + 2] === third &&
    actorWords[word + 3] === fourth
  )
    return known;
  const text = Buffer.from(bytes.subarray(at, at + ACTOR_BYTES)).toString("hex");
  actorWords[word] = first;
  actorWords[word + 1] = second;
  actorWords[word + 2] = third;
  actorWords[word + 3] = fourth;
  actorTexts[slot] = text;
  return text;
}

const TABLE_SIZE_MAX = 1_024;
const actorBytes = new Map<string, Uint8Array>();

/** Writes an actor id of 32 hex digits and returns the position after it. */
export function writeActor(out: Uint8Array, at: number, actor: string): number {
  let bytes = actorBytes.get(actor);
  if (bytes === undefined) {
    assert(/^[0-9a-f]{32}$/.test(actor), "an actor is 32 lower-case hex digits");
    bytes = new Uint8Array(Buffer.from(actor, "hex"));
    if (actorBytes.size >= TABLE_SIZE_MAX) actorBytes.clear();
    actorBytes.set(actor, bytes);
  }
  for (let index = 0; index < ACTOR_BYTES; index++) out[at + index] = bytes[index] as number;
  return at + ACTOR_BYTES;
}

const TEXT_BYTES_MAX = 128;
const textBytes = new Map<string, Uint8Array>();

/** A text as UTF-8. The array is shared and must not be changed. */
export function bytesOfText(text: string): Uint8Array {
  const known = textBytes.get(text);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(Buffer.from(text, "utf8"));
  if (bytes.length > TEXT_BYTES_MAX) return bytes;
  if (textBytes.size >= TABLE_SIZE_MAX) textBytes.clear();
  textBytes.set(text, bytes);
  return bytes;
}

type KnownText = { readonly bytes: Uint8Array; readonly text: string };
const TEXT_SLOTS = 64;
const knownTexts: (KnownText | undefined)[] = new Array(TEXT_SLOTS).fill(undefined);

/** The text, or undefined when the bytes are not what that text would be written as. */
function textOf(bytes: Uint8Array): string | undefined {
  const size = bytes.length;
  if (size === 0) return "";
  const slot = (size * 7 + (bytes[size - 1] as number) + (bytes[size >>> 1] as number) * 3) & (TEXT_SLOTS - 1);
  const known = knownTexts[slot];
  if (known !== undefined && Buffer.compare(known.bytes, bytes) === 0) return known.text;
  const copy = Buffer.from(bytes);
  const text = copy.toString("utf8");
  if (Buffer.compare(Buffer.from(text, "utf8"), bytes) !== 0) return undefined;
  if (size <= TEXT_BYTES_MAX) knownTexts[slot] = { bytes: new Uint8Array(copy), text };
  return text;
}
