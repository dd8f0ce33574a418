/**
 * What the console is sent, once an interval: one event of `GET /v1/events`, made from what the node knows anyway. Pure.
 *
 * Small on purpose: a viewer costs a few kilobytes a second. The ring itself is not in it; the page reads `/v1/ring` when
 * `ringEpoch` or the phase of the change has moved on.
 */
import { type Diagnosis, diagnose } from "./diagnose.ts";
import { type Load, loadBetween } from "./load.ts";
import type { SeenCluster, SeenRing } from "./look.ts";
import { type Sample, sumOf } from "./metrics-text.ts";

/** A member as the node sees it, with what the node measured of it. */
export type ConsoleMember = SeenCluster["members"][number] & {
  readonly address: string;
  /** Median of how long it takes to answer reads of this node, in ms; undefined until it was asked. */
  readonly latencyMs: number | undefined;
};

/** What `/v1/cluster` says of repair, without the list of partitions. */
export type ConsoleRepair = {
  readonly running: boolean;
  readonly rounds: number;
  readonly owned: number;
  readonly built: number;
  /** RFC 3339; the earliest time at which a partition was found equal on all homes, once each was. */
  readonly oldest?: string | undefined;
};

/** One event. Times are RFC 3339. */
export type ConsoleLook = {
  readonly at: string;
  /** How often a look comes, in ms. */
  readonly intervalMs: number;
  readonly cluster: Omit<SeenCluster, "members"> & {
    readonly members: readonly ConsoleMember[];
    readonly repair: ConsoleRepair;
  };
  /** Why the node does not serve clients; undefined: it does. */
  readonly notReady?: string | undefined;
  /** What the node did for its clients since the look before; undefined in the first. */
  readonly load?: Load | undefined;
  /** Room on the node's disk, in bytes. */
  readonly freeBytes?: number | undefined;
  readonly usedBytes?: number | undefined;
  /** What is wrong, as `annulus doctor` would say of this node alone, the worst first. */
  readonly findings: readonly Diagnosis[];
};

/** What a node knows of itself at one moment. */
export type Known = {
  readonly atMs: number;
  /** By a clock that never goes back, in ms. */
  readonly monotonicMs: number;
  readonly cluster: Omit<ConsoleLook["cluster"], "members"> & {
    readonly members: readonly Omit<ConsoleMember, "latencyMs">[];
  };
  readonly metrics: readonly Sample[];
  readonly notReady: string | undefined;
  readonly ring: SeenRing | undefined;
};

const LATENCY = "annulus_replica_latency_seconds";
const MS_PER_SECOND = 1_000;

/**
 * The event for what is known now.
 *
 * @param before What was known one look earlier.
 * @param options `at`: `now.atMs` as RFC 3339.
 */
export function consoleLook(
  before: Known | undefined,
  now: Known,
  options: { readonly at: string; readonly intervalMs: number },
): ConsoleLook {
  const { cluster, metrics, notReady, ring, atMs } = now;
  const seconds = before === undefined ? 0 : (now.monotonicMs - before.monotonicMs) / MS_PER_SECOND;
  const view = { url: "", cluster, metrics, notReady, aheadMs: undefined };
  const latencies = new Map(
    metrics.flatMap(({ name, labels, value }) => (name === LATENCY ? [[labels.member ?? "", value] as const] : [])),
  );
  return {
    ...options,
    cluster: {
      ...cluster,
      members: cluster.members.map((member) => {
        const latency = latencies.get(member.name);
        return { ...member, latencyMs: latency === undefined ? undefined : latency * MS_PER_SECOND };
      }),
    },
    notReady,
    load: before === undefined || seconds <= 0 ? undefined : loadBetween(before.metrics, metrics, seconds),
    freeBytes: sumOf(metrics, "annulus_store_free_bytes"),
    usedBytes: sumOf(metrics, "annulus_store_table_bytes"),
    findings: diagnose({ atMs, views: [view], silent: [], ring }),
  };
}
