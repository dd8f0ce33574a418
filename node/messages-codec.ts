/**
 * Turns messages between members into flat arrays and back, checking every field on the way in.
 *
 * An array starts with the number of its kind; the fields follow in a fixed order, `null` standing for an absent one.
 * Only numbers, booleans, strings, byte strings and `null` occur, never an array or a map inside. Elements after the known ones
 * are ignored, so that the next release may add fields at the end. What a peer sends leads to a message or to a
 * `KvError`, to nothing else; sizes beyond those given here are bounded by the frame that carries the message.
 * Not the framing: see adapters/tcp/frame.ts.
 */
import { ERROR_CODES, type ErrorCode, type Outcome } from "./core/errors.ts";
import type {
  EventName,
  FailureReply,
  MergeRequest,
  ReadRequest,
  Reply,
  Request,
  ScannedEntry,
  StampRequest,
  WriteBase,
} from "./messages.ts";
import { invalid, toBytes, toCount, toText } from "./messages-fields.ts";
import { packNews, unpackNews } from "./messages-gossip-codec.ts";
import {
  decodeHorizonReply,
  decodeHorizonRequest,
  encodeHorizonReply,
  encodeHorizonRequest,
  isHorizonKind,
} from "./messages-horizon-codec.ts";
import {
  decodeRepairReply,
  decodeRepairRequest,
  encodeRepairReply,
  encodeRepairRequest,
  isRepairKind,
} from "./messages-repair-codec.ts";
import {
  decodeRingReply,
  decodeRingRequest,
  encodeRingReply,
  encodeRingRequest,
  isRingReplyKind,
  isRingRequestKind,
  toActor,
  toDocument,
} from "./messages-ring-codec.ts";
import { traced, withTrace } from "./messages-trace.ts";

/** Bounds of the fields, the same for what is sent and what is taken. Lengths of strings are in UTF-16 units. */
export const MESSAGE_BOUNDS = {
  keyBytesMax: 1_024,
  eventIdBytesMax: 64,
  contentTypeLengthMax: 1_024,
  memberNameLengthMax: 63,
  failureTextLengthMax: 2_048,
  /** Entries of one page of a scan. */
  scanLimitMax: 1_000,
  /** A record, value, context or ring document; the frame's own bound is tighter. */
  bodyBytesMax: 32 * 1_024 * 1_024,
} as const;

/** Lengths of one entry of a page. */
const ENTRY_HEAD_BYTES = 2 + 4;

const REQUEST_KIND = { stamp: 1, merge: 2, read: 3, ring: 4, scan: 5, gossip: 20 } as const;
const REPLY_KIND = { failure: 0, stamped: 1, merged: 2, record: 3, ring: 4, scanned: 5, gossiped: 20 } as const;
const BASE_KIND = { context: 0, overwrite: 1, sibling: 2 } as const;
const EVENT_KIND = { none: 0, client: 1, forward: 2 } as const;
const OUTCOME = { none: 0, unknown: 1 } as const;

/** The array for `request`. Byte strings are shared with it, not copied. */
export function encodeRequest(request: Request): unknown[] {
  switch (request.kind) {
    case "stamp": {
      const { epoch, key, base, content, event } = request;
      const context = base.kind === "context" ? base.context : null;
      const fields = [
        REQUEST_KIND.stamp,
        epoch,
        key,
        BASE_KIND[base.kind],
        context,
        content.value ?? null,
        content.contentType,
        content.expiresAtMs ?? null,
        event === undefined ? EVENT_KIND.none : EVENT_KIND[event.kind],
        event?.id ?? null,
        request.hintFor ?? null,
      ];
      return withTrace(fields, request.trace);
    }
    case "merge": {
      const { epoch, key, record, hint, trace } = request;
      if (hint !== undefined) {
        return withTrace([REQUEST_KIND.merge, epoch, key, record, hint.target, hint.counts], trace);
      }
      if (trace === undefined) return [REQUEST_KIND.merge, epoch, key, record, null];
      return [REQUEST_KIND.merge, epoch, key, record, null, null, trace];
    }
    case "read":
      return withTrace(
        [REQUEST_KIND.read, request.epoch, request.key, request.asStandIn === true, request.forRepair === true],
        request.trace,
      );
    case "ring":
      return [REQUEST_KIND.ring];
    case "scan":
      return [REQUEST_KIND.scan, request.epoch, request.partition, request.after ?? null, request.limit];
    case "roots":
    case "branches":
    case "leaves":
    case "sizes":
      return encodeRepairRequest(request);
    case "horizons":
    case "clearance":
      return encodeHorizonRequest(request);
    case "gossip":
      return [REQUEST_KIND.gossip, packNews(request.news), request.epoch];
    case "promise":
    case "accept":
    case "progress":
      return encodeRingRequest(request);
  }
}

/**
 * Reads a request that a peer sent.
 *
 * @param value Anything. Byte strings of the result are shared with it.
 * @throws {KvError} INVALID_REQUEST when a field is missing, of another type or out of bounds, or the kind is unknown.
 */
export function decodeRequest(value: unknown): Request {
  const fields = toFields(value);
  switch (fields[0]) {
    case REQUEST_KIND.stamp:
      return decodeStamp(fields);
    case REQUEST_KIND.merge:
      return decodeMerge(fields);
    case REQUEST_KIND.read:
      return decodeRead(fields);
    case REQUEST_KIND.ring:
      return { kind: "ring" };
    case REQUEST_KIND.scan:
      return {
        kind: "scan",
        epoch: toCount(fields[1], "epoch"),
        partition: toCount(fields[2], "partition"),
        after: fields[3] === null ? undefined : toKey(fields[3]),
        limit: toScanLimit(fields[4]),
      };
    case REQUEST_KIND.gossip:
      return { kind: "gossip", news: unpackNews(fields[1]), epoch: toCount(fields[2], "epoch") };
    default:
      if (isRepairKind(fields[0])) return decodeRepairRequest(fields);
      if (isHorizonKind(fields[0])) return decodeHorizonRequest(fields);
      if (isRingRequestKind(fields[0])) return decodeRingRequest(fields);
      throw invalid("kind of request", "1..5, 10..12, 20, 30, 31, 33", fields[0]);
  }
}

/** The array for `reply`. Byte strings are shared with it, not copied. */
export function encodeReply(reply: Reply): unknown[] {
  switch (reply.kind) {
    case "stamped":
      return [REPLY_KIND.stamped, reply.record, reply.context];
    case "merged":
      return [REPLY_KIND.merged, reply.isCovered];
    case "record":
      return [REPLY_KIND.record, reply.record ?? null];
    case "ring":
      return [REPLY_KIND.ring, reply.document ?? null, reply.hadRing, reply.knowsAnother, reply.actor];
    case "scanned":
      return [REPLY_KIND.scanned, reply.done, packEntries(reply.entries)];
    case "roots":
    case "branches":
    case "leaves":
    case "sizes":
      return encodeRepairReply(reply);
    case "horizons":
    case "clearance":
      return encodeHorizonReply(reply);
    case "gossiped":
      return [REPLY_KIND.gossiped, packNews(reply.news), reply.epoch];
    case "voted":
    case "progress":
      return encodeRingReply(reply);
    case "failure": {
      const text = reply.message.slice(0, MESSAGE_BOUNDS.failureTextLengthMax);
      return [REPLY_KIND.failure, reply.code, text, OUTCOME[reply.outcome]];
    }
  }
}

/**
 * Reads a reply that a peer sent. A failure with a code or outcome that this release does not know becomes the most
 * careful one it knows, since the peer may be a release ahead.
 *
 * @param value Anything. Byte strings of the result are shared with it.
 * @throws {KvError} INVALID_REQUEST when a field is missing, of another type or out of bounds, or the kind is unknown.
 */
export function decodeReply(value: unknown): Reply {
  const fields = toFields(value);
  switch (fields[0]) {
    case REPLY_KIND.stamped:
      return { kind: "stamped", record: toBody(fields[1], "record"), context: toBody(fields[2], "context") };
    case REPLY_KIND.merged:
      return { kind: "merged", isCovered: fields[1] === true };
    case REPLY_KIND.record:
      return { kind: "record", record: fields[1] === null ? undefined : toBody(fields[1], "record") };
    case REPLY_KIND.ring: {
      const document = fields[1];
      return {
        kind: "ring",
        document: document === null ? undefined : toDocument(document),
        hadRing: fields[2] === true,
        knowsAnother: fields[3] === true,
        actor: toActor(fields[4]),
      };
    }
    case REPLY_KIND.scanned:
      return { kind: "scanned", done: fields[1] === true, entries: unpackEntries(fields[2]) };
    case REPLY_KIND.gossiped:
      return { kind: "gossiped", news: unpackNews(fields[1]), epoch: toCount(fields[2], "epoch") };
    case REPLY_KIND.failure:
      return decodeFailure(fields);
    default:
      if (isRepairKind(fields[0])) return decodeRepairReply(fields);
      if (isHorizonKind(fields[0])) return decodeHorizonReply(fields);
      if (isRingReplyKind(fields[0])) return decodeRingReply(fields);
      throw invalid("kind of reply", "0..5, 10..15, 20, 32, 33", fields[0]);
  }
}

function decodeStamp(fields: readonly unknown[]): StampRequest {
  const expiresAtMs = fields[7];
  const hintFor = toTarget(fields[10]);
  const request: StampRequest = {
    kind: "stamp",
    epoch: toCount(fields[1], "epoch"),
    key: toKey(fields[2]),
    base: toBase(fields[3], fields[4]),
    content: {
      value: fields[5] === null ? undefined : toBody(fields[5], "value"),
      contentType: toText(fields[6], MESSAGE_BOUNDS.contentTypeLengthMax, "content type"),
      expiresAtMs: expiresAtMs === null ? undefined : toCount(expiresAtMs, "instant of expiry"),
    },
    event: toEvent(fields[8], fields[9]),
  };
  return traced(hintFor === undefined ? request : { ...request, hintFor }, fields[11]);
}

function decodeMerge(fields: readonly unknown[]): MergeRequest {
  const request: MergeRequest = {
    kind: "merge",
    epoch: toCount(fields[1], "epoch"),
    key: toKey(fields[2]),
    record: toBody(fields[3], "record"),
  };
  const target = toTarget(fields[4]);
  const hint = { hint: { target: target ?? "", counts: fields[5] === true } };
  return traced(target === undefined ? request : { ...request, ...hint }, fields[6]);
}

function decodeRead(fields: readonly unknown[]): ReadRequest {
  const request: ReadRequest = { kind: "read", epoch: toCount(fields[1], "epoch"), key: toKey(fields[2]) };
  if (fields[3] === true) return traced({ ...request, asStandIn: true }, fields[5]);
  return traced(fields[4] === true ? { ...request, forRepair: true } : request, fields[5]);
}

/** The member that a hint is for; a peer of an older release sends no such field. */
function toTarget(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  const name = toText(value, MESSAGE_BOUNDS.memberNameLengthMax, "target of a hint");
  if (/^[a-z0-9.-]+$/.test(name)) return name;
  throw invalid("target of a hint", "a member's name", value);
}

/** One field for a whole page, since a message has few: u16 key length, key, u32 record length, record, and so on. */
function packEntries(entries: readonly ScannedEntry[]): Uint8Array {
  let sizeBytes = 0;
  for (const { key, record } of entries) sizeBytes += ENTRY_HEAD_BYTES + key.length + record.length;
  const page = new Uint8Array(sizeBytes);
  const numbers = new DataView(page.buffer);
  let position = 0;
  for (const { key, record } of entries) {
    numbers.setUint16(position, key.length);
    page.set(key, position + 2);
    position += 2 + key.length;
    numbers.setUint32(position, record.length);
    page.set(record, position + 4);
    position += 4 + record.length;
  }
  return page;
}

/** The keys and records are views into the page. */
function unpackEntries(value: unknown): ScannedEntry[] {
  const page = toBody(value, "page");
  const numbers = new DataView(page.buffer, page.byteOffset, page.length);
  const entries: ScannedEntry[] = [];
  let position = 0;
  while (position < page.length) {
    if (entries.length === MESSAGE_BOUNDS.scanLimitMax) {
      throw invalid("page", `at most ${MESSAGE_BOUNDS.scanLimitMax} entries`, page);
    }
    const keyStart = position + 2;
    const keyEnd = keyStart <= page.length ? keyStart + numbers.getUint16(position) : Number.POSITIVE_INFINITY;
    const recordStart = keyEnd + 4;
    const recordEnd = recordStart <= page.length ? recordStart + numbers.getUint32(keyEnd) : Number.POSITIVE_INFINITY;
    if (recordEnd > page.length) throw invalid("page", "entries that end where it ends", page);
    entries.push({ key: toKey(page.subarray(keyStart, keyEnd)), record: page.subarray(recordStart, recordEnd) });
    position = recordEnd;
  }
  return entries;
}

function toScanLimit(value: unknown): number {
  const limit = toCount(value, "limit of a page");
  if (limit >= 1 && limit <= MESSAGE_BOUNDS.scanLimitMax) return limit;
  throw invalid("limit of a page", `1..${MESSAGE_BOUNDS.scanLimitMax}`, value);
}

function decodeFailure(fields: readonly unknown[]): FailureReply {
  const code = toText(fields[1], 64, "error code");
  const outcome: Outcome = fields[3] === OUTCOME.none ? "none" : "unknown";
  const message = toText(fields[2], MESSAGE_BOUNDS.failureTextLengthMax, "failure text");
  if (isErrorCode(code)) return { kind: "failure", code, message, outcome };
  return { kind: "failure", code: "PEER_UNREACHABLE", message: `${message} (the peer's code: ${code})`, outcome };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

function toBase(kind: unknown, context: unknown): WriteBase {
  switch (kind) {
    case BASE_KIND.context:
      return { kind: "context", context: toBody(context, "context") };
    case BASE_KIND.overwrite:
      return { kind: "overwrite" };
    case BASE_KIND.sibling:
      return { kind: "sibling" };
    default:
      throw invalid("kind of base", "0..2", kind);
  }
}

function toEvent(kind: unknown, id: unknown): EventName | undefined {
  switch (kind) {
    case EVENT_KIND.none:
      return undefined;
    case EVENT_KIND.client:
      return { kind: "client", id: toBytes(id, 1, MESSAGE_BOUNDS.eventIdBytesMax, "event id") };
    case EVENT_KIND.forward:
      return { kind: "forward", id: toBytes(id, 1, MESSAGE_BOUNDS.eventIdBytesMax, "event id") };
    default:
      throw invalid("kind of event", "0..2", kind);
  }
}

function toFields(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid("message", "an array", value);
  return value;
}

function toKey(value: unknown): Uint8Array {
  return toBytes(value, 1, MESSAGE_BOUNDS.keyBytesMax, "key");
}

function toBody(value: unknown, name: string): Uint8Array {
  return toBytes(value, 0, MESSAGE_BOUNDS.bodyBytesMax, name);
}
