/** What a client is told of a write that was not sent, or that fell short. */
import { KvError, type Receipt } from "../core/errors.ts";
import type { WriteTally } from "../core/quorum/write-tally.ts";
import type { RingMember } from "../core/ring/document.ts";
import { type Choices, receiptOf } from "./options.ts";
import { shortfallText, unsentText } from "./shortfall.ts";
import type { WriteParts } from "./write.ts";

/**
 * Why a write that the detector already knows to fall short is refused before anything is sent; undefined when it may
 * reach its quorum in every write set.
 *
 * @param plan `walk`: who may stand in, nobody in strict mode.
 */
export function refuseUnsent(
  { isUp, durability }: WriteParts,
  plan: {
    readonly sets: readonly (readonly RingMember[])[];
    readonly walk: readonly RingMember[];
    readonly choices: Choices;
  },
): KvError | undefined {
  const { writeQuorum, zones: zonesRequired, mode } = plan.choices;
  for (const set of plan.sets) {
    const zones: string[] = [];
    let up = 0;
    const count = (member: RingMember, isZoneKept: boolean): void => {
      if (!isUp(member.name)) return;
      up += 1;
      if (isZoneKept && !zones.includes(member.zone)) zones.push(member.zone);
    };
    for (const home of set) count(home, true);
    if (up >= writeQuorum && zones.length >= zonesRequired) continue;
    for (const member of plan.walk) count(member, mayKeepZone(member, set));
    if (up >= writeQuorum && zones.length >= zonesRequired) continue;
    const who = mode === "sloppy" ? "home replicas and stand-ins" : "home replicas";
    const receipt = receiptOf({ acks: 0, asked: 0, zones: 0, hinted: 0 }, durability);
    return new KvError(
      "QUORUM_UNAVAILABLE",
      `Cannot write: ${unsentText({ acks: up, required: writeQuorum, zones: zones.length, zonesRequired }, who)}. Nothing was sent.`,
      { details: { required: writeQuorum, acknowledged: 0, retryAfterS: 1, receipt } },
    );
  }
  return undefined;
}

/** Whether a stand-in's copy may count for a zone: where a home of that zone is one that it may stand in for. */
function mayKeepZone(standIn: RingMember, homes: readonly RingMember[]): boolean {
  return homes.some(({ zone }) => zone === standIn.zone);
}

/** What is said of a write that did not reach its quorum. A full disk is named, for waiting will not help. */
export function shortfallOf(
  tally: WriteTally,
  why: {
    readonly code: "QUORUM_LOST" | "TIMED_OUT";
    readonly timeoutMs: number;
    readonly storageError: KvError | undefined;
    readonly receipt: Receipt;
  },
): KvError {
  const { acks, required } = tally.weakest;
  const { code, timeoutMs, storageError, receipt } = why;
  const full = storageError?.code === "STORAGE_FULL";
  const reason = code === "TIMED_OUT" ? `within ${timeoutMs} ms` : "and no further reply can come";
  const came = shortfallText(tally.weakest, "acknowledgements came");
  return new KvError(
    full ? "STORAGE_FULL" : code,
    `Cannot confirm the write: ${came} ${reason}.${full ? " A home replica has no disk space." : ""} Repeat it with the same context or Idempotency-Key.`,
    {
      outcome: tally.outcome,
      details: { required, acknowledged: acks, retryAfterS: 1, receipt },
      cause: storageError,
    },
  );
}
