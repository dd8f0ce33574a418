/**
 * Whether acknowledged writes stay where they were acknowledged: for as long as a run goes on, and not only at the end.
 *
 * An acknowledgement of `acks` stands for so many homes that hold the write, themselves or through a stand-in that keeps a
 * hint for them. From then on copies only move: a hint goes when its home has the write. So at any later time the write
 * (or a record that has seen it) is held for at least `acks` homes, less the disks that were destroyed since. A copy that is
 * given up too early would be missed by no reader until a second disk fails, which is seldom; here it is missed at once.
 */
import assert from "node:assert/strict";
import type { Receipt } from "../../node/core/errors.ts";
import { contextDescends, EMPTY_CONTEXT, joinContexts } from "../../node/core/version/context.ts";
import { decodeToken } from "../../node/core/version/context-codec.ts";
import type { CausalContext } from "../../node/core/version/record.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import { horizonIn } from "./collected.ts";
import { recordIn, recordInHint } from "./disk-records.ts";
import type { WriteId } from "./history.ts";
import { saysItIsWhole } from "./own-word.ts";
import { placesOf } from "./places.ts";
import type { Tally } from "./tally.ts";

type Acknowledged = {
  readonly id: WriteId;
  readonly seen: CausalContext;
  /** Homes that held it when it was acknowledged, or that somebody held it for; at most what its receipt said. */
  readonly copies: number;
  /** When it began, or all of these were last seen: what was lost before is made good. */
  wholeMs: number;
  readonly endedMs: number;
  /** Homes alone acknowledged it, and as many as the ring's W at least: who is filled by enough of them has it. */
  readonly isByHomes: boolean;
  /** Disks being filled that may lack it, for others had lost it meanwhile. */
  readonly excused: Set<string>;
};

/** What one home knows of a key by its own record, what it knows to be deleted of the partition, and what somebody keeps for it. */
type Held = { readonly own: CausalContext; readonly horizon: CausalContext; readonly hints: readonly CausalContext[] };

/** Of each key, so many acknowledged writes are looked after. */
const WRITES_MAX = 16;
const CHECK_MS = 500;

export class Copies {
  readonly #cluster: SimulatedCluster;
  readonly #mayBeDeleted: (id: WriteId) => boolean;
  readonly #tally: Tally;
  readonly #byKey = new Map<string, Acknowledged[]>();

  /** @param mayBeDeleted Whether a write may be gone by now, or is a deletion: only then a horizon stands for a record. */
  constructor(cluster: SimulatedCluster, mayBeDeleted: (id: WriteId) => boolean, tally: Tally) {
    this.#cluster = cluster;
    this.#tally = tally;
    this.#mayBeDeleted = mayBeDeleted;
    this.#later();
  }

  /**
   * Takes note of an acknowledged write.
   *
   * @param token Of its answer: covers it, and nothing that it did not replace.
   */
  note(
    key: string,
    write: {
      readonly id: WriteId;
      readonly token: string;
      readonly receipt: Pick<Receipt, "acks" | "hinted">;
      readonly startedMs: number;
    },
  ): void {
    const { id, token, receipt, startedMs } = write;
    const { acks, hinted } = receipt;
    const seen = decodeToken(token, bytesOf(key));
    const noted = this.#byKey.get(key) ?? [];
    this.#byKey.set(key, noted);
    // The token of a write that was sent twice may say more than those who know it by its name hold.
    const copies = countOf(this.#heldForHomes(key), seen, this.#isDeleted(id));
    const endedMs = this.#cluster.simulator.nowMs;
    // A hint for who is no home any more goes once W of the present homes have it, be it one of more copies than that.
    const most = this.#cluster.isElastic ? Math.min(acks, this.#cluster.leastQuorums.writeQuorum) : acks;
    const isByHomes = hinted === 0 && copies >= acks && acks >= this.#cluster.leastQuorums.writeQuorum;
    noted.push({
      id,
      seen,
      copies: Math.min(most, copies),
      wholeMs: startedMs,
      endedMs,
      isByHomes,
      excused: new Set(),
    });
    if (noted.length > WRITES_MAX) this.#forgetOne(noted);
  }

  /** Forgets the oldest that a younger one has seen, for who holds that holds both; else the oldest. */
  #forgetOne(noted: Acknowledged[]): void {
    const seenBy = (one: Acknowledged, at: number) =>
      noted.some((other, later) => later > at && other.copies >= one.copies && contextDescends(other.seen, one.seen));
    noted.splice(Math.max(0, noted.findIndex(seenBy)), 1);
  }

  #later(): void {
    this.#cluster.simulator.after(CHECK_MS, () => {
      this.check();
      this.#later();
    });
  }

  /** Looks at all disks. */
  check(): void {
    for (const [key, noted] of this.#byKey) this.#checkKey(key, noted);
    if (this.#cluster.isElastic) return;
    for (const machine of this.#cluster.machines)
      if (machine.diskLostMs !== Number.NEGATIVE_INFINITY) this.#checkFilled(machine);
  }

  /**
   * Who came back with an empty disk and says that it has been filled holds, of its keys, whatever W homes had acknowledged by then:
   * that is what makes its answers count again. Of what others had lost by the time that it was filled nobody can say.
   */
  #checkFilled(machine: SimulatedNode): void {
    const { losses, simulator } = this.#cluster;
    const { name, disk, diskLostMs } = machine;
    const isFilled = saysItIsWhole(machine);
    const filling = `${name} after ${diskLostMs}`;
    for (const [key, noted] of this.#byKey) {
      const place = placesOf(this.#cluster, key).find(({ home }) => home === name);
      if (place === undefined) continue;
      for (const { id, seen, wholeMs, endedMs, isByHomes, excused } of noted) {
        if (!isByHomes || endedMs >= diskLostMs || excused.has(filling)) continue;
        const hits = losses.of({ key, startedMs: wholeMs, endedMs, context: seen });
        if (hits.some((loss) => loss.member !== name || loss.kind !== "disk")) {
          this.#tally.count("excused: a write that a filled disk may lack");
          excused.add(filling);
          continue;
        }
        if (!isFilled) continue;
        this.#tally.count("a write that a filled disk holds");
        const own = recordIn(disk.peek(place.own))?.context ?? EMPTY_CONTEXT;
        const horizon = horizonIn(disk.peek(place.horizon));
        assert(
          holds({ own, horizon, hints: [] }, seen, this.#isDeleted(id)),
          `who says that it was filled has what was acknowledged before: ${name}, filled again after ${diskLostMs.toFixed(1)} ms, lacks write ${id} of ${key} at ${simulator.nowMs.toFixed(1)} ms`,
        );
      }
    }
  }

  #checkKey(key: string, noted: Acknowledged[]): void {
    const { simulator, isElastic } = this.#cluster;
    const held = this.#heldForHomes(key);
    for (const one of [...noted]) {
      const { id, seen, copies } = one;
      const left = countOf(held, seen, this.#isDeleted(id));
      // A hint that was counted for nobody may go again, and so does what a former home still has.
      const own = isElastic ? 0 : held.filter((home) => contextDescends(home.own, seen)).length;
      if (own >= copies) one.wholeMs = simulator.nowMs;
      this.#tally.count(left >= copies ? "a write on all its disks" : "excused: a write on fewer disks, for losses");
      if (left >= copies) continue;
      assert(
        left + this.#lostOf(key, one) >= copies,
        `an acknowledged write stays where it was acknowledged: write ${id} of ${key} was held for ${copies} homes, and is for ${left} at ${simulator.nowMs.toFixed(1)} ms`,
      );
      // Whoever holds it again holds a later write that claims it.
      if (left === 0) noted.splice(noted.indexOf(one), 1);
    }
  }

  /** How many disks lost it since all copies were last seen; of what is held by a horizon alone, whatever homes' disks were lost. */
  #lostOf(key: string, { id, seen, wholeMs, endedMs }: Acknowledged): number {
    const { losses, machines } = this.#cluster;
    const lost = new Set(losses.disksOf({ key, startedMs: wholeMs, endedMs, context: seen }));
    if (this.#mayBeDeleted(id))
      for (const { home } of placesOf(this.#cluster, key))
        if (machines.some(({ name, diskLostMs }) => name === home && diskLostMs >= wholeMs)) lost.add(home);
    return lost.size;
  }

  /** Of each home of a key, what is held by it and for it. */
  #heldForHomes(key: string): readonly Held[] {
    return placesOf(this.#cluster, key).map((place) => {
      const hints: CausalContext[] = [];
      let [own, horizon] = [EMPTY_CONTEXT, EMPTY_CONTEXT];
      for (const { name, disk } of this.#cluster.machines) {
        if (name === place.home) {
          own = recordIn(disk.peek(place.own))?.context ?? EMPTY_CONTEXT;
          horizon = horizonIn(disk.peek(place.horizon));
        } else {
          const hint = recordInHint(disk.peek(place.hint));
          if (hint !== undefined) hints.push(hint.context);
        }
      }
      return { own, horizon, hints };
    });
  }

  /** Asked only where no record answers, and once. */
  #isDeleted(id: WriteId): () => boolean {
    let known: boolean | undefined;
    return () => {
      known ??= this.#mayBeDeleted(id);
      return known;
    };
  }
}

/** Whether one home holds a write, or somebody holds it for it. A horizon that covers what may not be deleted says nothing of it. */
function holds({ own, horizon, hints }: Held, seen: CausalContext, isDeleted: () => boolean): boolean {
  const knows = (context: CausalContext) => contextDescends(context, seen);
  if (knows(own) || hints.some(knows)) return true;
  return knows(joinContexts(own, horizon)) && isDeleted();
}

/** Homes that hold a write, or for which somebody does. */
function countOf(held: readonly Held[], seen: CausalContext, isDeleted: () => boolean): number {
  return held.filter((home) => holds(home, seen, isDeleted)).length;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
