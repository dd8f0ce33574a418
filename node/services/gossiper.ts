/**
 * Tells a few members, every interval, what this node knows of everybody's liveness, and hears the same of them.
 *
 *     every interval: was I held up? ── judge all ── gossip ──> a few members ──gossiped──> hear
 *
 * An exchange goes both ways, and carries a bounded number of entries, those that changed lately, so that what a member
 * sends in a second does not grow with the cluster. A node that wakes up late forgives the others the time in which it
 * could hear nobody. Whoever stops says so, and is not waited for. Only liveness travels here: who the members are is
 * the ring document's affair. Source: van Renesse et al. 1998; DeCandia et al. 2007, §4.8.
 */
import { KvError } from "../core/errors.ts";
import type { MemberNews } from "../core/membership/news.ts";
import { type Health, MembershipView } from "../core/membership/view.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Random, Telemetry, Time, Timer, Transport } from "../ports.ts";

export type Membership = {
  /** Whether a request to the member is worth sending first. Constant time; asked several times a request. */
  isUp(name: MemberId): boolean;
  health(name: MemberId): Health;
  /** How worrying its silence is, as of the last interval. */
  phi(name: MemberId): number;
};

export type Gossiper = Membership & {
  /** Takes the members of the ring that has come into force. */
  setMembers(names: readonly MemberId[]): void;
  start(): void;
  /** Answers the gossip of a peer. */
  exchange(news: readonly MemberNews[]): MemberNews[];
  /** Tells every member that is linked that this node stops; resolves when they know, or after an interval. */
  leave(): Promise<void>;
};

export type GossiperOptions = {
  readonly member: MemberId;
  readonly intervalMs: number;
  readonly phiThreshold: number;
};

/** Members that are told each interval. */
const FANOUT = 3;
/** Entries of one message. More: changes spread in fewer intervals, and each message is larger. */
const ENTRIES_MAX = 12;
/** Changes are told for this many intervals. */
const TOLD_INTERVALS = 3;
/** An ordinary pause of a process, in intervals, and the least deviation of heartbeats that is assumed. */
const PAUSE_INTERVALS = 4;
const DEVIATION_INTERVALS = 0.5;
/** A tick that is later than this many intervals shows that this process was held up. */
const LATE_INTERVALS = 0.5;

/** @param parts `transport` carries the gossip; a link that does not stand speaks against a member. */
export function createGossiper(
  parts: {
    readonly transport: Transport;
    readonly time: Time;
    readonly random: Random;
    readonly telemetry: Telemetry;
    /** Of this node's ring; 0 before there is one. */
    readonly epoch: () => number;
    /** Is told what epoch a member goes by. */
    readonly heardEpoch: (member: MemberId, epoch: number) => void;
  },
  { member, intervalMs, phiThreshold }: GossiperOptions,
): Gossiper {
  const { transport, time, random, telemetry } = parts;
  const view = new MembershipView(member, time.wallMs(), {
    phiThreshold,
    intervalMs,
    pauseMs: PAUSE_INTERVALS * intervalMs,
    deviationMsMin: DEVIATION_INTERVALS * intervalMs,
  });
  let others: readonly MemberId[] = [];
  let timer: Timer | undefined;
  let tickedMs = time.monotonicMs();
  let isLeaving = false;
  const draw = (bound: number) => random.uint32() % bound;
  const isAccused = (name: MemberId) => !transport.isLinked(name);
  telemetry.gauge("annulus.members.up", () => countOf("up"));
  telemetry.gauge("annulus.members.suspect", () => countOf("suspect"));
  telemetry.gauge("annulus.members.down", () => countOf("down"));
  telemetry.gauge("annulus.members.phi", () => new Map(others.map((name) => [name, view.phi(name)])));

  function countOf(health: Health): number {
    return others.reduce((count, name) => count + (view.health(name) === health ? 1 : 0), 0);
  }

  function hear(entries: readonly MemberNews[]): void {
    const nowMs = time.monotonicMs();
    for (const news of entries) {
      const before = view.health(news.name);
      if (view.hear(news, nowMs) && view.health(news.name) !== before) report(news.name);
    }
  }

  function report(name: MemberId): void {
    const health = view.health(name);
    telemetry.count(`annulus.members.became.${health}`);
    telemetry.log(health === "up" ? "info" : "warn", `member.${health}`, { name, phi: Math.round(view.phi(name)) });
  }

  function changes(known?: readonly MemberNews[]): MemberNews[] {
    return view.news(time.monotonicMs() - TOLD_INTERVALS * intervalMs, ENTRIES_MAX, draw, known);
  }

  async function tell(name: MemberId): Promise<void> {
    try {
      const reply = await transport.request(
        name,
        { kind: "gossip", news: changes(), epoch: parts.epoch() },
        intervalMs,
      );
      if (reply.kind !== "gossiped") return;
      hear(reply.news);
      parts.heardEpoch(name, reply.epoch);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      // Nothing is concluded from one exchange: silence is judged as a whole.
      telemetry.count("annulus.gossip.failed");
    }
  }

  /** A few members at random, those first that can be reached. */
  function companions(): MemberId[] {
    const linked = others.filter((name) => transport.isLinked(name));
    for (let index = 0; index < Math.min(FANOUT, linked.length); index++) {
      const other = index + draw(linked.length - index);
      [linked[index], linked[other]] = [linked[other] as MemberId, linked[index] as MemberId];
    }
    return linked.slice(0, FANOUT);
  }

  function tick(): void {
    const nowMs = time.monotonicMs();
    const lateMs = nowMs - tickedMs - intervalMs;
    tickedMs = nowMs;
    if (lateMs > LATE_INTERVALS * intervalMs) {
      view.forgive(lateMs, nowMs);
      telemetry.count("annulus.gossip.held_up");
    }
    for (const name of view.judge(nowMs, isAccused)) report(name);
    for (const name of companions()) void tell(name);
    later();
  }

  function later(): void {
    timer = time.after(intervalMs, () => {
      // After a turn: what came in while this process was held up is heard first.
      timer = time.after(0, tick);
    });
  }

  return {
    isUp: (name) => name === member || (view.isTrusted(name) && transport.isLinked(name)),
    health: (name) => view.health(name),
    phi: (name) => view.phi(name),
    setMembers(names) {
      others = names.filter((name) => name !== member);
      view.setMembers(names, time.monotonicMs());
    },
    start() {
      tickedMs = time.monotonicMs();
      later();
    },
    exchange(news) {
      hear(news);
      return isLeaving ? [view.own] : changes(news);
    },
    async leave() {
      isLeaving = true;
      timer?.cancel();
      view.leave();
      const news = [view.own];
      const told = others
        .filter((name) => transport.isLinked(name))
        .map((name) => transport.request(name, { kind: "gossip", news, epoch: parts.epoch() }, intervalMs));
      await Promise.allSettled(told);
    },
  };
}
