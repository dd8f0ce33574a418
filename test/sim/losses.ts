/**
 * Which copies of a write faults may have destroyed: the exact budget of what was promised.
 *
 * A write that W disks acknowledged is lost rightly only when W of them were destroyed. An exchanged disk destroys all that
 * was written to it before. A machine that lost its power destroys, with `durability: os`, the records that were not
 * synced, and no others: the disk says which keys, and since when. A damaged record is destroyed where it lay. With
 * `durability: disk` a loss of power destroys nothing, for what was acknowledged was synced.
 */

export type Loss = {
  readonly kind: "disk" | "power" | "rot";
  /** The member whose disk it was. */
  readonly member: string;
  /** The client's key; undefined is all of them. */
  readonly key: string | undefined;
  /** What was on the disk before this is still there. */
  readonly fromMs: number;
  readonly atMs: number;
  /**
   * Until when what it destroyed may have been taken for whole, if longer than at that moment: a damaged record is
   * served from memory until it is read or written anew.
   */
  untilMs?: number;
};

/** When copies of something were made: not before `startedMs`, and those that count no later than `endedMs`. */
export type Span = { readonly key: string; readonly startedMs: number; readonly endedMs: number };

export class Losses {
  readonly #losses: Loss[] = [];
  readonly #zoneOf: (member: string) => string;

  /** @param zoneOf Of a member by its name; when left out, each is in one of its own. */
  constructor(zoneOf: (member: string) => string = (member) => member) {
    this.#zoneOf = zoneOf;
  }

  note(loss: Loss): void {
    this.#losses.push(loss);
  }

  /** What may have hit a copy that was made in this span. */
  of({ key, startedMs, endedMs }: Span): readonly Loss[] {
    // Most runs have few losses, and most writes none.
    if (this.#losses.length === 0) return NOTHING;
    return this.#losses.filter(
      (loss) =>
        (loss.key === undefined || loss.key === key) &&
        (loss.untilMs ?? loss.atMs) >= startedMs &&
        loss.fromMs <= endedMs,
    );
  }

  /** The disks that may have lost a copy that was made in this span. */
  disksOf(span: Span): ReadonlySet<string> {
    return new Set(this.of(span).map(({ member }) => member));
  }

  /** Whether they may have taken all of so many copies, which were in so many zones. */
  mayHaveTakenAll(span: Span, { holders, zones = 1 }: { readonly holders: number; readonly zones?: number }): boolean {
    const disks = this.disksOf(span);
    return disks.size >= holders && new Set([...disks].map(this.#zoneOf)).size >= zones;
  }
}

const NOTHING: readonly Loss[] = [];
