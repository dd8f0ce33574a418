/**
 * Counts the acknowledgements of a write that every one of its write sets must confirm: one set as a rule, two while its
 * partition moves (design §3, *prepare* and *switch*).
 *
 * Members are named by one bit each, their place among all writers. A member of both sets counts in both. As `Tally`,
 * which counts within one set, it is made for every request and changed in place.
 */
import type { Outcome } from "../errors.ts";
import type { RingMember } from "../ring/document.ts";
import { Tally, type Verdict } from "./tally.ts";

/** The count for one write: told of each question and each reply, by the bit of the member that it is about. */
export class WriteTally {
  readonly #first: Tally;
  readonly #firstBits: number;
  readonly #second: Tally | undefined;
  readonly #secondBits: number;

  /**
   * @param required W, and the zones it must come from, both at least 1.
   * @param sets The members of each write set, one bit each.
   */
  constructor(required: { readonly acks: number; readonly zones: number }, sets: readonly [number, number?]) {
    this.#first = new Tally(required.acks, required.zones);
    this.#firstBits = sets[0];
    this.#second = sets[1] === undefined ? undefined : new Tally(required.acks, required.zones);
    this.#secondBits = sets[1] ?? 0;
  }

  /** The count of the set that has the fewest acknowledgements, or as many from the fewest zones: what an answer stands on. */
  get weakest(): Tally {
    const [first, second] = [this.#first, this.#second];
    if (second === undefined || second.acks > first.acks) return first;
    return second.acks < first.acks || second.zones < first.zones ? second : first;
  }

  /** Whether a replica may hold what was sent. */
  get outcome(): Outcome {
    return this.#second?.outcome === "unknown" ? "unknown" : this.#first.outcome;
  }

  /** A member, or a stand-in of it, is being asked; exactly one of the next four follows. */
  ask(bit: number): void {
    if ((bit & this.#firstBits) !== 0) this.#first.ask();
    if ((bit & this.#secondBits) !== 0) this.#second?.ask();
  }

  /** It acknowledged. */
  acked(bit: number, zone: string): void {
    if ((bit & this.#firstBits) !== 0) this.#first.acked(zone);
    if ((bit & this.#secondBits) !== 0) this.#second?.acked(zone);
  }

  /** A stand-in keeps the write for it; `zone` as `Tally.hint` takes it. */
  hint(bit: number, zone: string | undefined): void {
    if ((bit & this.#firstBits) !== 0) this.#first.hint(zone);
    if ((bit & this.#secondBits) !== 0) this.#second?.hint(zone);
  }

  /** It, or its stand-in, is counted already. */
  repeated(bit: number): void {
    if ((bit & this.#firstBits) !== 0) this.#first.repeated();
    if ((bit & this.#secondBits) !== 0) this.#second?.repeated();
  }

  /** It refused ("none") or was not heard of in time ("unknown"). */
  failed(bit: number, outcome: Outcome): void {
    if ((bit & this.#firstBits) !== 0) this.#first.failed(outcome);
    if ((bit & this.#secondBits) !== 0) this.#second?.failed(outcome);
  }

  /** Somebody outside the count may hold what was sent. */
  noteUnknown(): void {
    this.#first.noteUnknown();
  }

  /** The deadline has come: whoever was asked and has not replied may hold it. */
  expire(): void {
    this.#first.expire();
    this.#second?.expire();
  }

  /** Whether some set falls short even if all of these members acknowledge. */
  lacks(hopeful: number): boolean {
    if (this.#first.acks + bitCount(hopeful & this.#firstBits) < this.#first.required) return true;
    return (
      this.#second !== undefined && this.#second.acks + bitCount(hopeful & this.#secondBits) < this.#second.required
    );
  }

  /** `lost` as soon as one set cannot be won any more. */
  verdict(): Verdict {
    const first = this.#first.verdict();
    const second = this.#second?.verdict() ?? "won";
    if (first === "lost" || second === "lost") return "lost";
    return first === "won" ? second : first;
  }
}

function bitCount(bits: number): number {
  let count = 0;
  for (let left = bits; left !== 0; left &= left - 1) count += 1;
  return count;
}

/**
 * The count for a write to one partition.
 *
 * @param required W, and the zones it must come from.
 * @param writers All members of the sets.
 * @param sets One write set, or two while the partition moves; see `Ring.writeSets`.
 */
export function writeTallyOf(
  required: { readonly acks: number; readonly zones: number },
  writers: readonly RingMember[],
  sets: readonly (readonly RingMember[])[],
): WriteTally {
  const [first = [], second] = sets;
  const bits = bitsOf(writers, first);
  return new WriteTally(required, second === undefined ? [bits] : [bits, bitsOf(writers, second)]);
}

/** The bit by which a writer is counted; 0 for who is none. */
export function bitOf(writers: readonly RingMember[], member: RingMember): number {
  const place = writers.indexOf(member);
  return place < 0 ? 0 : 1 << place;
}

function bitsOf(writers: readonly RingMember[], members: readonly RingMember[]): number {
  let bits = 0;
  for (const member of members) bits |= bitOf(writers, member);
  return bits;
}
