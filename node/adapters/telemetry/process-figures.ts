/** Figures of the process itself: memory, processor time, how late the event loop is. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Figures } from "./figures.ts";

/** How often the event loop's lateness is sampled. */
const SAMPLE_INTERVAL_MS = 20;
/** How long a sampled window is, so that a figure shows the recent past and not the whole life of the process. */
const WINDOW_MS = 10_000;

/**
 * Registers the figures of this process.
 *
 * @returns Ends the sampling.
 */
export function registerProcessFigures(figures: Figures): () => void {
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
  figures.gauge("annulus.process.event_loop_delay_p99_ms", () => {
    refresh();
    return p99Ms;
  });
  figures.gauge("annulus.process.event_loop_delay_max_ms", () => {
    refresh();
    return maxMs;
  });
  figures.gauge("annulus.process.resident_bytes", () => process.memoryUsage.rss());
  figures.gauge("annulus.process.heap_used_bytes", () => process.memoryUsage().heapUsed);
  figures.gauge("annulus.process.external_bytes", () => process.memoryUsage().external);
  figures.total("annulus.process.cpu_seconds", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  figures.gauge("annulus.process.uptime_seconds", () => process.uptime());
  return () => lateness.disable();
}
