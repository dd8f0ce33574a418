/**
 * Makes one partition the same here and at one other home: finds what differs, and sends only that.
 *
 *     roots differ ── sums of 16 children of each node that differs ── ... ── leaves ── their keys ── records
 *
 * Both trees are read at the coarser of the two resolutions. Of the leaves that differ, both sides list their keys with
 * fingerprints (which counts those leaves anew, see trees.ts); a record that only the other has, or has otherwise, is
 * read there and merged here, and what it lacks is sent there to be merged. Bytes grow with the difference, not with the data.
 * Writes go on meanwhile: what is found then is a write on its way, and merging it early harms nobody.
 */
import { equalBytes } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import { childrenOf, differingKeys, differingNodes } from "../core/merkle/difference.ts";
import { packLeafKeys } from "../core/merkle/packed.ts";
import { STEP_BITS, SUM_BYTES } from "../core/merkle/tree.ts";
import type { MemberId } from "../core/ring/document.ts";
import { RecordCorruptError } from "../core/version/record-codec.ts";
import type { Telemetry } from "../ports.ts";
import { atOnceOrInTurn } from "./at-once.ts";
import type { Budget } from "./budget.ts";
import type { Replicas } from "./replicas.ts";
import type { Trees } from "./trees.ts";

/** One partition as it is compared with one other home. */
export type Pairing = {
  readonly epoch: number;
  readonly partition: number;
  readonly peer: MemberId;
  /** Resolution of the peer's tree. */
  readonly peerBits: number;
  /** Only gives the peer what it lacks: this node is no home of the partition any more. */
  readonly isOffer?: true;
};

/** A comparison that runs, whether the peer has been sure of all that it said so far, and what no message could hold. */
type Mending = { readonly pairing: Pairing; isSure: boolean; tooLarge: KvError | undefined };

/** What makes one record the same on both sides. */
type Job = { readonly key: Uint8Array; readonly run: () => Promise<void> };

export type Comparer = {
  /**
   * Makes the two the same, as of some moment while it runs.
   *
   * @returns Whether all is here that the peer had acknowledged: nothing of the partition was in doubt there whenever it
   *   answered, and all that it listed could be read. A record that is found damaged only now is missing from its lists.
   * @throws {KvError} What the peer, the way to it, or a disk says; NOT_READY when a tree is not there any more; TOO_LARGE for a
   *   record that no message to the peer, or from it, can hold: once all others are the same.
   */
  mend(pairing: Pairing): Promise<boolean>;
};

/** Nodes whose children are asked for at once: 512 × 16 sums are 128 KiB. */
export const NODES_AT_ONCE = 512;
/** Leaves whose keys are asked for at once; the other side reads all of their records to answer. */
const LEAVES_AT_ONCE = 8;
/** Records on their way at once. */
export const RECORDS_AT_ONCE = 16;
/** Keys of records that were too large and have been logged, before any is logged anew. */
const TOLD_MAX = 1_000;
/** What a request or reply takes beside its content, about: frame, kind, epoch, numbers. */
const MESSAGE_BYTES = 32;

/** @param timeoutMs For each request; larger than a client's, for the budget may make the other side wait. */
export function createComparer(
  parts: {
    readonly replicas: Replicas;
    /** Reads a record of this node's own, also of a partition that it is no home of any more. */
    readonly readOwn: (partition: number, key: Uint8Array) => Promise<Uint8Array | undefined>;
    /** Is told what a peer knows to be deleted, and this node holds. */
    readonly covered: (peer: MemberId, partition: number, key: Uint8Array, record: Uint8Array) => Promise<void>;
    readonly trees: Trees;
    readonly budget: Budget;
    readonly telemetry: Telemetry;
  },
  { timeoutMs }: { readonly timeoutMs: number },
): Comparer {
  const { replicas, trees, budget, telemetry } = parts;
  const told = new Set<string>();

  function noteTooLarge(mending: Mending, key: Uint8Array, error: KvError): void {
    mending.tooLarge ??= error;
    telemetry.count("annulus.repair.records_too_large");
    const { partition, peer } = mending.pairing;
    const name = Buffer.from(key).toString("base64url");
    if (told.has(`${peer}/${name}`)) return;
    if (told.size >= TOLD_MAX) told.clear();
    told.add(`${peer}/${name}`);
    telemetry.log("warn", "repair.record_too_large", { peer, partition, key: name, reason: error.message });
  }

  async function account(sentBytes: number, receivedBytes: number): Promise<void> {
    telemetry.count("annulus.repair.sent_bytes", sentBytes + MESSAGE_BYTES);
    telemetry.count("annulus.repair.received_bytes", receivedBytes + MESSAGE_BYTES);
    await budget.spend(sentBytes + receivedBytes + 2 * MESSAGE_BYTES);
  }

  function treeOf(partition: number) {
    const tree = trees.ready(partition);
    if (tree === undefined)
      throw new KvError("NOT_READY", `Cannot compare partition ${partition}: it is counted anew.`);
    return tree;
  }

  /** The children, `step` levels down, whose sums differ. */
  async function differingChildren(mending: Mending, depth: number, nodes: readonly number[], step: number) {
    const { epoch, partition, peer } = mending.pairing;
    const { sums, inDoubt } = await replicas.compare(
      peer,
      { kind: "branches", epoch, partition, depth, step, nodes },
      timeoutMs,
    );
    if (inDoubt) mending.isSure = false;
    await account(nodes.length * 4, sums.length);
    const children = childrenOf(nodes, step);
    requireSums(peer, sums, children.length);
    return differingNodes(children, treeOf(partition).sums(depth + step, children), sums);
  }

  async function differingLeaves(mending: Mending, common: number): Promise<number[]> {
    let depth = 0;
    let nodes = [0];
    while (depth < common && nodes.length > 0) {
      const step = Math.min(STEP_BITS, common - depth);
      const found: number[] = [];
      for (const some of inPartsOf(NODES_AT_ONCE, nodes)) {
        found.push(...(await differingChildren(mending, depth, some, step)));
      }
      nodes = found;
      depth += step;
    }
    return nodes;
  }

  /** Reads a record there and merges it here; gives back what came. */
  async function pull({ epoch, partition, peer }: Pairing, key: Uint8Array): Promise<Uint8Array | undefined> {
    const record = await replicas.read(peer, partition, { kind: "read", epoch, key, forRepair: true }, timeoutMs);
    await account(key.length, record?.length ?? 0);
    if (record === undefined) return undefined;
    await replicas.merge(replicas.self, partition, { kind: "merge", epoch, key, record }, timeoutMs);
    telemetry.count("annulus.repair.records_pulled");
    return record;
  }

  /** What is held here. A damaged record, which is set aside, is none that could be offered. */
  async function readOwn({ partition, isOffer }: Pairing, key: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await parts.readOwn(partition, key);
    } catch (error) {
      if (isOffer === true && error instanceof RecordCorruptError) return undefined;
      throw error;
    }
  }

  /** Has the peer merge what is held here, unless that is what it is known to hold. */
  async function push(pairing: Pairing, key: Uint8Array, known?: Uint8Array): Promise<void> {
    const { epoch, partition, peer } = pairing;
    const record = await readOwn(pairing, key);
    if (record === undefined || (known !== undefined && equalBytes(known, record))) return;
    await account(key.length + record.length, 0);
    const outcome = await replicas.merge(peer, partition, { kind: "merge", epoch, key, record }, timeoutMs);
    telemetry.count("annulus.repair.records_pushed");
    if (outcome === "covered" && pairing.isOffer !== true) await parts.covered(peer, partition, key, record);
  }

  async function mendLeaves(mending: Mending, depth: number, nodes: readonly number[]): Promise<void> {
    const { pairing } = mending;
    const { epoch, partition, peer } = pairing;
    const [mine, theirs] = await Promise.all([
      trees.list(partition, depth, nodes),
      replicas.compare(peer, { kind: "leaves", epoch, partition, depth, nodes }, timeoutMs),
    ]);
    await account(nodes.length * 4, packLeafKeys(theirs.keys).length);
    if (theirs.inDoubt) mending.isSure = false;
    const pulled = async (key: Uint8Array) => {
      const record = await pull(pairing, key);
      // Collected since it was listed, or found damaged.
      if (record === undefined) mending.isSure = false;
      return record;
    };
    const { missingHere, missingThere, unlike } = differingKeys(mine, theirs.keys);
    const pushing = (key: Uint8Array): Job => ({ key, run: () => push(pairing, key) });
    const jobs: readonly Job[] =
      pairing.isOffer === true
        ? [...missingThere, ...unlike].map(pushing)
        : [
            ...missingHere.map((key) => ({ key, run: async () => void (await pulled(key)) })),
            ...missingThere.map(pushing),
            ...unlike.map((key) => ({ key, run: async () => push(pairing, key, await pulled(key)) })),
          ];
    for (const some of inPartsOf(RECORDS_AT_ONCE, jobs))
      await atOnceOrInTurn(some.map((job) => () => attempt(mending, job)));
  }

  /** A record that no message can hold keeps no other one back. */
  async function attempt(mending: Mending, { key, run }: Job): Promise<void> {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof KvError) || error.code !== "TOO_LARGE") throw error;
      noteTooLarge(mending, key, error);
    }
  }

  return {
    async mend(pairing) {
      const common = Math.min(treeOf(pairing.partition).bits, pairing.peerBits);
      const mending: Mending = { pairing, isSure: true, tooLarge: undefined };
      const leaves = await differingLeaves(mending, common);
      telemetry.count("annulus.repair.leaves_differing", leaves.length);
      for (const some of inPartsOf(LEAVES_AT_ONCE, leaves)) await mendLeaves(mending, common, some);
      if (mending.tooLarge !== undefined) throw mending.tooLarge;
      return mending.isSure;
    },
  };
}

/** @throws {KvError} PEER_UNREACHABLE when these are not the sums of so many nodes. */
export function requireSums(peer: MemberId, sums: Uint8Array, nodes: number): void {
  if (sums.length === nodes * SUM_BYTES) return;
  throw new KvError("PEER_UNREACHABLE", `Cannot compare with ${peer}: it answered for other nodes than were asked.`);
}

function inPartsOf<T>(size: number, items: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < items.length; at += size) parts.push(items.slice(at, at + size));
  return parts;
}
