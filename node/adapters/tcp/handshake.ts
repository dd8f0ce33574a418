/**
 * Who is at the other end, and which of two connections to one member stays. Pure: no sockets, no time.
 *
 * The dialling side says hello, the other answers with a welcome of the same form, or with a refusal; requests travel
 * only after that. Members may dial each other at the same moment. Both then see two connections and must drop the
 * same one: the connection dialled by the member with the smaller name stays. A hello that comes while a link stands
 * is a peer that lost its end (it restarted, or the link is half-open), so the newer connection replaces the older;
 * except when that hello was sent before the link was made and only arrived later, which the sender's count of its
 * own hellos and welcomes shows.
 */
import { type Durability, KvError } from "../../core/errors.ts";
import type { MemberId } from "../../core/ring/document.ts";
import { PROTOCOL } from "../../messages.ts";

const MAGIC = "annulus";
/** Of a peer that took less than this, nothing could be asked, and it could not even be told so. */
const FRAME_BYTES_LEAST = 64 * 1_024;

/** A member keeps one link per peer; a visitor asks something once and leaves. */
export type Role = "member" | "visitor";

/** What either side says of itself. */
export type Hello = {
  readonly clusterId: string;
  readonly role: Role;
  readonly name: MemberId;
  /** 32 hex digits: the id of its data directory. */
  readonly actor: string;
  readonly incarnation: number;
  /** Whom it means to talk to; undefined when it knows only an address. */
  readonly expects: MemberId | undefined;
  /** 16 hex digits, drawn when the sender's transport was made: tells a restart. */
  readonly instance: string;
  /** Counts the hellos and welcomes of the instance. */
  readonly sequence: number;
  /** When a write counts as durable at the sender; undefined where its release does not say. */
  readonly durability?: Durability | undefined;
  /** The largest frame that the sender takes, in bytes; undefined where its release does not say. */
  readonly frameBytesMax?: number | undefined;
};

export type RefusalReason =
  | "malformed"
  | "version"
  | "certificate"
  | "cluster"
  | "own-name"
  | "wrong-name"
  | "duplicate"
  | "busy"
  | "stopping";

export type Refusal = { readonly reason: RefusalReason; readonly detail: string };

const REASONS: Readonly<Record<RefusalReason, true>> = {
  malformed: true,
  version: true,
  certificate: true,
  cluster: true,
  "own-name": true,
  "wrong-name": true,
  duplicate: true,
  busy: true,
  stopping: true,
};

/** The flat message of a hello or welcome. */
export function encodeHello(hello: Hello): unknown[] {
  const { clusterId, role, name, actor, incarnation, expects, instance, sequence, durability, frameBytesMax } = hello;
  const { newest, oldest } = PROTOCOL;
  const who = [MAGIC, newest, clusterId, role, name, actor, incarnation, expects ?? null];
  const says = frameBytesMax !== undefined ? [durability ?? null, frameBytesMax] : durability ? [durability] : [];
  return [...who, instance, sequence, oldest, ...says];
}

/**
 * Reads a hello or welcome; what cannot be read is a refusal, with the words for the stranger. Elements after the known ones
 * are a newer release's, and none of this one's business.
 */
export function decodeHello(message: readonly unknown[]): Hello | Refusal {
  const [magic, newest, clusterId, role, name, actor, incarnation, expects, instance, sequence, oldest] = message;
  const says = {
    ...(isDurability(message[11]) ? { durability: message[11] } : {}),
    ...(isFrameBytes(message[12]) ? { frameBytesMax: message[12] } : {}),
  };
  if (magic !== MAGIC) return refusal("malformed", "expected a hello of this protocol");
  if (!isCount(newest) || !isCount(oldest))
    return refusal("malformed", "expected the protocol versions that it speaks");
  if (newest < PROTOCOL.oldest || oldest > PROTOCOL.newest) {
    const [found, known] = [spoken({ newest, oldest }), spoken(PROTOCOL)];
    return refusal("version", `expected protocol version ${known}, found ${found}: upgrade by one release at a time`);
  }
  if (!isText(clusterId, 256)) return refusal("malformed", "expected a cluster id of at most 256 characters");
  if (role !== "member" && role !== "visitor") return refusal("malformed", "expected a role");
  if (!isName(name)) return refusal("malformed", "expected a member name, 1 to 63 of a-z 0-9 - .");
  if (!isHex(actor, 32)) return refusal("malformed", "expected an actor id of 32 hex digits");
  if (!isCount(incarnation)) return refusal("malformed", "expected an incarnation");
  if (expects !== null && !isName(expects)) return refusal("malformed", "expected the name of whom it means");
  if (!isHex(instance, 16)) return refusal("malformed", "expected an instance of 16 hex digits");
  if (!isCount(sequence)) return refusal("malformed", "expected a sequence number");
  return { clusterId, role, name, actor, incarnation, expects: expects ?? undefined, instance, sequence, ...says };
}

/** Tells the two results of `decodeHello` apart. */
export function isRefusal(value: Hello | Refusal): value is Refusal {
  return "reason" in value;
}

/** The flat message of a refusal. */
export function encodeRefusal({ reason, detail }: Refusal): unknown[] {
  return [reason, detail.slice(0, 512)];
}

/** Reads what a peer gave as its reason; anything unreadable is a malformed peer. */
export function decodeRefusal(message: readonly unknown[]): Refusal {
  const [reason, detail] = message;
  if (typeof reason !== "string" || !isText(detail, 512)) return refusal("malformed", "it refused without a reason");
  if (isReason(reason)) return { reason, detail };
  return refusal("malformed", `it refused for a reason that this release does not know: ${quote(reason)}`);
}

function metItself(name: MemberId): Refusal {
  return refusal("own-name", `this is ${name} itself`);
}

/** Whether a member only reached itself, as one does that has its own address among its seeds. */
export function isItself({ reason, detail }: Refusal, name: MemberId): boolean {
  return reason === "own-name" && detail === metItself(name).detail;
}

/**
 * Whether the other end may be linked with at all.
 *
 * @param self Who this side is, and `instance` as in its own hellos. `meant` is whom this side dialled, undefined where it was dialled or knew an address only.
 * @returns Why not, or undefined.
 */
export function judgeHello(
  hello: Hello,
  self: { readonly clusterId: string; readonly name: MemberId; readonly instance: string },
  meant: MemberId | undefined,
): Refusal | undefined {
  if (hello.clusterId !== self.clusterId) {
    return refusal("cluster", `expected cluster ${quote(self.clusterId)}, found ${quote(hello.clusterId)}`);
  }
  if (hello.name === self.name && hello.instance === self.instance) return metItself(self.name);
  if (hello.name === self.name) return refusal("own-name", `expected another member, found a second ${self.name}`);
  if (hello.expects !== undefined && hello.expects !== self.name) {
    return refusal("wrong-name", `this is ${self.name}, not ${hello.expects}`);
  }
  if (meant !== undefined && hello.name !== meant) {
    return refusal("wrong-name", `expected ${meant}, found ${hello.name}`);
  }
  return undefined;
}

/** What this side has with the member that says hello. */
export type Rivals = {
  /** The link that stands, by the hello or welcome that the peer sent when it was made. */
  readonly link: Pick<Hello, "instance" | "sequence"> | undefined;
  /** Whether this side's own hello is on its way over another connection. */
  readonly greeted: boolean;
};

/** Whether the connection that a judged hello came over is to be the link, or gives way to what there is. */
export function settleHello(hello: Hello, self: MemberId, rivals: Rivals): "accept" | "duplicate" {
  const { link, greeted } = rivals;
  if (link !== undefined && link.instance === hello.instance && hello.sequence < link.sequence) return "duplicate";
  return greeted && self < hello.name ? "duplicate" : "accept";
}

/** The error that a request meets when the handshake with its peer failed. */
export function refusedError(remote: string, { reason, detail }: Refusal): KvError {
  return new KvError("PEER_UNREACHABLE", `Cannot link with ${remote}: refused (${reason}): ${detail}`);
}

/** A refusal of a connection whose other end may not be whom it says it is. */
export function refusedCertificate(detail: string): Refusal {
  return refusal("certificate", detail);
}

function spoken({ newest, oldest }: { readonly newest: number; readonly oldest: number }): string {
  return newest === oldest ? `${newest}` : `${oldest} to ${newest}`;
}

function refusal(reason: RefusalReason, detail: string): Refusal {
  return { reason, detail };
}

function isReason(reason: string): reason is RefusalReason {
  return Object.hasOwn(REASONS, reason);
}

function isText(value: unknown, lengthMax: number): value is string {
  return typeof value === "string" && value.length <= lengthMax;
}

const NAME = /^[a-z0-9.-]{1,63}$/;
const HEX = /^[0-9a-f]+$/;

function isName(value: unknown): value is MemberId {
  return typeof value === "string" && NAME.test(value);
}

function isHex(value: unknown, digits: number): value is string {
  return typeof value === "string" && value.length === digits && HEX.test(value);
}

function isDurability(value: unknown): value is Durability {
  return value === "os" || value === "disk";
}

function isFrameBytes(value: unknown): value is number {
  return isCount(value) && value >= FRAME_BYTES_LEAST;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** A stranger's words, short and printable. */
function quote(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 64));
}
