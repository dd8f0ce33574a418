/**
 * Frames on a connection between members: length-prefixed, checksummed, bounded. Bytes in, frames out, and back.
 *
 *      0        4          8      9    13          17        21
 *      | length | checksum | type | id | budget ms | sent ms | message ...
 *                          |<------------ `length` bytes --------------->|
 *
 * All numbers are big-endian. The checksum is the CRC-32 of the `length` bytes after it: TCP's own 16 bits let
 * damage through at the rate that large clusters see. `id` matches a reply to its request; `budget` is how long the
 * sender still waits, as a duration, since the clocks of two machines differ; `sent` is the sender's own clock, which
 * shows how long a frame waited on its way (delay-meter.ts). The message is a flat array, see payload.ts.
 *
 * A writer puts many frames into one growing chunk, so that a turn of the event loop costs one system call and no
 * buffer per frame. A reader takes chunks cut anywhere and gives whole frames. Neither knows of sockets.
 */
import { crc32 } from "node:zlib";
import { KvError } from "../../core/errors.ts";
import { packMessage, uint32At, unpackMessage } from "./payload.ts";

export const FRAME_TYPE = { hello: 1, welcome: 2, refusal: 3, request: 4, reply: 5, ping: 6, pong: 7 } as const;
export type FrameType = (typeof FRAME_TYPE)[keyof typeof FRAME_TYPE];

/** Bytes before the message. */
export const FRAME_HEAD_BYTES = 21;
const CHECKED_FROM = 8;
const FIRST_TYPE = FRAME_TYPE.hello;
const LAST_TYPE = FRAME_TYPE.pong;

const CHUNK_BYTES_MIN = 64 * 1_024;
/** What is kept ready for a frame before any of it has come. */
const ROOM_BYTES = 2 * 1_024 * 1_024;

export type Frame = {
  readonly type: FrameType;
  readonly id: number;
  /** How long the sender still waited when it sent this, in ms. */
  readonly budgetMs: number;
  /** The sender's monotonic clock when it queued this: whole ms modulo 2^32. */
  readonly sentMs: number;
  /** Byte strings in it are views into the chunk that was pushed: keep one, and the whole chunk is kept. */
  readonly message: readonly unknown[];
};

export type FrameFault = "too-large" | "checksum" | "garbage";

/** What a peer sent is no frame. Nothing after it can be trusted: the connection is to be closed. */
export class FrameError extends KvError {
  readonly fault: FrameFault;

  constructor(fault: FrameFault, expected: string, found: string) {
    super("INVALID_REQUEST", `Cannot read a frame: expected ${expected}, found ${found}`);
    this.fault = fault;
  }
}

/** Collects outgoing frames in one chunk. */
export class FrameWriter {
  readonly #frameBytesMax: number;
  #chunk: Buffer | undefined;
  #taken: Buffer | undefined;
  #used = 0;

  /** @param frameBytesMax Size of one frame with its head, in bytes; what the reader at the other end allows. */
  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Bytes collected since the last `take`. */
  get pendingBytes(): number {
    return this.#used;
  }

  /**
   * Adds one frame.
   *
   * @param id 0 .. 2^32 − 1. `budgetMs`: 0 .. 2^32 − 1, whole ms. `sentMs`: this side's clock, 0 or more.
   * @throws {KvError} TOO_LARGE when the frame would pass the bound; nothing is added then.
   */
  append(type: FrameType, id: number, budgetMs: number, message: readonly unknown[], sentMs = 0): void {
    const packed = packMessage(message);
    const messageBytes = packed.end - packed.start;
    const frameBytes = FRAME_HEAD_BYTES + messageBytes;
    if (frameBytes > this.#frameBytesMax) {
      const bound = `${this.#frameBytesMax} bytes in a frame`;
      throw new KvError("TOO_LARGE", `Cannot send a message: expected at most ${bound}, found ${frameBytes}`);
    }
    const chunk = this.#room(frameBytes);
    const start = this.#used;
    const end = start + frameBytes;
    packed.copy(chunk, start + FRAME_HEAD_BYTES, packed.start, packed.end);
    writeUint32(chunk, start, frameBytes - CHECKED_FROM);
    chunk[start + 8] = type;
    writeUint32(chunk, start + 9, id);
    writeUint32(chunk, start + 13, budgetMs);
    writeUint32(chunk, start + 17, Math.floor(sentMs) >>> 0);
    writeUint32(chunk, start + 4, crc32(chunk.subarray(start + CHECKED_FROM, end)));
    this.#used = end;
  }

  /** The frames collected so far. The writer goes on with another chunk, unless `recycle` gives this one back. */
  take(): Uint8Array {
    const taken = this.#chunk;
    const used = this.#used;
    this.#taken = taken;
    this.#chunk = undefined;
    this.#used = 0;
    return taken === undefined ? EMPTY : taken.subarray(0, used);
  }

  /** Says that nobody reads the last taken chunk any more, so that its memory may be used again. */
  recycle(): void {
    // One large burst may not pin its memory for the life of the connection.
    if (this.#chunk === undefined && this.#taken?.length === CHUNK_BYTES_MIN) this.#chunk = this.#taken;
    this.#taken = undefined;
  }

  #room(bytes: number): Buffer {
    const needed = this.#used + bytes;
    if (this.#chunk !== undefined && needed <= this.#chunk.length) return this.#chunk;
    const grown = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES_MIN, (this.#chunk?.length ?? 0) * 2, needed));
    this.#chunk?.copy(grown, 0, 0, this.#used);
    this.#chunk = grown;
    return grown;
  }
}

/** Gives the frames of a stream of chunks, one at a time, so that the taker may stop in the middle of a chunk. */
export class FrameReader {
  #frameBytesMax: number;
  /** Bytes not read yet: `#chunk[#start .. #end)`. Room past `#end` is kept for the rest of a frame that is coming. */
  #chunk: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;
  /** Bytes that follow those. */
  #following: Uint8Array = EMPTY;

  /** @param frameBytesMax Size of one frame with its head, in bytes; a larger one is an error once its length is known. */
  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Allows larger frames from now on: a stranger may send little, a member that has said who it is may send more. */
  allow(frameBytesMax: number): void {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Takes the next bytes of the stream. The chunk is the reader's from here on; only a frame that it cuts is copied. */
  push(chunk: Uint8Array): void {
    // A plain view: `slice` of a Buffer shares memory where that of a Uint8Array copies, and services may call it.
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    if (this.#following.length > 0) {
      this.#following = joined(this.#following, bytes);
    } else if (this.#start === this.#end) {
      this.#become(bytes);
    } else {
      const taken = Math.min(this.#chunk.length - this.#end, bytes.length);
      this.#chunk.set(taken === bytes.length ? bytes : bytes.subarray(0, taken), this.#end);
      this.#end += taken;
      this.#following = bytes.subarray(taken);
    }
  }

  /**
   * The next whole frame, or undefined until more bytes are pushed.
   *
   * @throws {FrameError} The stream is broken here and stays so.
   */
  next(): Frame | undefined {
    for (;;) {
      const available = this.#end - this.#start;
      const frameBytes = available < CHECKED_FROM ? undefined : this.#frameBytes();
      if (frameBytes !== undefined && available >= frameBytes) {
        const frame = readFrame(this.#chunk, this.#start, this.#start + frameBytes);
        this.#start += frameBytes;
        return frame;
      }
      if (available === 0) this.#become(EMPTY);
      // Of a head that is cut, that much is sure to come.
      else if (this.#end === this.#chunk.length) this.#move(roomFor(frameBytes ?? CHECKED_FROM, available));
      const following = this.#following;
      if (following.length === 0) return undefined;
      this.#following = EMPTY;
      this.push(following);
    }
  }

  /** The length of the frame whose head is here. */
  #frameBytes(): number {
    const frameBytes = CHECKED_FROM + uint32At(this.#chunk, this.#start);
    if (frameBytes > this.#frameBytesMax) {
      throw new FrameError("too-large", `at most ${this.#frameBytesMax} bytes`, `${frameBytes}`);
    }
    if (frameBytes < FRAME_HEAD_BYTES) {
      throw new FrameError("garbage", `at least ${FRAME_HEAD_BYTES} bytes`, `${frameBytes}`);
    }
    return frameBytes;
  }

  #become(bytes: Uint8Array): void {
    this.#chunk = bytes;
    this.#start = 0;
    this.#end = bytes.length;
  }

  #move(capacity: number): void {
    const moved = new Uint8Array(Buffer.allocUnsafeSlow(capacity).buffer);
    moved.set(this.#chunk.subarray(this.#start, this.#end));
    this.#end -= this.#start;
    this.#start = 0;
    this.#chunk = moved;
  }
}

const EMPTY = new Uint8Array(0);

/**
 * Room for the whole frame at once, so that one of many chunks is copied once and not again with every chunk; for a large
 * one twice what has come of it, since its length is no more than what its sender says.
 */
function roomFor(frameBytes: number, available: number): number {
  return Math.min(frameBytes, Math.max(ROOM_BYTES, 2 * available));
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function readFrame(chunk: Uint8Array, start: number, end: number): Frame {
  const checked = chunk.subarray(start + CHECKED_FROM, end);
  const [expected, found] = [uint32At(chunk, start + 4), crc32(checked)];
  if (expected !== found) throw new FrameError("checksum", `checksum ${expected}`, `${found}`);
  const type = toType(checked[0] ?? 0);
  const message = unpackMessage(chunk, start + FRAME_HEAD_BYTES, end);
  if (message === undefined) throw new FrameError("garbage", "a flat message", `${end - start} other bytes`);
  return {
    type,
    id: uint32At(chunk, start + 9),
    budgetMs: uint32At(chunk, start + 13),
    sentMs: uint32At(chunk, start + 17),
    message,
  };
}

function toType(byte: number): FrameType {
  if (byte < FIRST_TYPE || byte > LAST_TYPE) throw new FrameError("garbage", "a frame type from 1 to 7", `${byte}`);
  return byte as FrameType;
}

function writeUint32(target: Uint8Array, position: number, value: number): void {
  target[position] = value >>> 24;
  target[position + 1] = value >>> 16;
  target[position + 2] = value >>> 8;
  target[position + 3] = value;
}
