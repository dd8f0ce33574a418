/**
 * Drives what the ring document has begun to its end: asks the members how far they are, and proposes the next document
 * as soon as the facts allow it (core/ring/transition.ts).
 *
 * Any member may; the first of the voters that this node believes to be up does, the others stand by, and two who both
 * believe so do no harm: the members choose one document. One that is up may be unable to all the same (its disk takes no
 * writes, so that it hears of no ring): the next one takes over when a document has stood for long. So does each whose
 * directory it does not list: where no ring can be chosen any more that would, it learns that by asking for one. It also
 * lists data directories: of the first members, which ring 1 does not name, and of members whose disk was lost.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId, RingDocument } from "../core/ring/document.ts";
import { enrolledDocument, nextDocument, votersOf } from "../core/ring/transition.ts";
import type { ProgressReply } from "../messages.ts";
import type { Random, Telemetry, Time, Timer } from "../ports.ts";
import type { Agreement } from "./agreement.ts";
import type { Identity } from "./identity.ts";
import { isListed } from "./listing.ts";
import type { Progress } from "./progress.ts";
import type { RingKeeper } from "./ring-keeper.ts";

export type Driver = {
  start(): void;
  /** Looks at once whether something can be done. */
  hurry(): void;
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>;
};

/** Between two looks while something is to be done, and while nothing is. */
const BUSY_MS = 500;
const IDLE_MS = 3_000;
/**
 * How long a document may stand before the next voter drives it as well, and as long again before the one after that; one whose directory
 * it does not list waits no longer than the first of these.
 */
const STAND_BY_MS = 15_000;
/** How long the driver waits for the directories of first members that do not answer, before it lists those it knows. */
const ENROL_PATIENCE_MS = 10_000;

/** @param parts `agreement` has the members choose what is proposed. */
export function createDriver(parts: {
  readonly self: MemberId;
  readonly identity: Pick<Identity, "actor" | "isSuccessor">;
  readonly rings: RingKeeper;
  readonly agreement: Agreement;
  readonly progress: Progress;
  readonly isUp: (member: MemberId) => boolean;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
}): Driver {
  const { self, identity, rings, agreement, progress, isUp, time, random, telemetry } = parts;
  let timer: Timer | undefined;
  let running: Promise<void> | undefined;
  let stopped = true;
  let startedMs = 0;
  /** The newest epoch, and when this node saw it first. */
  let standing = { epoch: 0, sinceMs: 0 };

  function isDriver(document: RingDocument): boolean {
    const voters = votersOf(document).filter(({ name }) => name === self || isUp(name));
    const place = voters.findIndex(({ name }) => name === self);
    const turn = isListed(voters[place], identity) ? place : Math.min(place, 1);
    return turn >= 0 && time.monotonicMs() - standing.sinceMs >= turn * STAND_BY_MS;
  }

  /** What there is to look after; a document that has come to rest is asked about seldom. */
  function isBusy({ transition, members }: RingDocument): boolean {
    return transition !== undefined || members.some(({ state, actor }) => state === "leaving" || actor === undefined);
  }

  function enrolled(document: RingDocument, facts: ReadonlyMap<MemberId, ProgressReply>): RingDocument | undefined {
    // One that lags may be a directory whose successor is listed by now: it would be listed again, lacking what came since.
    const present = [...facts].filter(([, { epoch }]) => epoch >= document.epoch);
    const actors = new Map(present.map(([name, { actor }]) => [name, actor]));
    const isPatient = time.monotonicMs() - startedMs < ENROL_PATIENCE_MS;
    const unknown = document.members.filter(({ name, actor }) => actor === undefined && !actors.has(name));
    if (unknown.length > 0 && isPatient) return undefined;
    return enrolledDocument(document, actors);
  }

  async function look(): Promise<boolean> {
    const document = rings.current()?.document;
    if (document === undefined) return false;
    if (document.epoch !== standing.epoch) standing = { epoch: document.epoch, sinceMs: time.monotonicMs() };
    if (!isDriver(document)) return false;
    const facts = await progress.of(document);
    const next = nextDocument(document, (name) => facts.get(name)) ?? enrolled(document, facts);
    if (next === undefined) return isBusy(document);
    await agreement.propose(next);
    return true;
  }

  async function round(): Promise<void> {
    let isMore = false;
    try {
      isMore = await look();
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "driver.waiting", { reason: error.message });
      isMore = true;
    }
    later(isMore ? BUSY_MS : IDLE_MS);
  }

  function later(delayMs: number): void {
    if (stopped) return;
    timer = time.after(delayMs * (0.75 + random.uint32() / 2 ** 33), run);
  }

  function run(): void {
    running = round();
  }

  return {
    start() {
      stopped = false;
      startedMs = time.monotonicMs();
      later(BUSY_MS);
    },
    hurry() {
      timer?.cancel();
      later(0);
    },
    async stop() {
      stopped = true;
      timer?.cancel();
      await running;
    },
  };
}
