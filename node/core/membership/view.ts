/**
 * What this node believes of each member: from heartbeats that arrive by gossip to *up*, *suspect* and *down*.
 *
 *            phi over the threshold                two members suspect it (or all that are left)
 *      up ──────────────────────────> suspect ─────────────────────────────────────────────────> down
 *       ^────── a newer heartbeat ───────┴───────────────── a newer heartbeat ────────────────────┘
 *       └───────────────────── announced that it is leaving ─────────────────────────────────────^
 *
 * One member's suspicion may be its own fault; that of two is believed. Whoever is suspected here has no say in it, or of
 * two members that died together neither would ever be down. Takes the time as an argument, sends nothing.
 * Sources: van Renesse et al. 1998 (gossiped counters), Hayashibara et al. 2004 (phi), Das et al. 2002, "SWIM"
 * (suspicion before conviction, and a member that refutes what is said of it by a higher number).
 */
import type { MemberId } from "../ring/document.ts";
import { isNewer, type MemberNews } from "./news.ts";
import { PhiAccrual, type PhiOptions } from "./phi-accrual.ts";

export type Health = "up" | "suspect" | "down";

export type ViewOptions = PhiOptions & {
  /** Phi from which a silent member is suspected. */
  readonly phiThreshold: number;
};

/** Members whose suspicion makes a member down. */
const CONVICTING = 2;

type Seen = {
  news: MemberNews | undefined;
  detector: PhiAccrual;
  health: Health;
  /** When `news` last changed, by this node's clock; what changed lately is worth telling. */
  changedMs: number;
  phi: number;
};

/** The belief of one node. Its members are those of the ring; news of others is let pass. */
export class MembershipView {
  readonly #self: MemberId;
  readonly #options: ViewOptions;
  readonly #others = new Map<MemberId, Seen>();
  #own: MemberNews;

  /** @param generation Above that of every earlier run of this member, as far as it knows. */
  constructor(self: MemberId, generation: number, options: ViewOptions) {
    this.#self = self;
    this.#options = options;
    this.#own = { name: self, generation, heartbeat: 0, isLeaving: false, suspects: [] };
  }

  get own(): MemberNews {
    return this.#own;
  }

  /** Takes the members of a ring; those that are new to this node are suspect until they are heard of. */
  setMembers(names: readonly MemberId[], nowMs: number): void {
    const wanted = new Set(names);
    for (const name of this.#others.keys()) if (!wanted.has(name)) this.#others.delete(name);
    for (const name of names) {
      if (name === this.#self || this.#others.has(name)) continue;
      const detector = new PhiAccrual(this.#options, nowMs);
      this.#others.set(name, { news: undefined, detector, health: "suspect", changedMs: nowMs, phi: 0 });
    }
  }

  /** Constant time; a stranger is down. */
  health(name: MemberId): Health {
    if (name === this.#self) return "up";
    return this.#others.get(name)?.health ?? "down";
  }

  /** Whether nothing speaks against the member: it is up, or there was no time yet to hear of it. Constant time. */
  isTrusted(name: MemberId): boolean {
    if (name === this.#self) return true;
    const seen = this.#others.get(name);
    if (seen === undefined) return false;
    return seen.health === "up" || (seen.news === undefined && seen.phi < this.#options.phiThreshold);
  }

  /** As of the last `judge`; 0 for this node itself and for strangers. */
  phi(name: MemberId): number {
    return this.#others.get(name)?.phi ?? 0;
  }

  /**
   * Takes one entry of gossip.
   *
   * @returns Whether it was news.
   */
  hear(news: MemberNews, nowMs: number): boolean {
    if (news.name === this.#self) return this.#hearOfMyself(news);
    const seen = this.#others.get(news.name);
    if (seen === undefined || (seen.news !== undefined && !isNewer(news, seen.news))) return false;
    if (seen.news !== undefined && seen.news.generation !== news.generation) {
      // Another run of the process: the time between the two says nothing of its heartbeats.
      seen.detector = new PhiAccrual(this.#options, nowMs);
    } else {
      seen.detector.heard(nowMs);
    }
    seen.news = news;
    seen.changedMs = nowMs;
    seen.health = news.isLeaving ? "down" : "up";
    if (!news.isLeaving) seen.phi = 0;
    return true;
  }

  /** Somebody remembers a later run of this member than this one: its clock was set back, or its disk was exchanged. */
  #hearOfMyself(news: MemberNews): boolean {
    if (!isNewer(news, this.#own)) return false;
    this.#own = { ...this.#own, generation: news.generation + 1 };
    return true;
  }

  /** Time in which this process itself was held up, and could hear nobody. */
  forgive(lateMs: number, nowMs: number): void {
    for (const { detector } of this.#others.values()) detector.forgive(lateMs, nowMs);
  }

  /**
   * One interval of this node: its heartbeat grows, and everybody's silence is judged.
   *
   * @param isAccused Whether something else than silence speaks against a member: a connection that does not stand.
   * @returns Members whose health changed.
   */
  judge(nowMs: number, isAccused: (name: MemberId) => boolean): MemberId[] {
    const suspects: MemberId[] = [];
    for (const [name, seen] of this.#others) {
      seen.phi = seen.detector.phi(nowMs, isAccused(name));
      if (seen.phi >= this.#options.phiThreshold) suspects.push(name);
    }
    suspects.sort();
    this.#own = { ...this.#own, heartbeat: this.#own.heartbeat + 1, suspects };
    const changed: MemberId[] = [];
    for (const [name, seen] of this.#others) {
      const health = this.#judged(name, seen, suspects);
      if (health === seen.health) continue;
      seen.health = health;
      changed.push(name);
    }
    return changed;
  }

  #judged(name: MemberId, seen: Seen, suspects: readonly MemberId[]): Health {
    if (seen.news?.isLeaving === true) return "down";
    if (!suspects.includes(name)) return seen.news === undefined ? "suspect" : "up";
    if (seen.health === "down") return "down";
    let voters = 1;
    let votes = 1;
    for (const [other, { news: theirs, health }] of this.#others) {
      if (other === name || health === "down" || suspects.includes(other)) continue;
      voters += 1;
      if (theirs?.suspects.includes(name) === true) votes += 1;
    }
    return votes >= Math.min(CONVICTING, voters) ? "down" : "suspect";
  }

  /** This node stops: the last that it says of itself. */
  leave(): void {
    this.#own = { ...this.#own, heartbeat: this.#own.heartbeat + 1, isLeaving: true };
  }

  /**
   * What to tell another member: this node's own entry, then what the other has just told and is out of date, then what
   * changed since `sinceMs`; a random choice where that is more than `countMax`.
   *
   * @param known What the other has just told. What it knows as well or better need not be told back; what it knows worse is
   *   told however long ago it changed: a member whose clock was set back learns from it that it must call its run later.
   * @param draw A whole number, uniform over 0 .. `bound` − 1.
   */
  news(
    sinceMs: number,
    countMax: number,
    draw: (bound: number) => number,
    known: readonly MemberNews[] = [],
  ): MemberNews[] {
    const told = new Map(known.map((news) => [news.name, news]));
    const corrections: MemberNews[] = [];
    const fresh: MemberNews[] = [];
    for (const { news, changedMs } of this.#others.values()) {
      if (news === undefined) continue;
      const theirs = told.get(news.name);
      if (theirs !== undefined && isNewer(news, theirs)) corrections.push(news);
      else if (theirs === undefined && changedMs >= sinceMs) fresh.push(news);
    }
    for (let index = 0; index < Math.min(countMax - 1, fresh.length); index++) {
      const other = index + draw(fresh.length - index);
      [fresh[index], fresh[other]] = [fresh[other] as MemberNews, fresh[index] as MemberNews];
    }
    return [this.#own, ...corrections, ...fresh].slice(0, countMax);
  }
}
