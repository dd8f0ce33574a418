/**
 * Circumstances that a swarm of independent draws meets too seldom: runs in which faults, shape and load belong together.
 *
 * A third of the plain runs has one. Each is for a rule whose breach takes a chain of events: power lost again and again under
 * concurrent writes, disks exchanged while others lag behind, deletions collected while somebody is away, stand-ins that stamp.
 */
import type { ClusterOptions } from "./cluster.ts";
import type { FaultKind } from "./faults.ts";
import { createSeededRandom, type SeededRandom } from "./random.ts";
import type { Doing } from "./workload.ts";

export type Profile = {
  readonly name: string;
  /** What differs in the cluster's shape. */
  readonly shape: Partial<ClusterOptions>;
  readonly faults: FaultPlan;
  /** What clients do next is drawn from these; with so many keys, at least and at most. */
  readonly mix: readonly Doing[];
  readonly keys: readonly [number, number];
  /** The part of the usual pause between two operations that clients make: where most take long, enough must be begun. */
  readonly pauseShare: number;
};

/** What goes wrong, how often, and for how long. */
export type FaultPlan = {
  readonly kinds: readonly FaultKind[];
  /** Between two strikes, in ms. */
  readonly everyMs: readonly [number, number];
  /** How long a machine is off, or a cut lasts, in ms. */
  readonly awayMs: readonly [number, number];
  /** Whether disks may be lost again once all that were have been filled. */
  readonly refills: boolean;
};

/** @param seed Of the run. @param replicasMax No more than there are nodes. @returns Undefined in two runs of three. */
export function drawProfile(seed: number, replicasMax: number): Profile | undefined {
  const random = createSeededRandom(seed).stream("profile");
  if (!random.chance([1, 3])) return undefined;
  return random.pick([powerLost, disksExchanged, awayWhileCollected, standInsStamp])(random, replicasMax);
}

/** R and W that overlap, strict: then what reads show is checked as well. */
function strictly(random: SeededRandom, replicationFactor: number): Partial<ClusterOptions> {
  const writeQuorum = random.between(2, replicationFactor - 1);
  const readQuorum = replicationFactor - writeQuorum + 1;
  return { replicationFactor, writeQuorum, readQuorum, mode: "strict" };
}

function powerLost(random: SeededRandom): Profile {
  return {
    name: "power lost",
    shape: {
      ...strictly(random, 3),
      durability: "os",
      siblingsMax: 50,
      tombstoneAgeMs: random.pick([4_000, 86_400_000]),
    },
    faults: {
      kinds: ["machine crash", "machine crash", "power cut", "cut", "process crash", "clean stop"],
      everyMs: [500, 3_000],
      awayMs: [100, 2_000],
      refills: false,
    },
    mix: ["read", "sibling", "sibling", "context", "remove"],
    keys: [4, 12],
    pauseShare: 1,
  };
}

function disksExchanged(random: SeededRandom, replicasMax: number): Profile {
  return {
    name: "disks exchanged",
    shape: {
      ...strictly(random, random.between(3, replicasMax)),
      siblingsMax: 50,
      // Who missed a write stays behind for a while.
      hintBytesMax: 500,
      hintWindowMs: 1_000,
      repairIntervalMs: 8_000,
    },
    faults: {
      kinds: ["lost disk", "lost disk", "process crash", "cut", "one-way cut", "broken link"],
      everyMs: [200, 1_200],
      awayMs: [200, 3_000],
      refills: true,
    },
    mix: ["read", "read", "context", "sibling"],
    keys: [8, 30],
    pauseShare: 0.8,
  };
}

function awayWhileCollected(random: SeededRandom): Profile {
  return {
    name: "away while collected",
    shape: {
      ...strictly(random, 3),
      mode: random.pick(["strict", "sloppy"]),
      tombstoneAgeMs: 4_000,
      hintWindowMs: 3 * 3_600_000,
      hintBytesMax: 1 << 30,
    },
    faults: {
      kinds: ["process crash", "clean stop", "cut", "lost disk", "machine crash"],
      everyMs: [500, 4_000],
      awayMs: [1_000, 20_000],
      refills: true,
    },
    mix: ["read", "remove", "remove", "context", "overwrite"],
    keys: [4, 20],
    pauseShare: 1,
  };
}

function standInsStamp(random: SeededRandom): Profile {
  return {
    name: "stand-ins stamp",
    shape: {
      ...{ replicationFactor: 2, readQuorum: random.between(1, 2), writeQuorum: random.between(1, 2), mode: "sloppy" },
      siblingsMax: 50,
      hintWindowMs: 3 * 3_600_000,
      hintBytesMax: 1 << 30,
    },
    faults: {
      kinds: ["process crash", "cut", "cut", "zone cut", "pause", "slow link", "rotten hint"],
      everyMs: [200, 1_000],
      awayMs: [500, 4_000],
      refills: false,
    },
    mix: ["sibling", "sibling", "sibling", "read", "context"],
    keys: [4, 8],
    pauseShare: 0.3,
  };
}
