/**
 * What a partition's records differ in from those that a backup holds: by Merkle trees, so that bytes grow with the difference.
 *
 *     backup ── tree ──> sums of all leaves, and which of them the homes do not agree on
 *            ── difference: of the leaves that differ, the briefs that it holds ──> records it lacks, briefs it is to drop
 *
 * Both go by max(R, N − W + 1) homes, one of which is among any W that acknowledged a write. Only a home that is complete
 * (nothing lost, nothing half-collected) is heard, and is asked again behind the difference whether it still is:
 * what it lacks for another reason than a collected tombstone would else be dropped from the backup.
 */
import { KvError } from "../core/errors.ts";
import { briefOf, type HeldLeaf, halvesOf, type LeafSums } from "../core/merkle/brief.ts";
import { childrenOf, differingNodes, type LeafKey } from "../core/merkle/difference.ts";
import { equalFingerprints, type Fingerprint, fingerprintOf } from "../core/merkle/fingerprint.ts";
import { STEP_BITS } from "../core/merkle/tree.ts";
import { readOrder } from "../core/quorum/targets.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { mergeEncoded } from "../core/version/merge-encoded.ts";
import { decodeRecord } from "../core/version/record-codec.ts";
import type { RepairReply, RepairRequest, ScannedEntry } from "../messages.ts";
import { atOnceOrInTurn } from "./at-once.ts";
import { NODES_AT_ONCE, RECORDS_AT_ONCE, requireSums } from "./compare.ts";
import type { ReadParts } from "./read.ts";

/** What is known once all records have come. */
export type DifferenceEnd = { readonly epoch: number; readonly gone: readonly bigint[] };

export type BackupDifference = {
  /** @throws {KvError} INVALID_REQUEST; NOT_READY, QUORUM_UNAVAILABLE: too few homes have a tree now. */
  tree(partition: number): Promise<LeafSums>;
  /**
   * Gives the records of some leaves that a backup lacks, in no order, and returns what it is to drop.
   *
   * @param bits Resolution that the leaves are of; at most what `tree` said.
   * @param leaves At most 16.
   * @throws {KvError} As `tree`; what reading says.
   */
  records(
    partition: number,
    bits: number,
    leaves: readonly HeldLeaf[],
  ): AsyncGenerator<readonly ScannedEntry[], DifferenceEnd>;
};

type Ask = <Kind extends RepairRequest["kind"]>(
  member: MemberId,
  request: Extract<RepairRequest, { kind: Kind }>,
) => Promise<Extract<RepairReply, { kind: Kind }>>;

/**
 * @param parts `answerOwn`: what this node's own trees say.
 * @param options `timeoutMs`: for each request; it may wait for the budget of the home that is asked.
 */
export function createBackupDifference(
  parts: Pick<ReadParts, "replicas" | "isUp" | "random" | "pace"> & {
    readonly ring: () => Ring;
    readonly answerOwn: (request: RepairRequest) => Promise<RepairReply>;
  },
  { timeoutMs }: { readonly timeoutMs: number },
): BackupDifference {
  const { replicas, isUp, random, pace } = parts;
  const { self } = replicas;

  const ask: Ask = async <Kind extends RepairRequest["kind"]>(
    member: MemberId,
    request: Extract<RepairRequest, { kind: Kind }>,
  ) =>
    member === self
      ? ((await parts.answerOwn(request)) as Extract<RepairReply, { kind: Kind }>)
      : replicas.compare<Kind>(member, request, timeoutMs);

  /** Resolution of a home's tree; undefined while it cannot be gone by. */
  async function bitsOf(ring: Ring, partition: number, member: MemberId): Promise<number | undefined> {
    const reply = await ask<"roots">(member, { kind: "roots", epoch: ring.epoch, partitions: [partition] });
    const root = reply.roots[0];
    return reply.epoch === ring.epoch && root?.isComplete === true ? root.bits : undefined;
  }

  /** As many homes as it takes, each with a tree that can be gone by. */
  async function homesOf(ring: Ring, partition: number): Promise<{ readonly name: MemberId; readonly bits: number }[]> {
    const required = Math.max(ring.readQuorum, ring.replicationFactor - ring.writeQuorum + 1);
    const order = readOrder(ring.homes(partition), { self, isUp, rotation: random.uint32(), pace });
    const found: { readonly name: MemberId; readonly bits: number }[] = [];
    let cause: KvError | undefined;
    for (const { name } of order) {
      try {
        const bits = await bitsOf(ring, partition, name);
        if (bits !== undefined) found.push({ name, bits });
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        cause = error;
      }
      if (found.length === required) return found;
    }
    throw new KvError(
      "QUORUM_UNAVAILABLE",
      `Cannot compare partition ${partition}: ${required} homes with a whole tree are needed, ${found.length} have one now.`,
      { details: { required, retryAfterS: 1 }, cause },
    );
  }

  async function sumsOf(ring: Ring, partition: number, member: MemberId, bits: number): Promise<Uint8Array> {
    const depth = bits - STEP_BITS;
    const found: Uint8Array[] = [];
    for (let from = 0; from < 2 ** depth; from += NODES_AT_ONCE) {
      const nodes = Array.from({ length: Math.min(NODES_AT_ONCE, 2 ** depth - from) }, (_, index) => from + index);
      const request = { kind: "branches", epoch: ring.epoch, partition, depth, step: STEP_BITS, nodes } as const;
      const { sums, inDoubt } = await ask<"branches">(member, request);
      if (inDoubt) throw refusedDoubt(partition, member);
      found.push(sums);
    }
    const sums = Buffer.concat(found);
    requireSums(member, sums, 2 ** bits);
    return sums;
  }

  async function readMerged(ring: Ring, homes: readonly MemberId[], key: Uint8Array): Promise<Uint8Array | undefined> {
    const partition = ring.partitionOf(key);
    const request = { kind: "read", epoch: ring.epoch, key } as const;
    const records = await Promise.all(homes.map((name) => replicas.read(name, partition, request, timeoutMs)));
    let merged: Uint8Array | undefined;
    for (const record of records) if (record !== undefined) merged = mergeEncoded(merged, record).bytes;
    return merged;
  }

  function ringFor(partition: number): Ring {
    const ring = parts.ring();
    if (partition < ring.partitions) return ring;
    throw new KvError("INVALID_REQUEST", `Cannot compare partition ${partition}: the ring has ${ring.partitions}.`);
  }

  async function* records(partition: number, bits: number, leaves: readonly HeldLeaf[]) {
    const ring = ringFor(partition);
    const homes = (await homesOf(ring, partition)).map(({ name }) => name);
    const request = {
      ...({ kind: "leaves", epoch: ring.epoch, partition, depth: bits } as const),
      nodes: leaves.map(({ leaf }) => leaf),
    };
    const lists = await Promise.all(
      homes.map(async (name) => {
        const { keys, inDoubt } = await ask<"leaves">(name, request);
        if (inDoubt) throw refusedDoubt(partition, name);
        return keys;
      }),
    );
    const held = new Set(leaves.flatMap(({ briefs }) => briefs));
    const current = new Set<bigint>();
    const doubtful: Uint8Array[] = [];
    for (const { key, print } of unionOf(lists)) {
      if (print !== undefined && held.has(briefOf(print))) current.add(briefOf(print));
      else doubtful.push(key);
    }
    for (let next = 0; next < doubtful.length; next += RECORDS_AT_ONCE) {
      const some = doubtful.slice(next, next + RECORDS_AT_ONCE);
      const found = await atOnceOrInTurn(some.map((key) => () => readMerged(ring, homes, key)));
      const lacking: ScannedEntry[] = [];
      for (const [index, record] of found.entries()) {
        // Nothing: it was collected since the leaf was listed.
        if (record === undefined) continue;
        const key = some[index] as Uint8Array;
        const brief = briefOf(fingerprintOf(key, record, decodeRecord(record)));
        current.add(brief);
        if (!held.has(brief)) lacking.push({ key, record });
      }
      if (lacking.length > 0) yield lacking;
    }
    for (const name of homes) {
      if ((await bitsOf(ring, partition, name)) !== undefined) continue;
      throw new KvError("NOT_READY", `Cannot compare partition ${partition}: ${name} lost something meanwhile.`);
    }
    return { epoch: ring.epoch, gone: [...held].filter((brief) => !current.has(brief)) };
  }

  return {
    async tree(partition) {
      const ring = ringFor(partition);
      const homes = await homesOf(ring, partition);
      const bits = Math.min(...homes.map((home) => home.bits));
      const [first = new Uint8Array(), ...others] = await Promise.all(
        homes.map(({ name }) => sumsOf(ring, partition, name, bits)),
      );
      const leaves = childrenOf([0], bits);
      const unlike = new Set(others.flatMap((other) => differingNodes(leaves, first, other)));
      return { epoch: ring.epoch, bits, sums: halvesOf(first), unlike: [...unlike].sort((a, b) => a - b) };
    },
    records,
  };
}

/** Every key that any of the lists has; with a fingerprint where those that have it have the same. */
function unionOf(
  lists: readonly (readonly LeafKey[])[],
): Iterable<{ readonly key: Uint8Array; readonly print: Fingerprint | undefined }> {
  const union = new Map<string, { readonly key: Uint8Array; print: Fingerprint | undefined }>();
  for (const { key, print } of lists.flat()) {
    const name = Buffer.from(key).toString("latin1");
    const known = union.get(name);
    if (known === undefined) union.set(name, { key, print });
    else if (known.print !== undefined && !equalFingerprints(known.print, print)) known.print = undefined;
  }
  return union.values();
}

/** A home that lost a record to damage meanwhile may not be gone by until others have made it good. */
function refusedDoubt(partition: number, member: MemberId): KvError {
  return new KvError(
    "QUORUM_UNAVAILABLE",
    `Cannot compare partition ${partition}: ${member} has just found a record of it damaged. Try again.`,
    { details: { retryAfterS: 1 } },
  );
}
