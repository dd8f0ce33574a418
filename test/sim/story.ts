/**
 * What travels between nodes, in words: for a person who reads the trace of one run. What nobody would read is left out:
 * gossip, comparisons of trees, pings.
 */
import { FRAME_TYPE, type Frame, FrameReader } from "../../node/adapters/tcp/frame.ts";
import { decodeRecord, RecordCorruptError } from "../../node/core/version/record-codec.ts";
import type { Reply, Request } from "../../node/messages.ts";
import { decodeReply, decodeRequest } from "../../node/messages-codec.ts";

const FRAME_BYTES_MAX = 64 << 20;
/** Of a value, no more is told. */
const HEAD_BYTES = 20;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function frameOf(bytes: Uint8Array): Frame | undefined {
  const reader = new FrameReader(FRAME_BYTES_MAX);
  reader.push(bytes.slice());
  return reader.next();
}

/** Whether a frame asks for a write to be stamped, which is the one request that is not the same when it comes twice. */
export function isStamp(bytes: Uint8Array): boolean {
  const frame = frameOf(bytes);
  return frame?.type === FRAME_TYPE.request && decodeRequest(frame.message).kind === "stamp";
}

/** What one frame says; undefined where that is of no interest. */
export function tellFrame(bytes: Uint8Array): string | undefined {
  const frame = frameOf(bytes);
  if (frame === undefined) return undefined;
  if (frame.type === FRAME_TYPE.request) {
    const told = tellRequest(decodeRequest(frame.message));
    return told && `${told} (#${frame.id}, ${frame.budgetMs} ms)`;
  }
  if (frame.type !== FRAME_TYPE.reply) return undefined;
  const told = tellReply(decodeReply(frame.message));
  return told && `${told} (#${frame.id})`;
}

function tellRequest(request: Request): string | undefined {
  switch (request.kind) {
    case "stamp": {
      const { base, content, event, hintFor } = request;
      const what = content.value === undefined ? "a deletion" : tellValue(content.value);
      const name = event === undefined ? "" : `, as ${event.kind === "client" ? text(event.id) : "a passed-on write"}`;
      return `stamp ${what} of ${text(request.key)} (${base.kind})${name}${hintFor === undefined ? "" : `, for ${hintFor}`}`;
    }
    case "merge": {
      const { hint } = request;
      const whose = hint === undefined ? "" : `, to keep for ${hint.target}${hint.counts ? ", counts" : ""}`;
      return `merge ${text(request.key)} ${tellRecord(request.record)}${whose}`;
    }
    case "read":
      return `read ${text(request.key)}${request.asStandIn === true ? " from hints" : ""}`;
    default:
      return undefined;
  }
}

function tellReply(reply: Reply): string | undefined {
  switch (reply.kind) {
    case "stamped":
      return `stamped ${tellRecord(reply.record)}`;
    case "merged":
      return "merged";
    case "record":
      return reply.record === undefined ? "has nothing" : `has ${tellRecord(reply.record)}`;
    case "failure":
      return `failed: ${reply.code}, outcome ${reply.outcome}`;
    default:
      return undefined;
  }
}

/** What of a value can be read, from the front, and how many bytes come after it. */
function tellValue(value: Uint8Array): string {
  const [head = ""] = /^[ -~]*/.exec(Buffer.from(value.subarray(0, HEAD_BYTES)).toString("latin1")) ?? [];
  const rest = value.length - head.length;
  return `"${head}"${rest === 0 ? "" : ` and ${rest} bytes`}`;
}

/** The values of a record, with the members' dots cut short. */
function tellRecord(bytes: Uint8Array): string {
  try {
    const values = decodeRecord(bytes).siblings.map(({ dot, value }) => {
      const where = `${dot.actor.slice(0, 4)}.${dot.incarnation}:${dot.counter}`;
      return `${where} ${value === undefined ? "deleted" : tellValue(value)}`;
    });
    return `[${values.join(", ")}]`;
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    return "[damaged]";
  }
}
