/** What a node did for its clients between two looks at its metrics: operations a second, and how long they took. Pure. */
import { bucketsOf, quantile, type Sample, sumOf } from "./metrics-text.ts";

/** The load of one node over one interval. */
export type Load = {
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  /** Median and 99th percentile of all requests, in ms; undefined when there were none. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
};

const REQUESTS = "http_server_request_duration_seconds";
const MS_PER_SECOND = 1_000;

/**
 * The load between two pages of metrics of one node.
 *
 * @param seconds Between the two, over 0.
 */
export function loadBetween(before: readonly Sample[], now: readonly Sample[], seconds: number): Load {
  const isRead = (labels: Sample["labels"]) => /^(GET|HEAD)$/.test(labels.http_request_method ?? "");
  const isWrite = (labels: Sample["labels"]) => /^(PUT|DELETE)$/.test(labels.http_request_method ?? "");
  const rate = (fits: (labels: Sample["labels"]) => boolean) => {
    const counted = (samples: readonly Sample[]) => sumOf(samples, `${REQUESTS}_count`, fits) ?? 0;
    // A node that was started again counts from nothing.
    return Math.max(0, counted(now) - counted(before)) / seconds;
  };
  const buckets = (samples: readonly Sample[]) =>
    bucketsOf(samples, REQUESTS, (labels) => isRead(labels) || isWrite(labels));
  const at = (share: number) => {
    const found = quantile(buckets(before), buckets(now), share);
    return found === undefined ? undefined : found * MS_PER_SECOND;
  };
  return { readsPerSecond: rate(isRead), writesPerSecond: rate(isWrite), p50Ms: at(0.5), p99Ms: at(0.99) };
}
