/**
 * What each figure means and its unit, for the `HELP` and `UNIT` lines of the metrics page.
 *
 * A test finds every name that the sources use and demands an entry here.
 */

type About = { readonly description: string; readonly unit: string };

const CATALOGUE: Readonly<Record<string, About>> = {
  "annulus.process.cpu_seconds": { description: "Processor time used by the process.", unit: "s" },
  "annulus.process.event_loop_delay_max_ms": {
    description: "Longest time by which the event loop was late in the last window of 10 s.",
    unit: "ms",
  },
  "annulus.process.event_loop_delay_p99_ms": {
    description: "Time by which the event loop was late, 99th percentile of the last window of 10 s.",
    unit: "ms",
  },
  "annulus.process.external_bytes": { description: "Memory held by buffers outside of the heap.", unit: "By" },
  "annulus.process.heap_used_bytes": { description: "Memory used in the JavaScript heap.", unit: "By" },
  "annulus.process.resident_bytes": { description: "Resident memory of the process.", unit: "By" },
  "annulus.process.uptime_seconds": { description: "Time since the process was started.", unit: "s" },
};

/** The description and unit of a figure. */
export function describeFigure(name: string): About {
  return CATALOGUE[name] ?? { description: name, unit: "" };
}
