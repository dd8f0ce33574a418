/**
 * Ring 1: from the first members that the configuration lists (`ANNULUS_MEMBERS`) to a document of epoch 1.
 *
 * Every first member computes it by itself from the same setting, so it must not matter in which order the members are
 * written. When ring 1 may be made at all is not decided here (design §3).
 */
import { KvError } from "../errors.ts";
import type { Mode, RingDocument, RingMember } from "./document.ts";
import { checkMember } from "./parse-document.ts";
import { byName, planPlacement } from "./placement.ts";

/** `name=host:port`, then perhaps `@zone`, then perhaps `*weight`. The host may be an IPv6 address in brackets. */
const MEMBER = /^([^=@*]+)=([^=@*]+)(?:@([^=@*]+))?(?:\*(\d+))?$/;

/**
 * Reads the setting `name=host:peerPort@zone*weight,...`; zone `default` and weight 100 where they are left out.
 *
 * @returns The members, sorted by name, all active.
 * @throws {KvError} INVALID_REQUEST, with the part that is wrong.
 */
export function parseFirstMembers(text: string): RingMember[] {
  const members = text.split(",").map((part) => parseFirstMember(part.trim()));
  members.sort(byName);
  for (const [index, { name }] of members.entries()) {
    if (name === members[index + 1]?.name) {
      throw new KvError("INVALID_REQUEST", `Cannot read the first members: ${name} is listed twice.`);
    }
  }
  return members;
}

function parseFirstMember(part: string): RingMember {
  const [, name, address, zone = "default", weight = "100"] = MEMBER.exec(part) ?? [];
  if (name === undefined || address === undefined) {
    throw new KvError(
      "INVALID_REQUEST",
      `Cannot read the first members: each is name=host:peerPort@zone*weight, found "${part.slice(0, 200)}".`,
    );
  }
  try {
    return checkMember({ name, address, zone, weight: Number(weight), state: "active" });
  } catch (cause) {
    if (!(cause instanceof KvError)) throw cause;
    throw new KvError("INVALID_REQUEST", `Cannot read the first members: in "${part}": ${cause.message}`, { cause });
  }
}

/** What ring 1 is made of; the figures hold for the cluster's life or until an agreed change. */
export type FirstRing = {
  /** In any order. */
  readonly members: readonly RingMember[];
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly readQuorum: number;
  readonly writeQuorum: number;
  readonly mode: Mode;
};

/**
 * Makes the document of epoch 1: the same on every node for the same members and figures.
 *
 * @throws {KvError} INVALID_REQUEST: too few members for N, a quorum above N, or figures out of bounds.
 */
export function firstRing(first: FirstRing): RingDocument {
  const { partitions, replicationFactor, readQuorum, writeQuorum, mode } = first;
  for (const [name, quorum] of [
    ["R", readQuorum],
    ["W", writeQuorum],
  ] as const) {
    if (Number.isInteger(quorum) && quorum >= 1 && quorum <= replicationFactor) continue;
    throw new KvError(
      "INVALID_REQUEST",
      `Cannot make the first ring: ${name} is a whole number from 1 to N = ${replicationFactor}, not ${quorum}.`,
    );
  }
  const members = [...first.members].sort(byName);
  const { homes } = planPlacement({ partitions, replicationFactor, members });
  return { epoch: 1, partitions, replicationFactor, readQuorum, writeQuorum, mode, members, homes };
}

/** A setting that made the first ring and differs from the ring in force, which holds. */
export type IgnoredSetting = {
  readonly name: string;
  readonly ring: unknown;
  readonly setting: unknown;
  /** It is as it should be: the members have been changed since. */
  readonly isExpected: boolean;
};

/** The settings that are not used any more, and would make another ring than the one in force. */
export function ignoredSettings(document: RingDocument, configured: RingDocument | undefined): IgnoredSetting[] {
  if (configured === undefined) return [];
  const names = ["partitions", "replicationFactor", "readQuorum", "writeQuorum", "mode"] as const;
  const figures = names.map((name) => ({ name, ring: document[name], setting: configured[name], isExpected: false }));
  const describe = (member: RingMember) => `${member.name}=${member.address}@${member.zone}*${member.weight}`;
  const [ring, setting] = [document, configured].map(({ members: each }) => each.map(describe).join(","));
  const isExpected = (document.past ?? []).some(({ outcome }) => outcome === "done");
  return [...figures, { name: "members", ring, setting, isExpected }].filter((each) => each.ring !== each.setting);
}
