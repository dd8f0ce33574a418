/**
 * The Merkle trees of this node's partitions: built, counted anew where they are in doubt, listed leaf by leaf, and laid
 * down at a clean stop.
 *
 *     start ── clean stop before? ── yes: trees from the checkpoint ── serve
 *                               └── no:  serve, and build by scan in the background, one partition after the other
 *
 * Every scan here is a count (see `tree-ledger.ts`): it is exact although writes go on, and the leaves that it went over
 * are right from then on. So whoever lists the keys of a leaf mends its sum on the way. A scan also meets every record
 * of its places and hands damaged ones to the replica.
 */
import { successor } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import { parsePartitionedKey, placesRange } from "../core/keyspace.ts";
import type { LeafKey } from "../core/merkle/difference.ts";
import { fingerprintOf } from "../core/merkle/fingerprint.ts";
import { LEAF_BITS_MAX, LEAF_BITS_MIN, leafBitsFor, MerkleTree, type Places, placesOf } from "../core/merkle/tree.ts";
import { decodeRecord, RecordCorruptError } from "../core/version/record-codec.ts";
import type { Engine, Entry, Telemetry, Time } from "../ports.ts";
import type { Budget } from "./budget.ts";
import { type GroupCommit, NOTHING } from "./group-commit.ts";
import { keyName } from "./record-store.ts";
import type { Replica } from "./replica.ts";
import { createSetbacks } from "./setbacks.ts";
import { likelyFitting, PAGE_BYTES } from "./stored-pages.ts";
import { loadCheckpoint, saveCheckpoint } from "./tree-checkpoint.ts";
import type { Count, Shown, TreeLedger } from "./tree-ledger.ts";

export type Trees = {
  /** Says which partitions this node keeps trees of; those that are missing are built in the background. */
  own(partitions: readonly number[]): void;
  /** The tree of a partition that can be compared now; undefined while it is being built. */
  ready(partition: number): MerkleTree | undefined;
  /** Partitions that are kept, and those of them that are built. */
  progress(): { readonly owned: number; readonly built: number };
  /**
   * The keys of some leaves, as the disk has them; the tree's sums of those leaves are counted anew on the way.
   *
   * @param depth At most the tree's resolution.
   */
  list(partition: number, depth: number, leaves: readonly number[]): Promise<LeafKey[]>;
  /**
   * Counts a whole partition anew, damaged records included: the scrub.
   *
   * @returns Leaves whose sum was wrong.
   */
  verify(partition: number, budget: Budget): Promise<number>;
  /** Takes over the checkpoint of a clean stop, and removes it from the disk. To be called before anything is written. */
  load(isUsable: boolean): Promise<void>;
  /** Lays down a checkpoint; nothing may be written after it. */
  save(): Promise<void>;
  /** Ends the work in the background. */
  close(): void;
};

/** Records of a page: few enough that nobody waits long for the turn in which they are hashed. */
const PAGE_RECORDS = 128;
/** Records of the first page, whose sizes nobody knows yet: half of a leaf. */
const FIRST_RECORDS = 32;
const RETRY_MS = 1_000;
/** Attempts at a count that failing writes spoil. */
const ATTEMPTS_MAX = 3;
const EVERYTHING: Places = placesOf(0, 0);

/** @param parts `ledger` hears of every write of `replica`; `budget` paces the work in the background. */
export function createTrees(parts: {
  readonly ledger: TreeLedger;
  readonly replica: Replica;
  readonly engine: Engine;
  readonly commit: GroupCommit;
  readonly budget: Budget;
  readonly time: Time;
  readonly telemetry: Telemetry;
}): Trees {
  const { ledger, replica, engine, commit, budget, time, telemetry } = parts;
  const owned = new Set<number>();
  const setbacks = createSetbacks(time);
  /** Failed writes that were there when the store last took one. */
  let failuresProbed = 0;
  let working = false;
  let isWaiting = false;
  let closed = false;
  telemetry.gauge("annulus.trees.built", () => builtCount());
  telemetry.gauge("annulus.trees.owned", () => owned.size);

  function builtCount(): number {
    let built = 0;
    for (const partition of owned) if (ledger.tree(partition) !== undefined) built += 1;
    return built;
  }

  /** Reads some places page by page into a count; the keys as well where `list` is given. */
  async function scan(count: Count, pace: Budget, list: LeafKey[] | undefined): Promise<void> {
    const range = placesRange(count.partition, count.places.from, count.places.until);
    let from = range.from;
    let limit = FIRST_RECORDS;
    for (;;) {
      if (closed) throw new KvError("NOT_READY", "Cannot count a partition: this node is stopping.");
      count.beginPage();
      const entries = await engine.scan({ from, until: range.until, limit });
      const last = entries.length < limit ? undefined : entries.at(-1);
      const shown = entries.map(showEntry);
      count.endPage(shown, last?.key, { isPending: replica.isPending, removals: ledger.removals });
      let sizeBytes = 0;
      for (const { key, value } of entries) sizeBytes += key.length + value.length;
      for (const { at, print } of shown) {
        if (print === undefined) await replica.setAsideIfDamaged(at);
        else list?.push({ key: parsePartitionedKey(at).key, print });
      }
      await pace.spend(sizeBytes);
      if (last === undefined) return;
      from = successor(last.key);
      limit = Math.min(PAGE_RECORDS, likelyFitting({ entries: entries.length, bytes: sizeBytes }, PAGE_BYTES));
    }
  }

  /**
   * Counts some places, each a run, into one tree.
   *
   * @param install Is called with it in the turn in which it is exact.
   * @throws {KvError} What the engine says; STORAGE_FAILED when writes that fail spoil one attempt after the other.
   */
  async function count(
    what: { readonly partition: number; readonly runs: readonly Places[]; readonly bits: number },
    how: { readonly pace: Budget; readonly list?: LeafKey[] },
    install: (counted: MerkleTree) => void,
  ): Promise<void> {
    const { partition, runs, bits } = what;
    for (let attempt = 0; attempt < ATTEMPTS_MAX && !closed; attempt++) {
      const tree = new MerkleTree(bits);
      const counts = runs.map((places) => ledger.begin(partition, places, tree));
      if (how.list !== undefined) how.list.length = 0;
      try {
        for (const one of counts) await scan(one, how.pace, how.list);
        // What was on its way while its page was read has been told when this resolves.
        await commit.drain();
        if (counts.some((one) => one.hasFailed)) {
          // The next attempt must not end before what failed has surfaced, or never will.
          await probe();
          continue;
        }
        install(tree);
        return;
      } finally {
        for (const one of counts) ledger.end(one);
      }
    }
    throw new KvError("STORAGE_FAILED", `Cannot count partition ${partition}: writes fail while it is read.`);
  }

  /** Makes sure that every write which failed so far has surfaced, or never will: the store takes writes again. */
  async function probe(): Promise<void> {
    const { failures } = ledger;
    if (failures === failuresProbed) return;
    await commit.write(NOTHING);
    failuresProbed = failures;
  }

  async function build(partition: number): Promise<void> {
    await probe();
    await count({ partition, runs: [EVERYTHING], bits: LEAF_BITS_MAX }, { pace: budget }, (counted) => {
      ledger.set(partition, counted.folded(leafBitsFor(counted.keys)));
    });
    telemetry.count("annulus.trees.builds");
  }

  /** Counts the leaves of places in doubt anew, once the store surely takes writes again: until then one may surface. */
  async function settle(partition: number): Promise<void> {
    const tree = ledger.tree(partition);
    const places = ledger.doubts(partition);
    if (tree === undefined) return ledger.settle(partition, places);
    await probe();
    const leaves = [...new Set(places.map((place) => place >>> (32 - tree.bits)))];
    await recount(partition, tree, { depth: tree.bits, leaves }, undefined);
    ledger.settle(partition, places);
  }

  async function recount(
    partition: number,
    tree: MerkleTree,
    which: { readonly depth: number; readonly leaves: readonly number[] },
    list: LeafKey[] | undefined,
  ): Promise<void> {
    const runs = which.leaves.map((leaf) => placesOf(which.depth, leaf));
    const how = list === undefined ? { pace: budget } : { pace: budget, list };
    await count({ partition, runs, bits: tree.bits }, how, (counted) => {
      // A tree that was made anew meanwhile is right by itself.
      if (ledger.tree(partition) !== tree) return;
      for (const places of runs) telemetry.count("annulus.trees.leaves_corrected", tree.replace(counted, places));
    });
  }

  type Job = { readonly partition: number; readonly run: (partition: number) => Promise<void> };

  /** The next thing to do in the background: doubts first, then what is missing, then what has grown. */
  function nextJob(mayTry: (partition: number) => boolean): Job | undefined {
    for (const partition of ledger.doubtful()) if (mayTry(partition)) return { partition, run: settle };
    for (const partition of owned) {
      if (ledger.tree(partition) === undefined && mayTry(partition)) return { partition, run: build };
    }
    for (const partition of owned) {
      if (ledger.tree(partition)?.isTooFull() && mayTry(partition)) return { partition, run: build };
    }
    return undefined;
  }

  /** Whether all is done. A partition that cannot be read, for a damaged block say, keeps no other one from being built. */
  async function work(): Promise<boolean> {
    const failed = new Set<number>();
    const mayTry = (partition: number): boolean => !failed.has(partition) && setbacks.isDue(partition);
    for (let job = nextJob(mayTry); job !== undefined && !closed; job = nextJob(mayTry)) {
      const { partition, run } = job;
      try {
        await run(partition);
        setbacks.forget(partition);
      } catch (cause) {
        if (!(cause instanceof KvError)) throw cause;
        failed.add(partition);
        telemetry.log("warn", "trees.count_failed", { partition, cause });
        // Where no write goes through, none of them can be counted, which says nothing of this one.
        await probe();
        setbacks.failed(partition);
      }
    }
    return closed || nextJob(() => true) === undefined;
  }

  /** One timer, however many runs ended undone meanwhile. */
  function kickLater(): void {
    if (isWaiting) return;
    isWaiting = true;
    time.after(RETRY_MS, () => {
      isWaiting = false;
      kick();
    });
  }

  function kick(): void {
    if (working || closed) return;
    working = true;
    work().then(
      (isDone) => {
        working = false;
        if (!isDone) kickLater();
      },
      (error: unknown) => {
        working = false;
        if (!(error instanceof KvError)) throw error;
        kickLater();
      },
    );
  }
  ledger.onDoubt(kick);

  return {
    own(partitions) {
      const wanted = new Set(partitions);
      for (const partition of owned) {
        if (wanted.has(partition)) continue;
        owned.delete(partition);
        setbacks.forget(partition);
        ledger.set(partition, undefined);
      }
      for (const partition of wanted) owned.add(partition);
      kick();
    },

    ready: (partition) => (ledger.isInDoubt(partition) ? undefined : ledger.tree(partition)),
    progress: () => ({ owned: owned.size, built: builtCount() }),

    async list(partition, depth, leaves) {
      const tree = ledger.tree(partition);
      if (tree === undefined || depth > tree.bits) {
        throw new KvError("NOT_READY", `Cannot list leaves of partition ${partition}: its tree is not built yet.`);
      }
      const keys: LeafKey[] = [];
      await recount(partition, tree, { depth, leaves }, keys);
      return keys;
    },

    async verify(partition, pace) {
      let wrong = 0;
      await probe();
      // As fine as the tree is now, and no finer: most partitions are small, and a count of all leaves is large.
      const bits = ledger.tree(partition)?.bits ?? LEAF_BITS_MIN;
      await count({ partition, runs: [EVERYTHING], bits }, { pace }, (counted) => {
        const tree = ledger.tree(partition);
        // One that was made anew meanwhile is right by itself.
        if (tree?.bits === bits) wrong = tree.replace(counted, EVERYTHING);
      });
      telemetry.count("annulus.trees.leaves_corrected", wrong);
      return wrong;
    },

    load: (isUsable) => loadCheckpoint(engine, telemetry, isUsable ? ledger : undefined),
    save: () => saveCheckpoint(engine, telemetry, ledger, owned),
    close() {
      closed = true;
    },
  };
}

function showEntry({ key: at, value }: Entry): Shown {
  const { key } = parsePartitionedKey(at);
  try {
    return { name: keyName(key), at, print: fingerprintOf(key, value, decodeRecord(value)) };
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    return { name: keyName(key), at, print: undefined };
  }
}
