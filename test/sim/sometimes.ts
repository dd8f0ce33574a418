/**
 * What has to happen at least once over a set of seeds: each kind of fault, and each rare path that a fault should lead to.
 * A run that never met it shows nothing about it, and says so.
 */
import { CHANGES } from "./churn.ts";
import { FAULT_KINDS } from "./faults.ts";
import { UPHEAVALS } from "./kube/upheaval.ts";

/** Names as `Summary` counts them, and what they mean. */
const PATHS: Readonly<Record<string, string>> = {
  "client: unknown": "a client that does not know what became of its request",
  "client: refused": "a request refused with nothing done",
  "client: retried": "a write that was tried again",
  "client: siblings": "a read that showed several values, or a value beside a deletion",
  "asked: mode": "a request of another mode than the ring's",
  "asked: onlyIfAbsent": "a key created where there was none",
  "asked: readQuorum": "a read of a quorum of its own",
  "asked: refused creation": "a key not created, because it was there",
  "asked: ttlS": "a value of a limited life",
  "asked: writeQuorum": "a write of a quorum of its own",
  "asked: zones": "a request that asked for several zones",
  "check: a write that a read did not show, and had to answer for":
    "a strict read that had to show what replaced a write",
  "check: the end held to a write": "a write that had to be there at the end, or what replaced it",
  "check: a write on all its disks": "an acknowledged write that lay where it was acknowledged",
  "check: a write that a filled disk holds": "a write on a disk that was lost, and filled again",
  "check: a value that may never come back": "a value that every home knew to be gone",
  "fault: lost": "a frame lost",
  "fault: duplicated": "a frame doubled",
  "fault: reordered": "a frame that others overtook",
  "fault: held": "a frame held back by a cut",
  "fault: reset": "a connection reset by a process that died",
  "fault: broken": "a connection reset between two processes that both live",
  "fault: appliedAtCrash": "a batch that was being written at a crash, and was there afterwards",
  "fault: droppedAtCrash": "a batch that was being written at a crash, and was not there afterwards",
  "fault: untoldAtCrash": "a batch that was on the disk at a crash, and whose process had not heard of it",
  "fault: batchesLost": "a batch lost with the machine's power",
  "fault: batchesLostWhileDown":
    "a batch that a process had left unsynced, lost with the power before the next one started",
  "fault: writeErrors": "a write that failed",
  "fault: failedWritesSurfaced": "a failed write that was there when the store was opened again",
  "fault: readErrors": "a read of a disk that failed",
  "fault: fullDiskRefusals": "a write refused by a full disk",
  "fault: bitsFlipped": "a bit flipped on a disk",
  "fault: hangs": "a disk that answered nothing for a while",
  "fault: wipes": "a disk exchanged",
  "simulated.lost_answers": "an answer that its client never heard",
  "simulated.acknowledged_again": "a write acknowledged again under its name",
  "annulus.context.over_limit": "a version vector past its mark",
  "annulus.hints.dropped": "a surplus hint that nobody kept",
  "annulus.hints.refused_uncounted": "a hint refused because the disk took no writes",
  "annulus.rebuild.completed": "a member whose disk was lost, and that was filled again",
  "annulus.store.doubts_settled": "a key answered for again after its record was damaged",
  "annulus.write.hints_short": "a write that fell short for want of hints",
  "annulus.hints.delivered": "a hint delivered",
  "annulus.hints.expired": "a surplus hint given up for its age",
  "annulus.hints.failed": "a hint whose delivery failed",
  "annulus.hints.refused": "a hint that the budget refused",
  "annulus.hints.stamped": "a write stamped by a stand-in",
  "annulus.hints.stored": "a hint stored",
  "annulus.identity.incarnations": "a new incarnation",
  "annulus.members.became.down": "a member found down",
  "annulus.members.became.suspect": "a member suspected",
  "annulus.read.hedges": "a read hedged",
  "annulus.read.hedges_won": "a read that a hedge made quicker",
  "annulus.read.hinted": "a read answered from a hint",
  "annulus.read.repairs": "a read repair",
  "annulus.read.write_backs": "a strict read that wrote back before it answered",
  "annulus.repair.records_pulled": "a record pulled by anti-entropy",
  "annulus.repair.records_pushed": "a record pushed by anti-entropy",
  "annulus.store.corrupt_records": "a damaged record found",
  "annulus.tombstones.collected": "a tombstone collected",
  "annulus.tombstones.horizons_raised": "a collection horizon raised",
  "annulus.transport.expired_requests": "a request that came too late",
  "annulus.transport.late_replies": "a reply that came too late",
  "annulus.trees.builds": "a Merkle tree built",
  "annulus.write.hinted": "a write acknowledged on a hint",
  "annulus.write.replicas_missed": "a replica that missed a write",
  "annulus.write.stamp_retries": "a write that another home had to stamp",
};

/** Of these, what is not looked for where homes change. */
const NOT_WITH_CHANGES: ReadonlySet<string> = new Set([
  "check: a value that may never come back",
  "check: a write that a filled disk holds",
]);

/** Of these, what the bounds of runs with operators rule out (`kube/create-world.ts`). */
const NOT_WITH_OPERATORS: ReadonlySet<string> = new Set([
  "annulus.hints.refused",
  "annulus.tombstones.collected",
  "annulus.tombstones.horizons_raised",
]);

/** What runs with operators have to meet besides. */
const OPERATOR_PATHS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(UPHEAVALS.map((kind) => [`fault: kube: ${kind}`, "an upheaval"])),
  "fault: kube: access": "tokens asked for, or no more",
  "fault: kube: token taken away": "the administrator's token taken away",
  "fault: kube: quorums": "R and W edited",
  "fault: kube: quorums and mode": "the mode edited",
  "fault: kube: ring change done": "a ring change brought to its end",
  "annulus.operator.actions.askchange": "a ring change asked for",
  "annulus.operator.actions.cancelchange": "a ring change taken back",
  "annulus.operator.actions.remove": "something that an operator took away",
  "annulus.operator.runs_failed": "an operator's run that failed",
};

/** What runs have to meet besides in which administrators change the ring. */
const CHURN_PATHS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    [...CHANGES, "quorums"].map((kind) => [`fault: change: ${kind}`, "a change that was asked for, and begun"]),
  ),
  "fault: change: cancelled": "a change taken back",
  "fault: change: done": "a change brought to its end",
  "fault: change: member lost for good": "a member lost for good",
  "fault: change: refused": "a change refused",
  "annulus.agreement.chosen": "a ring chosen",
  "annulus.leftovers.dropped": "a partition given up",
  "annulus.leftovers.offered": "a partition offered before it was given up",
  "annulus.transfer.bytes": "records copied to a home to be",
  "annulus.transfer.failures": "a home that could not be copied from",
};

/**
 * What of it is missing in these totals, in words.
 *
 * @param kind Whether the ring changed in the runs, or they had operators.
 */
export function neverMet(
  totals: ReadonlyMap<string, number>,
  { churn = false, operator = false }: { readonly churn?: boolean; readonly operator?: boolean } = {},
): readonly string[] {
  const kinds = FAULT_KINDS.filter((kind) => (totals.get(`fault: ${kind}`) ?? 0) === 0);
  const expected = { ...PATHS, ...(operator ? OPERATOR_PATHS : {}), ...(churn ? CHURN_PATHS : {}) };
  const isRuledOut = (name: string) =>
    (operator && NOT_WITH_OPERATORS.has(name)) || ((operator || churn) && NOT_WITH_CHANGES.has(name));
  const paths = Object.entries(expected).filter(([name]) => (totals.get(name) ?? 0) === 0 && !isRuledOut(name));
  return [...kinds.map((kind) => `fault: ${kind}`), ...paths.map(([name, meaning]) => `${name}: ${meaning}`)];
}
