import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import {
  FRAME_HEAD_BYTES,
  FRAME_TYPE,
  type Frame,
  FrameError,
  FrameReader,
  type FrameType,
  FrameWriter,
} from "../../../node/adapters/tcp/frame.ts";
import { KvError } from "../../../node/core/errors.ts";
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from "../../../node/messages-codec.ts";
import { anyReply, anyRequest } from "../../contract/any-message.ts";

const BYTES_MAX = 16 * 1_024;

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const anyType = fc.constantFrom<FrameType>(...Object.values(FRAME_TYPE));
const anyScalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }),
  fc.string({ unit: "grapheme" }),
  fc.uint8Array({ maxLength: 300 }),
);
const anyFrame: fc.Arbitrary<Frame> = fc.record(
  { type: anyType, id: uint32, budgetMs: uint32, sentMs: uint32, message: fc.array(anyScalar, { maxLength: 15 }) },
  { noNullPrototype: true },
);
const anyFrames = fc.array(anyFrame, { maxLength: 8 });
/** Where a stream is cut into chunks, as shares of its length. */
const anyCuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

const bytesOf = (...frames: readonly Frame[]) => written(BYTES_MAX, frames);

function written(bytesMax: number, frames: readonly Frame[]): Uint8Array {
  const writer = new FrameWriter(bytesMax);
  for (const { type, id, budgetMs, sentMs, message } of frames) writer.append(type, id, budgetMs, message, sentMs);
  return new Uint8Array(writer.take());
}

function readAll(reader: FrameReader): Frame[] {
  const frames: Frame[] = [];
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame);
  return frames;
}

/** Cuts a stream and reads it, taking frames after every chunk or only in the end. */
function readInChunks(stream: Uint8Array, cuts: readonly number[], isPatient = false): Frame[] {
  const reader = new FrameReader(BYTES_MAX);
  const at = [0, ...cuts.map((share) => Math.floor(share * stream.length)).sort((a, b) => a - b), stream.length];
  const frames: Frame[] = [];
  for (const [index, start] of at.slice(0, -1).entries()) {
    // A chunk of its own, as the system gives it; nobody may rely on the ones before.
    reader.push(stream.slice(start, at[index + 1]));
    if (!isPatient) frames.push(...readAll(reader));
  }
  return [...frames, ...readAll(reader)];
}

/** Message data as values that can be compared, whatever kind of array carries the bytes. */
const plain = (frames: readonly Frame[]) =>
  frames.map((frame) => ({ ...frame, message: frame.message.map(comparable) }));
const comparable = (value: unknown) => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return value === 0 ? 0 : value; // MessagePack has one zero.
};

describe("a stream of frames", () => {
  it("gives the same frames however it is cut into chunks", () => {
    fc.assert(
      fc.property(anyFrames, anyCuts, fc.boolean(), (frames, cuts, isPatient) => {
        assert.deepEqual(plain(readInChunks(bytesOf(...frames), cuts, isPatient)), plain(frames));
      }),
      { numRuns: 500 },
    );
  });

  it("gives its frames when it comes byte by byte", () => {
    const frames = [5, 40, 1_000].map((size, id) => frameOf(id, [new Uint8Array(size).fill(id)]));
    const stream = bytesOf(...frames);
    const reader = new FrameReader(BYTES_MAX);
    const found: Frame[] = [];
    for (const byte of stream) {
      reader.push(Uint8Array.of(byte));
      found.push(...readAll(reader));
    }
    assert.deepEqual(plain(found), plain(frames));
  });

  it("gives a frame of many MiB that comes in pieces of any size, and what follows it", () => {
    const large = new Uint8Array(9 << 20).map((_, at) => (at * 31) >> 7);
    const stream = written(10 << 20, [frameOf(1, [large]), frameOf(2, ["small"])]);
    for (const pieceBytes of [65_536, 1_000_003, 5 << 20, stream.length]) {
      const reader = new FrameReader(10 << 20);
      const found: Frame[] = [];
      for (let at = 0; at < stream.length; at += pieceBytes) {
        reader.push(stream.slice(at, at + pieceBytes));
        found.push(...readAll(reader));
      }
      const [first, second] = found;
      assert(Buffer.compare(first?.message[0] as Uint8Array, large) === 0, `in pieces of ${pieceBytes}`);
      assert.deepEqual(second?.message, ["small"]);
    }
  });

  it("takes no memory for what its head promises and nobody sends", () => {
    const reader = new FrameReader(512 << 20);
    const head = new Uint8Array(100);
    new DataView(head.buffer).setUint32(0, 500 << 20);
    const before = process.memoryUsage().arrayBuffers;
    reader.push(head);
    assert.equal(reader.next(), undefined);
    assert(process.memoryUsage().arrayBuffers - before < 8 << 20);
  });

  it("carries every message unchanged", () => {
    fc.assert(
      fc.property(anyRequest, anyReply, (request, reply) => {
        const stream = bytesOf(frameOf(1, encodeRequest(request)), frameOf(2, encodeReply(reply)));
        const [first, second] = readInChunks(stream, []);
        assert.deepEqual(plainMessage(decodeRequest(first?.message)), plainMessage(request));
        assert.deepEqual(plainMessage(decodeReply(second?.message)), plainMessage(reply));
      }),
    );
  });

  it("gives plain byte arrays, whose slices are copies", () => {
    const [frame] = readInChunks(bytesOf(frameOf(1, [Buffer.from("key")])), []);
    const [key] = frame?.message ?? [];
    assert(key instanceof Uint8Array && !Buffer.isBuffer(key));
    assert.notEqual(key.slice().buffer, key.buffer);
  });

  it("with one bit turned over never gives another frame than was sent, and breaks with nothing but a FrameError", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { minLength: 1, maxLength: 4 }),
        anyCuts,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (frames, cuts, share) => {
          const stream = bytesOf(...frames);
          const bit = Math.floor(share * stream.length * 8);
          stream[bit >> 3] = (stream[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          const found = readUntilBroken(stream, cuts);
          assert.deepEqual(plain(found), plain(frames).slice(0, found.length));
          assert(found.length < frames.length, "the damage was not noticed");
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("of any bytes at all breaks with nothing but a FrameError, and stays broken", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), anyCuts, (bytes, cuts) => {
        assert.deepEqual(readUntilBroken(bytes, cuts), []);
      }),
      { numRuns: 1_000 },
    );
  });

  it("of any payload under a true checksum gives a flat message or breaks", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (payload) => {
        const template = bytesOf(frameOf(1, [new Uint8Array(payload.length)]));
        // Any bytes of the same length in place of a packed byte string with its array head.
        const message = template.length - FRAME_HEAD_BYTES;
        const body = new Uint8Array(message).fill(0xc0);
        body.set(payload.subarray(0, message));
        for (const { message: fields } of readUntilBroken(sealed(template, body), [])) {
          assert(fields.length <= 15);
          assert(
            fields.every(
              (field) =>
                field === null || ["number", "string", "boolean"].includes(typeof field) || field instanceof Uint8Array,
            ),
          );
          assertRefusedOrRead(fields);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a frame", () => {
  it("larger than the reader allows is refused as soon as its length is known", () => {
    const reader = new FrameReader(1_000);
    reader.push(Uint8Array.of(0, 0, 0x03, 0xe1, 0, 0, 0));
    assert.equal(reader.next(), undefined);
    reader.push(Uint8Array.of(0));
    assert.throws(() => reader.next(), isFault("too-large"));
    assert.throws(() => reader.next(), isFault("too-large"));
  });

  it("that claims gigabytes takes no memory for them", () => {
    const reader = new FrameReader(BYTES_MAX);
    const before = process.memoryUsage().arrayBuffers;
    reader.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0));
    assert.throws(() => reader.next(), isFault("too-large"));
    assert(process.memoryUsage().arrayBuffers - before < 1_000_000);
  });

  it("shorter than its own head is refused", () => {
    for (const length of [0, 1, FRAME_HEAD_BYTES - 9]) {
      const reader = new FrameReader(BYTES_MAX);
      reader.push(Uint8Array.of(0, 0, 0, length, 0, 0, 0, 0, 0));
      assert.throws(() => reader.next(), isFault("garbage"));
    }
  });

  it("of a type that is none, or of a message that is not flat, is refused though its checksum is true", () => {
    const good = bytesOf(frameOf(1, [1, 2, 3]));
    for (const message of [
      [0x93, 0x81, 0xa1, 0x61],
      [0x91, 0x91, 0xc0, 0xc0],
      [0x91, 0xd4, 0x65, 0x01],
      [0x90, 0xc0, 0xc0, 0xc0],
    ]) {
      assert.throws(() => readInChunks(sealed(good, Uint8Array.from(message)), []), isFault("garbage"));
    }
    for (const type of [0, 8, 255]) {
      assert.throws(() => readInChunks(sealed(good, good.slice(FRAME_HEAD_BYTES), type), []), isFault("garbage"));
    }
  });

  it("of half its bytes is waited for, not guessed", () => {
    const stream = bytesOf(frameOf(1, [new Uint8Array(100)]));
    for (let length = 0; length < stream.length; length++) {
      const reader = new FrameReader(BYTES_MAX);
      reader.push(stream.slice(0, length));
      assert.equal(reader.next(), undefined);
    }
  });

  it("of exactly the bound passes, one byte more is refused on the way out, and the rest is sent", () => {
    const fitting = BYTES_MAX - bytesOf(frameOf(1, [new Uint8Array(1_000)])).length + 1_000;
    const writer = new FrameWriter(BYTES_MAX);
    writer.append(FRAME_TYPE.request, 1, 0, [new Uint8Array(10)]);
    assert.throws(
      () => writer.append(FRAME_TYPE.request, 2, 0, [new Uint8Array(fitting + 1)]),
      (error) => error instanceof KvError && error.code === "TOO_LARGE",
    );
    writer.append(FRAME_TYPE.request, 3, 0, [new Uint8Array(fitting)]);
    const reader = new FrameReader(BYTES_MAX);
    reader.push(new Uint8Array(writer.take()));
    assert.deepEqual(
      readAll(reader).map(({ id }) => id),
      [1, 3],
    );
  });
});

describe("a writer of frames", () => {
  it("goes on with another chunk while the last one may still be read", () => {
    const writer = new FrameWriter(BYTES_MAX);
    writer.append(FRAME_TYPE.request, 1, 0, ["first"]);
    const first = writer.take();
    writer.append(FRAME_TYPE.request, 2, 0, ["second"]);
    const second = writer.take();
    assert.notEqual(first.buffer, second.buffer);
    assert.deepEqual(plain(readInChunks(new Uint8Array(first), []))[0]?.message, ["first"]);
  });

  it("uses a chunk again that it was given back, and keeps what was said meanwhile", () => {
    const writer = new FrameWriter(BYTES_MAX);
    writer.append(FRAME_TYPE.request, 1, 0, ["first"]);
    const first = writer.take();
    writer.recycle();
    writer.append(FRAME_TYPE.request, 2, 0, ["second"]);
    const second = writer.take();
    assert.equal(first.buffer, second.buffer);
    writer.append(FRAME_TYPE.request, 3, 0, ["third"]);
    writer.recycle();
    assert.deepEqual(plain(readInChunks(new Uint8Array(writer.take()), []))[0]?.message, ["third"]);
    assert.deepEqual(plain(readInChunks(new Uint8Array(second), []))[0]?.message, ["second"]);
  });

  it("has nothing to give when nothing was said", () => {
    const writer = new FrameWriter(BYTES_MAX);
    assert.equal(writer.take().length, 0);
    writer.append(FRAME_TYPE.ping, 0, 0, []);
    assert.equal(writer.pendingBytes, FRAME_HEAD_BYTES + 1);
    assert.equal(writer.take().length, FRAME_HEAD_BYTES + 1);
    assert.equal(writer.pendingBytes, 0);
  });
});

function frameOf(id: number, message: readonly unknown[]): Frame {
  return { type: FRAME_TYPE.request, id, budgetMs: 1_000, sentMs: 77, message };
}

/** The frames before the damage. Anything but a `FrameError`, or another answer when asked again, fails the test. */
function readUntilBroken(stream: Uint8Array, cuts: readonly number[]): Frame[] {
  const reader = new FrameReader(BYTES_MAX);
  const frames: Frame[] = [];
  const at = [0, ...cuts.map((share) => Math.floor(share * stream.length)).sort((a, b) => a - b), stream.length];
  try {
    for (const [index, start] of at.slice(0, -1).entries()) {
      reader.push(stream.slice(start, at[index + 1]));
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame);
    }
  } catch (error) {
    assert(error instanceof FrameError, `threw ${error}`);
    assert.throws(() => reader.next(), isFault(error.fault));
  }
  return frames;
}

/** The frame of `template` with another message, and perhaps another type, under a true checksum. */
function sealed(template: Uint8Array, message: Uint8Array, type?: number): Uint8Array {
  const frame = new Uint8Array(FRAME_HEAD_BYTES + message.length);
  frame.set(template.subarray(0, FRAME_HEAD_BYTES));
  frame.set(message, FRAME_HEAD_BYTES);
  if (type !== undefined) frame[8] = type;
  const numbers = new DataView(frame.buffer);
  numbers.setUint32(0, frame.length - 8);
  numbers.setUint32(4, crc32(frame.subarray(8)));
  return frame;
}

function assertRefusedOrRead(fields: readonly unknown[]): void {
  for (const decode of [decodeRequest, decodeReply]) {
    try {
      decode(fields);
    } catch (error) {
      assert(error instanceof KvError, `threw ${error}`);
    }
  }
}

/** The message without the classes of its byte strings, nor the order of its fields. */
const plainMessage = (message: unknown): unknown =>
  JSON.parse(
    JSON.stringify(message, (_, value) =>
      value instanceof Uint8Array ? `0x${Buffer.from(value).toString("hex")}` : value,
    ),
  );

const isFault = (fault: string) => (error: unknown) => error instanceof FrameError && error.fault === fault;
