/**
 * The ring document: who the members are and which of them is home to each partition.
 *
 * It is JSON with a fixed order of keys, so that equal documents are equal texts, and small enough to be sent whole
 * (a test bounds its size). `parseRing` checks every field of a text from outside, so that no document that a disk
 * or a peer hands over can reach an assertion. Keys that are not known are refused: what a later release means by
 * them cannot be kept by ignoring it.
 */
import { KvError } from "../errors.ts";
import { tokenOf } from "./hash.ts";

/** A member's stable name (the pod's name), 1 .. 63 of `[a-z0-9-.]`. */
export type MemberId = string;

/** What the ring says of a member. Liveness is not here: it is gossiped, never agreed. */
export type MemberState = "joining" | "active" | "rebuilding" | "leaving" | "left";

export type Mode = "strict" | "sloppy";

export type RingMember = {
  readonly name: MemberId;
  /** `host:port` of the peer listener. */
  readonly address: string;
  readonly zone: string;
  /** Share of replicas relative to the others, 0 .. 10_000; 0 is present but home to nothing. */
  readonly weight: number;
  readonly state: MemberState;
  /** Data directory's id, 32 hex digits, once it is known. */
  readonly actor?: string;
};

export type RingDocument = {
  /** Grows by one with each agreed change; the higher epoch wins, rings are never merged. */
  readonly epoch: number;
  /** Equal parts of the hash space, a power of two, 1 .. 65_536, fixed at creation. */
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly readQuorum: number;
  readonly writeQuorum: number;
  readonly mode: Mode;
  /** Sorted by name. */
  readonly members: readonly RingMember[];
  /** `homes[p]` are the home replicas of partition p, in order, as indexes into `members`. */
  readonly homes: readonly (readonly number[])[];
};

const PARTITIONS_MAX = 65_536;
const REPLICATION_FACTOR_MAX = 16;
const MEMBERS_MAX = 1_000;
const WEIGHT_MAX = 10_000;
const STATES: readonly MemberState[] = ["joining", "active", "rebuilding", "leaving", "left"];
const MODES: readonly Mode[] = ["strict", "sloppy"];
const NAME = /^[a-z0-9.-]{1,63}$/;
const ZONE = /^[A-Za-z0-9._-]{1,63}$/;
const ADDRESS = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5})$/;
const ACTOR = /^[0-9a-f]{32}$/;
const RING_KEYS = [
  "epoch",
  "partitions",
  "replicationFactor",
  "readQuorum",
  "writeQuorum",
  "mode",
  "members",
  "homes",
] as const;
const MEMBER_KEYS = ["name", "address", "zone", "weight", "state", "actor"] as const;

function orderMember({ name, address, zone, weight, state, actor }: RingMember): RingMember {
  return actor === undefined ? { name, address, zone, weight, state } : { name, address, zone, weight, state, actor };
}

/** The document as JSON without spaces; equal documents give equal texts. */
export function serializeRing(document: RingDocument): string {
  const { epoch, partitions, replicationFactor, readQuorum, writeQuorum, mode, members, homes } = document;
  return JSON.stringify({
    epoch,
    partitions,
    replicationFactor,
    readQuorum,
    writeQuorum,
    mode,
    members: members.map(orderMember),
    homes,
  });
}

/** The document as people and tools see it (`GET /v1/ring`): names instead of indexes, and each partition's token. */
export type RingView = {
  readonly epoch: number;
  readonly partitions: number;
  readonly n: number;
  readonly r: number;
  readonly w: number;
  readonly mode: Mode;
  readonly members: readonly RingMember[];
  /** First hash of each partition, 16 hex digits. */
  readonly tokens: readonly string[];
  /** Names of the home replicas of each partition, in order. */
  readonly preferenceLists: readonly (readonly MemberId[])[];
};

/** Makes the view that the admin API shows. */
export function ringView(document: RingDocument): RingView {
  const { epoch, partitions, replicationFactor, readQuorum, writeQuorum, mode, members, homes } = document;
  return {
    epoch,
    partitions,
    n: replicationFactor,
    r: readQuorum,
    w: writeQuorum,
    mode,
    members: members.map(orderMember),
    tokens: homes.map((_, partition) => tokenOf(partition, partitions)),
    preferenceLists: homes.map((row) => row.map((index) => members[index]?.name ?? "")),
  };
}

/**
 * Reads a document from outside.
 *
 * @param text JSON as `serializeRing` writes it.
 * @throws {KvError} INVALID_REQUEST, naming the first thing that is wrong.
 */
export function parseRing(text: string): RingDocument {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new KvError("INVALID_REQUEST", "Cannot read the ring document: it is not JSON.", { cause });
  }
  const fields = record(json, { of: "the document", keys: RING_KEYS });
  const epoch = integer(fields.epoch, { of: "epoch", min: 1, max: Number.MAX_SAFE_INTEGER });
  const partitions = integer(fields.partitions, { of: "partitions", min: 1, max: PARTITIONS_MAX });
  if (!Number.isInteger(Math.log2(partitions))) refuse(`partitions is a power of two, not ${partitions}`);
  const replicationFactor = integer(fields.replicationFactor, {
    of: "replicationFactor",
    min: 1,
    max: REPLICATION_FACTOR_MAX,
  });
  const readQuorum = integer(fields.readQuorum, { of: "readQuorum", min: 1, max: replicationFactor });
  const writeQuorum = integer(fields.writeQuorum, { of: "writeQuorum", min: 1, max: replicationFactor });
  const mode = oneOf(fields.mode, { of: "mode", values: MODES });
  const members = list(fields.members, { of: "members", min: 1, max: MEMBERS_MAX }).map(parseMember);
  for (const [index, { name }] of members.entries()) {
    const next = members[index + 1]?.name;
    if (next !== undefined && next <= name)
      refuse(`members are sorted by name, each once; found ${name} before ${next}`);
  }
  const homes = list(fields.homes, { of: "homes", min: partitions, max: partitions }).map((row, partition) =>
    parseHomes(row, { partition, members, replicationFactor }),
  );
  return { epoch, partitions, replicationFactor, readQuorum, writeQuorum, mode, members, homes };
}

function parseMember(value: unknown, index: number): RingMember {
  const of = `member ${index}`;
  const fields = record(value, { of, keys: MEMBER_KEYS });
  const member = {
    name: matching(fields.name, { of: `${of}'s name`, pattern: NAME }),
    address: parseAddress(fields.address, `${of}'s address`),
    zone: matching(fields.zone, { of: `${of}'s zone`, pattern: ZONE }),
    weight: integer(fields.weight, { of: `${of}'s weight`, min: 0, max: WEIGHT_MAX }),
    state: oneOf(fields.state, { of: `${of}'s state`, values: STATES }),
  };
  if (fields.actor === undefined) return member;
  return { ...member, actor: matching(fields.actor, { of: `${of}'s actor`, pattern: ACTOR }) };
}

function parseAddress(value: unknown, of: string): string {
  const address = matching(value, { of, pattern: ADDRESS });
  const port = Number(ADDRESS.exec(address)?.[1]);
  if (port < 1 || port > 65_535) refuse(`${of} has a port from 1 to 65535, not ${port}`);
  return address;
}

function parseHomes(
  value: unknown,
  ring: { partition: number; members: readonly RingMember[]; replicationFactor: number },
): readonly number[] {
  const of = `partition ${ring.partition}'s list of homes`;
  const row = list(value, { of, min: ring.replicationFactor, max: ring.replicationFactor });
  const homes = row.map((home) => integer(home, { of: `a home in ${of}`, min: 0, max: ring.members.length - 1 }));
  if (new Set(homes).size !== homes.length) refuse(`${of} has distinct members, found [${homes.join(", ")}]`);
  for (const home of homes) {
    const member = ring.members[home];
    if (member?.weight === 0 || member?.state === "left") {
      refuse(`${of} names ${member.name}, which ${member.weight === 0 ? "has weight 0" : "has left"}`);
    }
  }
  return homes;
}

/**
 * Checks one member as a person or another program stated it, by the same rules as `parseRing`.
 *
 * @throws {KvError} INVALID_REQUEST, naming the field.
 */
export function checkMember(member: RingMember): RingMember {
  return parseMember(member, 0);
}

function refuse(what: string): never {
  throw new KvError("INVALID_REQUEST", `Cannot read the ring document: ${what}.`);
}

/** A value from outside as a message may show it: short, on one line. */
function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 80);
}

function record(value: unknown, { of, keys }: { of: string; keys: readonly string[] }): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(`${of} is an object, not ${shown(value)}`);
  }
  for (const key of Object.keys(value)) if (!keys.includes(key)) refuse(`${of} has an unknown key ${shown(key)}`);
  return value as Record<string, unknown>;
}

function list(value: unknown, { of, min, max }: { of: string; min: number; max: number }): readonly unknown[] {
  if (!Array.isArray(value)) refuse(`${of} is a list, not ${shown(value)}`);
  if (value.length < min || value.length > max) {
    refuse(`${of} has ${min === max ? min : `${min} to ${max}`} entries, not ${value.length}`);
  }
  return value;
}

function integer(value: unknown, { of, min, max }: { of: string; min: number; max: number }): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min || value > max) {
    refuse(`${of} is a whole number from ${min} to ${max}, not ${shown(value)}`);
  }
  return value;
}

function oneOf<Value extends string>(value: unknown, { of, values }: { of: string; values: readonly Value[] }): Value {
  const found = values.find((allowed) => allowed === value);
  if (found === undefined) refuse(`${of} is one of ${values.join(", ")}, not ${shown(value)}`);
  return found;
}

function matching(value: unknown, { of, pattern }: { of: string; pattern: RegExp }): string {
  if (typeof value !== "string" || !pattern.test(value)) refuse(`${of} matches ${pattern.source}, not ${shown(value)}`);
  return value;
}
