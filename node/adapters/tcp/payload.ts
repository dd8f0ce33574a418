/**
 * Values inside a frame: flat arrays in MessagePack, by msgpackr.
 *
 * msgpackr reads more than messages need: maps, records that define themselves, extensions that build errors, regular
 * expressions or typed arrays, arrays in arrays. None of that may be reached by a peer, so the tokens are looked
 * through first; a message has few of them, so the look costs less than the reading. What passes is one array of at
 * most 15 numbers, strings, byte strings, booleans and nulls that ends exactly where the payload ends.
 */
import assert from "node:assert/strict";
import { Packr, RESET_BUFFER_MODE, REUSE_BUFFER_MODE } from "msgpackr/pack";

/** Elements of one message at most, so that the array's head is one byte. */
export const MESSAGE_FIELDS_MAX = 15;

/** Where a packed message lies; overwritten by the next call of `packMessage`. */
export type PackedMessage = Buffer & { readonly start: number; readonly end: number };

const packr = new Packr({ useRecords: false, int64AsType: "number", useToJSON: false });
const range = { start: 0, end: 0 };
/** What the shared buffer may keep: one very large message may not pin its memory for the life of the process. */
const KEPT_BYTES_MAX = 4 * 1_024 * 1_024;
const BUFFER_BYTES = 8_192;
let bufferBytes = 0;

/**
 * Packs a flat message into a shared buffer, which the caller copies from before anything else is packed.
 *
 * @param message At most 15 numbers, strings, byte strings, booleans and nulls.
 */
export function packMessage(message: readonly unknown[]): PackedMessage {
  assert(message.length <= MESSAGE_FIELDS_MAX, "a message has more fields than its head can count");
  if (bufferBytes > KEPT_BYTES_MAX) packr.useBuffer(Buffer.allocUnsafeSlow(BUFFER_BYTES));
  const packed = packr.encode(message, REUSE_BUFFER_MODE | RESET_BUFFER_MODE) as PackedMessage;
  bufferBytes = packed.length;
  return packed;
}

/**
 * Reads one flat message, or gives undefined when the bytes are anything else.
 *
 * @param bytes Holds the message at `start` .. `end`. Byte strings of the result are views into it.
 */
export function unpackMessage(bytes: Uint8Array, start: number, end: number): unknown[] | undefined {
  if (!isFlatMessage(bytes, start, end)) return undefined;
  range.start = start;
  range.end = end;
  const message: unknown = packr.decode(bytes, range);
  return Array.isArray(message) ? message : undefined;
}

function isFlatMessage(bytes: Uint8Array, start: number, end: number): boolean {
  if (start >= end) return false;
  const head = byteAt(bytes, start);
  if (head < 0x90 || head > 0x9f) return false;
  let position = start + 1;
  for (let remaining = head - 0x90; remaining > 0; remaining--) {
    if (position >= end) return false;
    position += elementBytes(bytes, position, end);
  }
  return position === end;
}

/** Bytes that the element at `position` takes; more than there are for what a message may not hold. */
function elementBytes(bytes: Uint8Array, position: number, end: number): number {
  const token = byteAt(bytes, position);
  if (token < 0x80 || token >= 0xe0) return 1; // Small integers.
  if (token >= 0xa0 && token < 0xc0) return 1 + (token - 0xa0); // Short string.
  switch (token) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return 1;
    case 0xcc: // uint 8
    case 0xd0: // int 8
      return 2;
    case 0xcd: // uint 16
    case 0xd1: // int 16
      return 3;
    case 0xce: // uint 32
    case 0xd2: // int 32
      return 5;
    case 0xcb: // float 64
      return 9;
    case 0xc4: // bin 8
    case 0xd9: // str 8
      return position + 1 < end ? 2 + byteAt(bytes, position + 1) : 2;
    case 0xc5: // bin 16
    case 0xda: // str 16
      return position + 2 < end ? 3 + byteAt(bytes, position + 1) * 0x100 + byteAt(bytes, position + 2) : 3;
    case 0xc6: // bin 32
    case 0xdb: // str 32
      return position + 4 < end ? 5 + uint32At(bytes, position + 1) : 5;
    default:
      return Number.POSITIVE_INFINITY;
  }
}

function byteAt(bytes: Uint8Array, position: number): number {
  return bytes[position] ?? 0;
}

/** The big-endian number at `position`, as MessagePack and the frames write it. */
export function uint32At(bytes: Uint8Array, position: number): number {
  return (
    byteAt(bytes, position) * 0x1000000 +
    ((byteAt(bytes, position + 1) << 16) | (byteAt(bytes, position + 2) << 8) | byteAt(bytes, position + 3))
  );
}
