/**
 * Settles doubts (doubts.ts): merges here what other homes hold of a key whose record was damaged.
 *
 * It is enough to have heard N − W + 1 homes that lack nothing themselves: every write that W homes acknowledged is among
 * what they hold, for at most one of its W copies was the damaged one; once the writes have ended that were under way when it was
 * found, for one may count the damaged copy beside another that a disk has yet to take. Where homes lack something too, nothing more can
 * be learnt than what all of them hold: two that wait for each other would wait for ever.
 *
 * Where none of them had a record (it was deleted and forgotten, or had come to nobody else) what is damaged here stays set
 * aside for a person to look at, and is removed from its place once all of them were heard: nobody would ever send anything to
 * put there.
 * Source: the overlap of quorums, Gifford 1979, "Weighted voting for replicated data", §2.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { Telemetry, Time } from "../ports.ts";
import type { Doubt, Doubts } from "./doubts.ts";
import type { GroupCommit } from "./group-commit.ts";
import type { Replica } from "./replica.ts";
import type { Replicas } from "./replicas.ts";
import { createRounds } from "./rounds.ts";

export type DoubtCure = {
  start(): void;
  /** Resolves when nothing of it is under way any more. */
  stop(): Promise<void>;
};

/** Between two rounds; one without doubts has nothing to do. */
const ROUND_MS = 500;

/**
 * @param options `timeoutMs`: of each request; no client waits for it. `requestTimeoutMs`: how long a client's write takes at most,
 *   unless it says otherwise.
 */
export function createDoubtCure(
  parts: {
    readonly doubts: Doubts;
    readonly ring: () => Ring | undefined;
    readonly isUp: (member: MemberId) => boolean;
    readonly replica: Pick<Replica, "drop">;
    readonly replicas: Replicas;
    readonly commit: Pick<GroupCommit, "write">;
    readonly time: Time;
    readonly telemetry: Telemetry;
  },
  { timeoutMs, requestTimeoutMs }: { readonly timeoutMs: number; readonly requestTimeoutMs: number },
): DoubtCure {
  const { doubts, replicas, commit, time, telemetry } = parts;
  /** When each was met first. */
  const sinceMs = new WeakMap<Doubt, number>();
  const failed = () => telemetry.count("annulus.store.doubt_failures");

  /** A home's record, and whether the home lacks nothing; undefined when nothing was learnt. */
  async function askHome(home: MemberId, { partition, key }: Doubt, epoch: number) {
    const request = { kind: "read", epoch, key } as const;
    try {
      return { record: await replicas.read(home, partition, request, timeoutMs), isSure: true };
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      if (error.code !== "NOT_READY") return undefined;
    }
    try {
      const record = await replicas.read(home, partition, { ...request, forRepair: true }, timeoutMs);
      return { record, isSure: false };
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      return undefined;
    }
  }

  async function learn(home: MemberId, doubt: Doubt, epoch: number): Promise<void> {
    const { partition, key } = doubt;
    const answer = await askHome(home, doubt, epoch);
    if (answer === undefined) return;
    const { record, isSure } = answer;
    if (record !== undefined)
      await replicas.merge(replicas.self, partition, { kind: "merge", epoch, key, record }, timeoutMs);
    doubt.heard.add(home);
    if (isSure) doubt.sure.add(home);
  }

  /** Whether damaged bytes are left on their place: until all other homes were heard, one of them may have what was there. */
  async function isLeft({ partition, key, heard }: Doubt, others: readonly MemberId[]): Promise<boolean> {
    const mayGo = others.every((name) => heard.has(name));
    let isDamaged = false;
    await parts.replica.drop(partition, key, (held) => {
      isDamaged = held === undefined;
      return isDamaged && mayGo;
    });
    return isDamaged && !mayGo;
  }

  /** Whether every write has ended that may have counted the damaged copy, and whose other copies homes have yet to store. */
  function isCalm(doubt: Doubt): boolean {
    const nowMs = time.monotonicMs();
    const metMs = sinceMs.get(doubt) ?? nowMs;
    sinceMs.set(doubt, metMs);
    return nowMs - metMs >= requestTimeoutMs;
  }

  async function cure(doubt: Doubt, ring: Ring): Promise<void> {
    if (!isCalm(doubt)) return;
    const others = othersOf(ring, doubt.partition, replicas.self);
    for (const home of others ?? []) {
      if (rounds.isStopped()) return;
      if (!doubt.sure.has(home) && parts.isUp(home)) await learn(home, doubt, ring.document.epoch);
    }
    if (others !== undefined) {
      if (!isSettled(ring, others, doubt) || (await isLeft(doubt, others))) return;
    }
    await doubts.settle(doubt, (mark) => commit.write(mark));
    telemetry.count("annulus.store.doubts_settled");
    telemetry.log("info", "record.doubt_settled", { partition: doubt.partition });
  }

  async function round(): Promise<void> {
    const ring = parts.ring();
    if (ring === undefined) return;
    for (const doubt of doubts.all()) {
      if (rounds.isStopped()) return;
      try {
        await cure(doubt, ring);
      } catch (error) {
        // It comes round again.
        if (!(error instanceof KvError)) throw error;
        failed();
      }
    }
  }

  const rounds = createRounds({ time, failed }, round, ROUND_MS);
  return { start: rounds.start, stop: rounds.stop };
}

/**
 * The other homes that a read of the partition may ask; undefined when this node is none of them any more. One whose disk
 * was declared destroyed never answers, and what it held is given up: waiting for it, this home would never be sure again,
 * and a change that needs a sure home would hold up the very replacement.
 */
function othersOf(ring: Ring, partition: number, self: MemberId): readonly MemberId[] | undefined {
  const homes = ring.isPresentHome(self, partition) ? ring.presentHomes(partition) : ring.homes(partition);
  if (!homes.some(({ name }) => name === self)) return undefined;
  return homes.filter(({ name, isDestroyed }) => name !== self && isDestroyed !== true).map(({ name }) => name);
}

function isSettled({ document }: Ring, others: readonly MemberId[], doubt: Doubt): boolean {
  const needed = Math.min(document.replicationFactor - document.writeQuorum + 1, others.length);
  const sure = others.filter((name) => doubt.sure.has(name)).length;
  return sure >= needed || others.every((name) => doubt.heard.has(name));
}
