/**
 * Who is asked, and in which order: a function of the home replicas, of who is up, and of who asks.
 *
 * Source: DeCandia et al. 2007, §4.5 (the preference list and its first healthy nodes).
 */
import type { MemberId, RingMember } from "../ring/document.ts";
import type { Pace } from "./pace.ts";

export type WhoIsUp = (member: MemberId) => boolean;

/**
 * Home replicas that may stamp a write, the best first.
 *
 * A blind overwrite goes to the first live member of the preference list through whichever node it came, so that
 * `PUT`, `PUT`, `GET` gives the last value. Any other write is stamped by this node when it is a home, which saves a
 * hop. Members thought down come last: the detector may be wrong, and asking them costs nothing once all else failed.
 */
export function stampOrder(
  homes: readonly RingMember[],
  options: { readonly self: MemberId; readonly isUp: WhoIsUp; readonly blindOverwrite: boolean },
): readonly RingMember[] {
  const { self, isUp, blindOverwrite } = options;
  if (homes.every((home) => isUp(home.name)) && (blindOverwrite || homes[0]?.name === self)) return homes;
  const rank = (member: RingMember) => {
    if (!blindOverwrite && member.name === self) return 0;
    return isUp(member.name) ? 1 : 2;
  };
  return [...homes].sort((a, b) => rank(a) - rank(b));
}

/**
 * Home replicas in the order in which a read asks them: this node first when it is a home, then those that are up,
 * beginning at `rotation` so that reads spread evenly, then those that are slow, then those thought down.
 *
 * @param rotation Any whole number of at least 0; usually random.
 */
export function readOrder(
  homes: readonly RingMember[],
  options: { readonly self: MemberId; readonly isUp: WhoIsUp; readonly rotation: number; readonly pace: Pace },
): RingMember[] {
  const { self, isUp, rotation, pace } = options;
  const order: RingMember[] = [];
  const down: RingMember[] = [];
  let slow: RingMember[] | undefined;
  for (let i = 0; i < homes.length; i++) {
    const member = homes[(i + rotation) % homes.length];
    if (member === undefined) continue;
    if (pace.isAvoided(member.name, rotation) && isUp(member.name)) {
      slow ??= [];
      slow.push(member);
    } else if (member.name === self) order.unshift(member);
    else if (isUp(member.name)) order.push(member);
    else down.push(member);
  }
  if (slow !== undefined) for (const member of slow) order.push(member);
  for (const member of down) order.push(member);
  return order;
}

/**
 * Who stands in for the home replicas of one request, each member at most once: a second copy on one disk would be
 * lost with the first.
 *
 * A missing home's own zone comes first, so that the copies stay spread as they were; another zone only where its own
 * has none left.
 */
export class StandIns {
  readonly #free: RingMember[];

  /** @param walk The members that may stand in, in the order of the walk: `Ring.standIns`. */
  constructor(walk: readonly RingMember[], isUp: WhoIsUp) {
    this.#free = walk.filter((member) => isUp(member.name));
  }

  /** Members that are up and not taken yet. */
  get free(): readonly RingMember[] {
    return this.#free;
  }

  /**
   * The member that stands in for a home in `zone`; undefined when nobody is left.
   *
   * @param awaited Zones of other homes that want a stand-in, one for each: as many members are left to those.
   */
  take(zone: string, awaited: readonly string[] = []): RingMember | undefined {
    let at = this.#free.findIndex((member) => member.zone === zone);
    if (at < 0) at = this.#free.findIndex((member) => this.#isSpare(member.zone, awaited));
    return at < 0 ? undefined : this.#free.splice(at, 1)[0];
  }

  #isSpare(zone: string, awaited: readonly string[]): boolean {
    if (awaited.length === 0) return true;
    const free = this.#free.filter((member) => member.zone === zone).length;
    return free > awaited.filter((wanted) => wanted === zone).length;
  }

  /** Takes a member out of the choice; does nothing when it is not in it. */
  exclude(member: RingMember): void {
    const at = this.#free.indexOf(member);
    if (at >= 0) this.#free.splice(at, 1);
  }
}

/**
 * The stand-ins that a read asks: those whom a write would have chosen for the homes that are not up, then the walk's
 * next ones for homes that are up and silent; as many as there are homes, for a write needs no more.
 */
export function standInsForRead(
  homes: readonly RingMember[],
  walk: readonly RingMember[],
  isUp: WhoIsUp,
): readonly RingMember[] {
  const standIns = new StandIns(walk, isUp);
  const chosen: RingMember[] = [];
  for (const up of [false, true]) {
    for (const home of homes) {
      if (isUp(home.name) !== up) continue;
      const member = standIns.take(home.zone);
      if (member !== undefined) chosen.push(member);
    }
  }
  return chosen;
}
