/**
 * Which requests this node's replica takes, by the epoch under which they were sent (design §3, "Refusal").
 *
 * A write is refused when its epoch gives the partition other write sets than the epoch in force, a read when the read
 * sets or the write sets differ: who reads by the older write sets takes what it found for acknowledged, or has it
 * acknowledged, where the homes to be know nothing of it, and a later read may ask those. Older requests that mean the
 * same replicas are served. A write that was let in before a ring was adopted may still be on its way to the disk after it:
 * so an epoch counts as *adopted*, in what this node tells others, only once every write that was let in under an earlier
 * one has ended. Whoever pulls from this node relies on that.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import { haveSameSets, haveSameWriteSets, type Ring } from "../core/ring/ring.ts";
import type { Identity } from "./identity.ts";
import { isListed } from "./listing.ts";

/** Writes that were let in under one ring; `end` is called once for each. */
export type Ticket = { end(): void };

export type Admission = {
  /** A ring has come into force. */
  adopt(ring: Ring): void;
  /** Newest epoch under which every write is that may still reach the disk; 0 before there is a ring. */
  adoptedEpoch(): number;
  /** Resolves when the ring in force is adopted. */
  settled(): Promise<void>;
  /**
   * Lets a write in that is for this node's own records.
   *
   * @throws {KvError} STALE_RING; NOT_READY before there is a ring.
   */
  write(epoch: number, partition: number): Ticket;
  /** Lets a write in that this node keeps as a hint for `target`; `counts` as in `HintOrder`. Throws as `write`. */
  hint(epoch: number, partition: number, target: MemberId, counts: boolean): Ticket;
  /** Throws as `write` unless this node may answer the read. */
  read(epoch: number, partition: number): void;
  /** Throws as `write` unless this node may answer the read with the hints that it keeps. */
  standInRead(epoch: number, partition: number): void;
  /** Throws as `write` unless this node keeps the partition: for repair and transfer, which ask whatever the sets are. */
  keep(partition: number): void;
};

class Group implements Ticket {
  readonly epoch: number;
  inside = 0;
  #ended: () => void;

  constructor(epoch: number, ended: () => void) {
    this.epoch = epoch;
    this.#ended = ended;
  }

  end(): void {
    this.inside -= 1;
    if (this.inside === 0) this.#ended();
  }
}

/**
 * @param self This node's name.
 * @param rings `ringOf` gives the ring of a recent epoch.
 * @param identity Whether the ring means this directory, or another took its place.
 * @param isPastChanging Whether no further ring can be chosen, and so none that lists this directory.
 */
export function createAdmission(
  self: MemberId,
  rings: { required(): Ring; ringOf(epoch: number): Ring | undefined },
  identity: Pick<Identity, "actor" | "isSuccessor" | "isSuperseded">,
  isPastChanging: (ring: Ring) => boolean,
): Admission {
  /** One for each ring under which a write may still be on its way, the one in force last. */
  let groups: readonly Group[] = [];
  const waiting: (() => void)[] = [];
  /** The members went on without this directory: it was declared destroyed, or another took its place. */
  let isSetAside = false;
  /** It came in the place of another and is not listed yet. */
  let isUnlisted = false;

  function review(): void {
    const last = groups.at(-1);
    groups = groups.filter((group) => group === last || group.inside > 0);
    if (groups.length > 1) return;
    for (const resolve of waiting.splice(0)) resolve();
  }

  function letIn(): Ticket {
    const group = groups.at(-1) as Group;
    group.inside += 1;
    return group;
  }

  /** The ring in force; throws unless a request of `epoch` means the same replicas, as `isSame` tells. */
  function sameRing(epoch: number, partition: number, isSame: typeof haveSameWriteSets): Ring {
    const ring = rings.required();
    if (epoch === ring.epoch) return ring;
    const theirs = epoch < ring.epoch ? rings.ringOf(epoch) : undefined;
    if (theirs !== undefined && isSame(theirs, ring, partition)) return ring;
    throw stale(ring, partition, epoch);
  }

  function stale(ring: Ring, partition: number, epoch: number): KvError {
    return new KvError(
      "STALE_RING",
      `Cannot serve partition ${partition} by epoch ${epoch}: ${self} goes by epoch ${ring.epoch}, which places it otherwise.`,
    );
  }

  function notHere(ring: Ring, partition: number): KvError {
    return new KvError(
      "STALE_RING",
      `Cannot serve partition ${partition}: ${self} is not its home at epoch ${ring.epoch}.`,
    );
  }

  /** Whether this directory counts for nothing, by the ring in force. Where nobody can list it any more, it has to do. */
  function isOutside(ring: Ring): boolean {
    return isSetAside || (isUnlisted && !isPastChanging(ring));
  }

  return {
    adopt(ring) {
      const member = ring.member(self);
      isSetAside = member?.isDestroyed === true || identity.isSuperseded();
      isUnlisted = !isListed(member, identity);
      groups = [...groups, new Group(ring.epoch, review)];
      review();
    },
    adoptedEpoch: () => groups[0]?.epoch ?? 0,
    settled: () => (groups.length <= 1 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    write(epoch, partition) {
      const ring = sameRing(epoch, partition, haveSameWriteSets);
      // What it takes would count, and be set aside with it.
      if (!ring.isWriter(self, partition) || isOutside(ring)) throw notHere(ring, partition);
      return letIn();
    },
    hint(epoch, partition, target, counts) {
      const ring = sameRing(epoch, partition, haveSameWriteSets);
      const state = ring.member(self)?.state;
      const mayKeep = (state === "active" || state === "rebuilding") && !isOutside(ring);
      const isKnown = target !== self && ring.member(target) !== undefined;
      if (mayKeep && isKnown && !(counts && ring.isWriter(self, partition))) return letIn();
      throw new KvError(
        "STALE_RING",
        `Cannot stand in for ${target} of partition ${partition}: the ring of epoch ${ring.epoch} says otherwise.`,
      );
    },
    read(epoch, partition) {
      const ring = sameRing(epoch, partition, haveSameSets);
      if (!ring.isHome(self, partition) || isOutside(ring)) throw notHere(ring, partition);
    },
    standInRead(epoch, partition) {
      const ring = sameRing(epoch, partition, haveSameSets);
      if (ring.isWriter(self, partition)) throw stale(ring, partition, epoch);
    },
    keep(partition) {
      const ring = rings.required();
      if (!ring.isWriter(self, partition)) throw notHere(ring, partition);
    },
  };
}
