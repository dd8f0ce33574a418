/**
 * Figures of the process itself, by OpenTelemetry's semantic conventions for processes, Node.js and V8: memory,
 * processor time, garbage collection, how late the event loop is.
 */
import { constants, monitorEventLoopDelay, PerformanceObserver, performance } from "node:perf_hooks";
import { getHeapSpaceStatistics } from "node:v8";
import type { Figures } from "./figures.ts";

/** How often the event loop's lateness is sampled. */
const SAMPLE_INTERVAL_MS = 20;
/** How long a sampled window is, so that a figure shows the recent past and not the whole life of the process. */
const WINDOW_MS = 10_000;

/** What an entry of type `gc` has, and the types of Node.js do not say. */
type CollectionDetail = { readonly kind: number };

/** Names of the figure of each kind of collection. */
const COLLECTIONS: ReadonlyMap<number, string> = new Map([
  [constants.NODE_PERFORMANCE_GC_MAJOR, "v8js.gc.duration{v8js.gc.type=major}"],
  [constants.NODE_PERFORMANCE_GC_MINOR, "v8js.gc.duration{v8js.gc.type=minor}"],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, "v8js.gc.duration{v8js.gc.type=incremental}"],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, "v8js.gc.duration{v8js.gc.type=weakcb}"],
]);

/**
 * Registers the figures of this process.
 *
 * @returns Ends the sampling.
 */
export function registerProcessFigures(figures: Figures): () => void {
  const stopEventLoop = registerEventLoop(figures);
  figures.gauge("process.memory.usage", () => process.memoryUsage.rss());
  figures.gauge("v8js.memory.external", () => process.memoryUsage().external);
  figures.gauge(
    "v8js.memory.heap.used",
    () => new Map(getHeapSpaceStatistics().map((space) => [space.space_name, space.space_used_size])),
  );
  figures.total("process.cpu.time{cpu.mode=user}", () => process.cpuUsage().user / 1e6);
  figures.total("process.cpu.time{cpu.mode=system}", () => process.cpuUsage().system / 1e6);
  figures.gauge("process.uptime", () => process.uptime());
  const collections = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const name = "detail" in entry ? COLLECTIONS.get((entry.detail as CollectionDetail).kind) : undefined;
      if (name !== undefined) figures.observe(name, entry.duration);
    }
  });
  collections.observe({ entryTypes: ["gc"] });
  return () => {
    stopEventLoop();
    collections.disconnect();
  };
}

function registerEventLoop(figures: Figures): () => void {
  const lateness = monitorEventLoopDelay({ resolution: SAMPLE_INTERVAL_MS });
  lateness.enable();
  let windowStartMs = performance.now();
  let p99Ms = 0;
  let maxMs = 0;
  /** Takes the finished window's figures over when it is older than its length; the samples include the interval itself. */
  const refresh = () => {
    const nowMs = performance.now();
    if (nowMs - windowStartMs < WINDOW_MS || lateness.count === 0) return;
    p99Ms = Math.max(0, lateness.percentile(99) / 1e6 - SAMPLE_INTERVAL_MS);
    maxMs = Math.max(0, lateness.max / 1e6 - SAMPLE_INTERVAL_MS);
    lateness.reset();
    windowStartMs = nowMs;
  };
  figures.gauge("nodejs.eventloop.delay.p99", () => {
    refresh();
    return p99Ms;
  });
  figures.gauge("nodejs.eventloop.delay.max", () => {
    refresh();
    return maxMs;
  });
  let before = performance.eventLoopUtilization();
  figures.gauge("nodejs.eventloop.utilization", () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  });
  return () => lateness.disable();
}
