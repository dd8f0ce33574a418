/** Frames between members, one or two of each kind of message, the same on each run. */
import fc from "fast-check";
import { FRAME_TYPE, FrameReader, type FrameType, FrameWriter } from "../../node/adapters/tcp/frame.ts";
import { decodeHello, encodeHello, type Hello, isRefusal, type Refusal } from "../../node/adapters/tcp/handshake.ts";
import type { Reply, Request } from "../../node/messages.ts";
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from "../../node/messages-codec.ts";
import { anyReply, anyRequest } from "../contract/any-message.ts";
import type { Format } from "./formats.ts";

const FRAME_BYTES_MAX = 64 * 1_024;
/** Of each kind that is drawn, so many are kept. */
const EXAMPLES_MAX = 2;

function frame(type: FrameType, message: readonly unknown[]): Uint8Array {
  const writer = new FrameWriter(FRAME_BYTES_MAX);
  writer.append(type, 7, 1_000, message, 123_456);
  return new Uint8Array(writer.take());
}

function messageIn(written: Uint8Array): readonly unknown[] {
  const reader = new FrameReader(FRAME_BYTES_MAX);
  reader.push(written);
  return reader.next()?.message ?? [];
}

/** The first ones of each kind among many that are drawn from one seed. */
function ofEachKind<T extends { readonly kind: string }>(any: fc.Arbitrary<T>): Readonly<Record<string, T>> {
  const found: Record<string, T> = {};
  const counts = new Map<string, number>();
  for (const message of fc.sample(any, { seed: 1, numRuns: 2_000 })) {
    const count = (counts.get(message.kind) ?? 0) + 1;
    counts.set(message.kind, count);
    if (count <= EXAMPLES_MAX) found[`${message.kind} ${count}`] = message;
  }
  return found;
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
const trace = Uint8Array.from({ length: 25 }, (_, index) => (index === 24 ? 1 : index + 1));

/** Requests of a sampled trace. */
const TRACED: Readonly<Record<string, Request>> = {
  "read of a trace": { kind: "read", epoch: 3, key: bytesOf("cart"), trace },
  "merge of a trace": { kind: "merge", epoch: 3, key: bytesOf("cart"), record: bytesOf("record"), trace },
  "merge of a trace, as a hint": {
    ...{ kind: "merge", epoch: 3, key: bytesOf("cart"), record: bytesOf("record"), trace },
    hint: { target: "n3", counts: true },
  },
  "stamp of a trace": {
    ...{ kind: "stamp", epoch: 3, key: bytesOf("cart"), base: { kind: "overwrite" }, event: undefined, trace },
    content: { value: bytesOf("milk"), contentType: "text/plain", expiresAtMs: undefined },
  },
};

/** Of collecting tombstones: what was added at the end of the messages. */
const FLUSH: Request = { kind: "clearance", epoch: 3, partitions: [], isToFlush: true };
const FLUSHED: Reply = { kind: "clearance", epoch: 3, clear: [], incarnation: 2 };

const HELLO: Hello = {
  clusterId: "sessions",
  role: "member",
  name: "n1",
  actor: "a0".repeat(16),
  incarnation: 3,
  expects: "n2",
  instance: "fedcba9876543210",
  sequence: 7,
};

function formats(): readonly Format[] {
  const of = <T>(format: Format<T>) => format as Format;
  return [
    of({
      name: "request",
      write: (request) => frame(FRAME_TYPE.request, encodeRequest(request)),
      read: (written) => decodeRequest(messageIn(written)),
      examples: { ...ofEachKind(anyRequest), ...TRACED, "clearance with a flush": FLUSH },
    }),
    of({
      name: "reply",
      write: (reply) => frame(FRAME_TYPE.reply, encodeReply(reply)),
      read: (written) => decodeReply(messageIn(written)),
      examples: { ...ofEachKind(anyReply), "clearance after a flush": FLUSHED },
    }),
    of<Hello | Refusal>({
      name: "hello",
      write: (hello) => frame(FRAME_TYPE.hello, isRefusal(hello) ? [] : encodeHello(hello)),
      read: (written) => decodeHello(messageIn(written)),
      examples: {
        member: HELLO,
        "member that says when its writes are durable": { ...HELLO, expects: undefined, durability: "disk" },
        "member that says how large a frame it takes": { ...HELLO, frameBytesMax: 20_975_616 },
      },
    }),
  ];
}

/** All of them, each under the name of its file of examples. */
export const MESSAGES: readonly Format[] = formats();
