/**
 * Reads ring documents from outside: every field is checked, so that no document that a disk or a peer hands over can
 * reach an assertion. Keys that are not known are refused: what a later release means by them cannot be kept by
 * ignoring it.
 */
import { KvError } from "../errors.ts";
import {
  type MemberState,
  type Mode,
  PARTITIONS_MAX,
  PAST_MAX,
  type PastChange,
  type Phase,
  type RingDocument,
  type RingMember,
  type Transition,
} from "./document.ts";

const REPLICATION_FACTOR_MAX = 16;
const MEMBERS_MAX = 1_000;
const WEIGHT_MAX = 10_000;
const STATES: readonly MemberState[] = ["joining", "active", "rebuilding", "leaving", "left"];
const MODES: readonly Mode[] = ["strict", "sloppy"];
const PHASES: readonly Phase[] = ["prepare", "switch"];
const OUTCOMES: readonly PastChange["outcome"][] = ["done", "cancelled"];
const CHANGE_ID = /^[0-9a-f]{16}$/;
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
  "transition",
  "past",
] as const;
const MEMBER_KEYS = ["name", "address", "zone", "weight", "state", "actor", "isDestroyed"] as const;
const TRANSITION_KEYS = [
  "id",
  "phase",
  "phaseEpoch",
  "startedAtMs",
  "homes",
  "leaving",
  "weights",
  "readQuorum",
  "writeQuorum",
  "mode",
] as const;

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
  const table = { partitions, members, replicationFactor, epoch };
  const isChanging = fields.transition !== undefined;
  const homes = parseTable(fields.homes, table, ({ state, weight }) => state !== "left" && (isChanging || weight > 0));
  return {
    ...{ epoch, partitions, replicationFactor, readQuorum, writeQuorum, mode, members, homes },
    ...(isChanging ? { transition: parseTransition(fields.transition, table) } : {}),
    ...(fields.past === undefined
      ? {}
      : { past: list(fields.past, { of: "past", min: 1, max: PAST_MAX }).map(parsePast) }),
  };
}

type Table = {
  readonly partitions: number;
  readonly members: readonly RingMember[];
  readonly replicationFactor: number;
  readonly epoch: number;
};

function parseTable(
  value: unknown,
  { partitions, members, replicationFactor }: Table,
  mayHold: (member: RingMember) => boolean,
): RingDocument["homes"] {
  return list(value, { of: "homes", min: partitions, max: partitions }).map((row, partition) =>
    parseHomes(row, { partition, members, replicationFactor, mayHold }),
  );
}

function parseTransition(value: unknown, table: Table): Transition {
  const fields = record(value, { of: "the transition", keys: TRANSITION_KEYS });
  const quorum = { min: 1, max: table.replicationFactor };
  const weights = list(fields.weights, { of: "weights", min: 0, max: table.members.length }).map((pair) => {
    const [name, weight] = list(pair, { of: "a weight to be", min: 2, max: 2 });
    const member = table.members.find((one) => one.name === name);
    if (member === undefined) refuse(`a weight to be is of a member, not of ${shown(name)}`);
    return [
      member.name,
      integer(weight, { of: `the weight to be of ${member.name}`, min: 0, max: WEIGHT_MAX }),
    ] as const;
  });
  const toBe = new Map(weights);
  const weightOf = (member: RingMember) => toBe.get(member.name) ?? member.weight;
  return {
    id: matching(fields.id, { of: "the transition's id", pattern: CHANGE_ID }),
    phase: oneOf(fields.phase, { of: "the transition's phase", values: PHASES }),
    phaseEpoch: integer(fields.phaseEpoch, { of: "the epoch of the phase", min: 2, max: table.epoch }),
    startedAtMs: integer(fields.startedAtMs, { of: "the transition's start", min: 0, max: Number.MAX_SAFE_INTEGER }),
    homes: parseTable(
      fields.homes,
      table,
      (member) => member.state !== "left" && member.state !== "leaving" && weightOf(member) > 0,
    ),
    leaving: list(fields.leaving, { of: "leaving", min: 0, max: table.members.length }).map((name) =>
      matching(name, { of: "who is leaving", pattern: NAME }),
    ),
    weights,
    readQuorum: integer(fields.readQuorum, { of: "the readQuorum to be", ...quorum }),
    writeQuorum: integer(fields.writeQuorum, { of: "the writeQuorum to be", ...quorum }),
    mode: oneOf(fields.mode, { of: "the mode to be", values: MODES }),
  };
}

function parsePast(value: unknown): PastChange {
  const fields = record(value, { of: "a past change", keys: ["id", "outcome", "epoch"] });
  return {
    id: matching(fields.id, { of: "a past change's id", pattern: CHANGE_ID }),
    outcome: oneOf(fields.outcome, { of: "a past change's outcome", values: OUTCOMES }),
    epoch: integer(fields.epoch, { of: "a past change's epoch", min: 2, max: Number.MAX_SAFE_INTEGER }),
  };
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
  if (fields.isDestroyed !== undefined && fields.isDestroyed !== true) refuse(`${of}'s isDestroyed is true or absent`);
  return {
    ...member,
    ...(fields.actor === undefined ? {} : { actor: matching(fields.actor, { of: `${of}'s actor`, pattern: ACTOR }) }),
    ...(fields.isDestroyed === true ? { isDestroyed: true as const } : {}),
  };
}

function parseAddress(value: unknown, of: string): string {
  const address = matching(value, { of, pattern: ADDRESS });
  const port = Number(ADDRESS.exec(address)?.[1]);
  if (port < 1 || port > 65_535) refuse(`${of} has a port from 1 to 65535, not ${port}`);
  return address;
}

function parseHomes(
  value: unknown,
  ring: {
    readonly partition: number;
    readonly members: readonly RingMember[];
    readonly replicationFactor: number;
    readonly mayHold: (member: RingMember) => boolean;
  },
): readonly number[] {
  const of = `partition ${ring.partition}'s list of homes`;
  const row = list(value, { of, min: ring.replicationFactor, max: ring.replicationFactor });
  const homes = row.map((home) => integer(home, { of: `a home in ${of}`, min: 0, max: ring.members.length - 1 }));
  if (new Set(homes).size !== homes.length) refuse(`${of} has distinct members, found [${homes.join(", ")}]`);
  for (const home of homes) {
    const member = ring.members[home];
    if (member !== undefined && !ring.mayHold(member)) {
      refuse(`${of} names ${member.name}, which ${describeBar(member)}`);
    }
  }
  return homes;
}

/** Why a member may not be a home. */
function describeBar({ state, weight }: RingMember): string {
  if (state === "left") return "has left";
  return weight === 0 ? "has weight 0" : `is ${state}`;
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
