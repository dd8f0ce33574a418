/**
 * The Merkle trees of a node's partitions, kept with each write: the part of it that never waits.
 *
 * A tree says what is durable. A write tells the ledger when it sets out (what it replaces and what comes) and again when it
 * is durable; then, and in the same turn of the event loop as the replica's memory, the trees take it in.
 *
 * While some places of a partition are being *counted* by a scan, a write may be read by the scan and be told as
 * well, and must count once. A count goes page by page, and at the end of each page it is exact for all up to there:
 *
 * - A write that became durable while the page was being read may be on it or not: what it wrote counts, not the page.
 * - A write that is still on its way when the page has come may be on it already. What the page showed is counted
 *   and remembered, and when the write is told, that is taken out instead of what the write says it replaced.
 * - Behind the page everything is left to the pages to come, and before it a write is taken in as ever.
 *
 * A write that failed leaves its place in doubt (it may surface when the store is opened again) until the leaf has been
 * counted anew. Here no disk is read: see `trees.ts`.
 */
import { compareBytes } from "../core/bytes.ts";
import { partitionOfStored, placeOfStored } from "../core/keyspace.ts";
import type { Fingerprint } from "../core/merkle/fingerprint.ts";
import type { MerkleTree, Places } from "../core/merkle/tree.ts";

/** A write on its way, from what is durable to what will be; undefined is no record. */
export class Change {
  readonly name: string;
  readonly at: Uint8Array;
  readonly was: Fingerprint | undefined;
  readonly is: Fingerprint | undefined;
  readonly #ledger: TreeLedger;

  /** Made by `TreeLedger.change`. */
  constructor(
    ledger: TreeLedger,
    stored: { readonly name: string; readonly at: Uint8Array },
    prints: { readonly was: Fingerprint | undefined; readonly is: Fingerprint | undefined },
  ) {
    this.#ledger = ledger;
    this.name = stored.name;
    this.at = stored.at;
    this.was = prints.was;
    this.is = prints.is;
  }

  /** To be called once, in the turn in which memory takes the write for durable. */
  durable(): void {
    this.#ledger.take(this);
  }

  /** To be called instead when the write failed. */
  failed(): void {
    this.#ledger.lose(this);
  }

  /** To be called instead when the write was never handed on, so that it cannot surface. */
  refused(): void {
    this.#ledger.drop(this);
  }
}

/** A record as a page showed it; a damaged one has no fingerprint. */
export type Shown = { readonly name: string; readonly at: Uint8Array; readonly print: Fingerprint | undefined };

/** Some places of a partition that are being counted. */
export class Count {
  /** What was counted so far. */
  readonly tree: MerkleTree;
  readonly partition: number;
  readonly places: Places;
  #failed = false;
  /** The last storage key that is counted. */
  #cursor: Uint8Array | undefined;
  /** Writes that became durable while the present page was read, the newest of each key. */
  readonly #meanwhile = new Map<string, Change>();
  /** What was counted of keys that had a write on its way at the time. */
  readonly #onTheirWay = new Map<string, Fingerprint | undefined>();

  /** @param tree Takes what is counted; counts of other places of the partition may share it. */
  constructor(partition: number, places: Places, tree: MerkleTree) {
    this.partition = partition;
    this.places = places;
    this.tree = tree;
  }

  /** Whether a write failed meanwhile, or a record was found damaged: what was counted says nothing then. */
  get hasFailed(): boolean {
    return this.#failed;
  }

  /** Says that what was counted may not be what the disk holds. */
  fail(): void {
    this.#failed = true;
  }

  /** To be called in the turn in which a page is asked for. */
  beginPage(): void {
    this.#meanwhile.clear();
  }

  /**
   * To be called in the turn in which a page has come.
   *
   * @param shown In storage order.
   * @param upTo The last storage key that the page speaks for; undefined: all that are left.
   * @param onTheirWay Whether a write of a key is on its way, and the removals that are: their keys may be gone from
   *   the page already.
   */
  endPage(
    shown: readonly Shown[],
    upTo: Uint8Array | undefined,
    onTheirWay: { readonly isPending: (name: string) => boolean; readonly removals: Iterable<Change> },
  ): void {
    for (const { name, at } of onTheirWay.removals) if (this.#isNext(at, upTo)) this.#onTheirWay.set(name, undefined);
    for (const { name, at, print } of shown) {
      const newer = this.#meanwhile.get(name);
      if (newer !== undefined) {
        this.#meanwhile.delete(name);
        this.#onTheirWay.delete(name);
        this.#add(at, newer.is);
        continue;
      }
      this.#add(at, print);
      if (onTheirWay.isPending(name)) this.#onTheirWay.set(name, print);
    }
    for (const { name, at, is } of this.#meanwhile.values()) {
      if (!this.#isNext(at, upTo)) continue;
      this.#add(at, is);
      this.#onTheirWay.delete(name);
    }
    this.#meanwhile.clear();
    this.#cursor = upTo ?? END;
  }

  /** Takes in a write that is durable. */
  take(change: Change): void {
    const { name, at, is } = change;
    const place = placeOfStored(at);
    if (place < this.places.from || place >= this.places.until) return;
    if (this.#cursor === undefined || compareBytes(at, this.#cursor) > 0) {
      this.#meanwhile.set(name, change);
      return;
    }
    const counted = this.#onTheirWay.has(name) ? this.#onTheirWay.get(name) : change.was;
    this.#onTheirWay.delete(name);
    if (counted !== undefined) this.tree.remove(place, counted);
    if (is !== undefined) this.tree.add(place, is);
  }

  /** Whether a storage key lies behind what is counted and not behind the end of a page. */
  #isNext(at: Uint8Array, upTo: Uint8Array | undefined): boolean {
    const isCounted = this.#cursor !== undefined && compareBytes(at, this.#cursor) <= 0;
    return !isCounted && (upTo === undefined || compareBytes(at, upTo) <= 0);
  }

  #add(at: Uint8Array, print: Fingerprint | undefined): void {
    if (print !== undefined) this.tree.add(placeOfStored(at), print);
  }
}

/** After every storage key. */
const END = Uint8Array.of(0xff);

/** All trees of a node. */
export class TreeLedger {
  readonly #trees: (MerkleTree | undefined)[] = [];
  /** Counts under way, by partition. */
  readonly #counts = new Map<number, Set<Count>>();
  /** Removals on their way. */
  readonly #removals = new Set<Change>();
  /** Places in doubt, by partition. */
  readonly #doubts = new Map<number, Set<number>>();
  #doubted: () => void = () => {};
  #failures = 0;

  /** The tree of a partition; undefined before it was counted. */
  tree(partition: number): MerkleTree | undefined {
    return this.#trees[partition];
  }

  /** Puts a tree in place, or takes it away. */
  set(partition: number, tree: MerkleTree | undefined): void {
    this.#trees[partition] = tree;
    this.#doubts.delete(partition);
  }

  /** A write that sets out: `name` is the key as a map key, `at` its storage key. */
  change(name: string, at: Uint8Array, was: Fingerprint | undefined, is: Fingerprint | undefined): Change {
    const change = new Change(this, { name, at }, { was, is });
    if (is === undefined) this.#removals.add(change);
    return change;
  }

  /** Writes that failed so far. */
  get failures(): number {
    return this.#failures;
  }

  /** The removals that are on their way. */
  get removals(): Iterable<Change> {
    return this.#removals;
  }

  /** Takes in a write that is durable. */
  take(change: Change): void {
    const partition = partitionOfStored(change.at);
    if (change.is === undefined) this.#removals.delete(change);
    const tree = this.#trees[partition];
    if (tree !== undefined) {
      const place = placeOfStored(change.at);
      if (change.was !== undefined) tree.remove(place, change.was);
      if (change.is !== undefined) tree.add(place, change.is);
    }
    if (this.#counts.size > 0) for (const count of this.#counts.get(partition) ?? []) count.take(change);
  }

  /** Forgets a write that will not be. */
  drop(change: Change): void {
    this.#removals.delete(change);
  }

  /** Forgets a write that failed, and doubts its place. */
  lose(change: Change): void {
    this.#failures += 1;
    this.#removals.delete(change);
    this.doubt(change.at);
  }

  /**
   * Says that what the tree holds of a storage key's place may not be what the disk holds; nor may what a count under way has
   * read of it, for a record may have been damaged since.
   */
  doubt(at: Uint8Array): void {
    const partition = partitionOfStored(at);
    for (const count of this.#counts.get(partition) ?? []) count.fail();
    if (this.#trees[partition] === undefined) return;
    const places = this.#doubts.get(partition);
    if (places === undefined) this.#doubts.set(partition, new Set([placeOfStored(at)]));
    else places.add(placeOfStored(at));
    this.#doubted();
  }

  /** Calls `listener` after a place has come into doubt. */
  onDoubt(listener: () => void): void {
    this.#doubted = listener;
  }

  isInDoubt(partition: number): boolean {
    return this.#doubts.has(partition);
  }

  /** The partitions with places in doubt. */
  doubtful(): number[] {
    return [...this.#doubts.keys()];
  }

  /** The places of a partition that are in doubt. */
  doubts(partition: number): readonly number[] {
    return [...(this.#doubts.get(partition) ?? [])];
  }

  /** Takes places out of doubt that were counted anew. */
  settle(partition: number, places: readonly number[]): void {
    const doubted = this.#doubts.get(partition);
    for (const place of places) doubted?.delete(place);
    if (doubted?.size === 0) this.#doubts.delete(partition);
  }

  /** Begins a count; what becomes durable from here on is told to it. */
  begin(partition: number, places: Places, tree: MerkleTree): Count {
    const count = new Count(partition, places, tree);
    const others = this.#counts.get(partition);
    if (others === undefined) this.#counts.set(partition, new Set([count]));
    else others.add(count);
    return count;
  }

  /** Ends a count, well or not. */
  end(count: Count): void {
    const counts = this.#counts.get(count.partition);
    counts?.delete(count);
    if (counts?.size === 0) this.#counts.delete(count.partition);
  }
}
