/**
 * Looks for the cluster's ring on behalf of a node that has none on its disk: asks the other first members, or the
 * seeds where it is none of them, round after round until one knows a ring or the first ring may be made.
 *
 * What is asked is `ring` over short-lived links, for without a ring nobody is a peer yet. What the answers mean is
 * decided in `core/ring/founding.ts`.
 */
import { KvError } from "../core/errors.ts";
import type { RingDocument } from "../core/ring/document.ts";
import { judgeFounding, type Testimony } from "../core/ring/founding.ts";
import { parseRing } from "../core/ring/parse-document.ts";
import type { Telemetry, Time, Timer, Transport } from "../ports.ts";
import { asError } from "./as-error.ts";

export type FoundRing = {
  readonly document: RingDocument;
  /** For the log. */
  readonly origin: string;
  /** Somebody knew this member with another data directory, whose data this one lacks. */
  readonly isRebuilding: boolean;
};

export type RingSearch = {
  /** Asks until there is a ring, and gives it to `found`; goes on where that fails, for its disk will take it some time. */
  begin(found: (ring: FoundRing) => Promise<void>): void;
  /** Stops asking. */
  end(): void;
};

export type RingSearchOptions = {
  readonly member: string;
  /** What this node's settings make of the first ring; undefined when it is not among the first members. */
  readonly firstRing: RingDocument | undefined;
  /** `host:port` of peers to ask as well: a cluster that has grown may be known to others than its first members. */
  readonly seeds: readonly string[];
};

const ASK_TIMEOUT_MS = 1_000;
/** First and longest pause between two rounds: members that start together find each other soon. */
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 500;
/** How long a first member that is silent keeps the others from making the first ring without it. */
const FOUNDING_PATIENCE_MS = 10_000;

/** @param parts `hadRing`: whether this directory ever held a ring; `actor`: which one it is. */
export function createRingSearch(
  parts: {
    readonly transport: Transport;
    readonly time: Time;
    readonly telemetry: Telemetry;
    readonly hadRing: () => boolean;
    /** This node's data directory. */
    readonly actor: string;
  },
  { member, firstRing, seeds }: RingSearchOptions,
): RingSearch {
  const { transport, time, telemetry } = parts;
  const first = firstRing?.members.filter(({ name }) => name !== member).map(({ address }) => address) ?? [];
  const others = seeds.filter((address) => !first.includes(address));
  let timer: Timer | undefined;
  let isOver = false;
  /** Since when nothing but the silence of some keeps the first members from making a ring. */
  let patientSinceMs: number | undefined;

  /** Once somebody said so it is true, whoever is asked later. */
  let isRebuilding = false;

  async function ask(address: string): Promise<Testimony> {
    try {
      const reply = await transport.ask(address, { kind: "ring" }, ASK_TIMEOUT_MS);
      if (reply.kind !== "ring") return { kind: "silent" };
      isRebuilding ||= reply.knowsAnother;
      if (reply.document !== undefined) return { kind: "ring", document: parseRing(reply.document) };
      return { kind: reply.hadRing ? "lost" : "never" };
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "ring.not_told", { address, reason: error.message });
      return { kind: "silent" };
    }
  }

  async function round(count: number, found: (ring: FoundRing) => Promise<void>): Promise<void> {
    const asked = await Promise.all([...first, ...others].map(ask));
    if (isOver) return;
    const verdict = judge(asked.slice(0, first.length), asked.slice(first.length));
    const why = verdict.kind === "wait" ? verdict.why : (await asError(found(verdict.ring)))?.message;
    if (why === undefined || isOver) return;
    // Once at the beginning and then now and again: somebody should look at a cluster that waits for long.
    if (count % 20 === 5) telemetry.log("warn", "ring.waiting", { why });
    timer = time.after(Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(count, 10)), () => {
      void round(count + 1, found);
    });
  }

  /** A ring that lists another directory under this name says that this one took its place, whoever remembers it. */
  function found(document: RingDocument, origin: string): FoundRing {
    const listed = document.members.find(({ name, state }) => name === member && state !== "left")?.actor;
    return { document, origin, isRebuilding: isRebuilding || (listed !== undefined && listed !== parts.actor) };
  }

  function judge(
    testimonies: readonly Testimony[],
    ofSeeds: readonly Testimony[],
  ): { readonly kind: "found"; readonly ring: FoundRing } | { readonly kind: "wait"; readonly why: string } {
    for (const [index, testimony] of ofSeeds.entries()) {
      if (testimony.kind === "ring") return { kind: "found", ring: found(testimony.document, `seed ${others[index]}`) };
    }
    if (firstRing === undefined) return { kind: "wait", why: `none of ${others.length} seeds knows a ring` };
    const nowMs = time.monotonicMs();
    const isPatienceOver = patientSinceMs !== undefined && nowMs - patientSinceMs >= FOUNDING_PATIENCE_MS;
    const founding = judgeFounding(testimonies, { hadRing: parts.hadRing(), isPatienceOver });
    // Not from this node's own start: who waited alone for long is joined by those who start together later.
    patientSinceMs = founding.kind === "wait" && founding.isForSilent ? (patientSinceMs ?? nowMs) : undefined;
    switch (founding.kind) {
      case "adopt":
        return { kind: "found", ring: found(founding.document, "a first member") };
      case "found":
        return { kind: "found", ring: found(firstRing, "first members") };
      case "wait":
        return founding;
    }
  }

  return {
    begin: (found) => void round(0, found),
    end() {
      isOver = true;
      timer?.cancel();
    },
  };
}
