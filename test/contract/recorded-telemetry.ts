/** Telemetry that keeps what it was told, for tests to look at. */
import type { Telemetry } from "../../node/ports.ts";

export type RecordedTelemetry = Telemetry & {
  /** Sum of all that was added to a counter. */
  counted(name: string): number;
  /** Every value of a distribution, in order. */
  observed(name: string): readonly number[];
  /** Names of the events that were logged, in order. */
  readonly events: string[];
};

export function createRecordedTelemetry(): RecordedTelemetry {
  const counters = new Map<string, number>();
  const observations = new Map<string, number[]>();
  const events: string[] = [];
  return {
    count(name, amount = 1) {
      counters.set(name, (counters.get(name) ?? 0) + amount);
    },
    observe(name, value) {
      const values = observations.get(name);
      if (values === undefined) observations.set(name, [value]);
      else values.push(value);
    },
    gauge() {},
    log(_level, event) {
      events.push(event);
    },
    counted: (name) => counters.get(name) ?? 0,
    observed: (name) => observations.get(name) ?? [],
    events,
  };
}
