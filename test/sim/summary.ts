/** What a campaign of many seeds came to, in lines for a person. */
import { counted as countOf } from "../../node/core/counted.ts";
import type { Verdict } from "./campaign.ts";
import { isCounted, type ScenarioResult } from "./scenario.ts";
import { neverMet } from "./sometimes.ts";

/** The last line about one seed that was run by itself. */
export function verdictOf({ seed, hash, faultCount, operations }: ScenarioResult): string {
  return `seed ${seed} passed, hash ${hash}, ${countOf(faultCount, "fault")}, ${countOf(operations, "operation")}`;
}

/** Under which heading a total stands, by how its name begins; what begins otherwise was counted by the program itself. */
const HEADINGS: readonly (readonly [string, string])[] = [
  ["client: ", "what clients were told"],
  ["asked: ", "what clients asked for beyond what the ring says, and were given"],
  ["check: ", "what checkers held runs to, and excused"],
  ["fault: ", "faults that happened, and what they led to"],
];
const HEADING_OF_REST = "what nodes and operators counted themselves";

/** Of a hundred seeds of the large size, so many have to count. All of 48 plain ones did, and all of 46 while the ring changed; in the poorest 31 % were acknowledged. */
const COUNTED_OF_HUNDRED = 90;
/** Fewer seeds say nothing about a share. */
const SHARE_OF_MIN = 50;

export class Summary {
  readonly failures: string[] = [];
  readonly #results: { readonly result: ScenarioResult; readonly cpuMs: number }[] = [];
  readonly #totals = new Map<string, number>();
  readonly #kind: { readonly churn?: boolean; readonly operator?: boolean };
  #cpuMs = 0;

  /**
   * @param kind `churn`: the ring changed in these runs; a seed that counts has brought two changes to their end. `operator`:
   *   operators changed it; a seed that counts was scaled twice.
   */
  constructor(kind: { readonly churn?: boolean; readonly operator?: boolean } = {}) {
    this.#kind = kind;
  }

  add({ result, cpuMs, failure }: Verdict): void {
    this.#cpuMs += cpuMs;
    if (failure !== undefined) this.failures.push(failure);
    if (result === undefined) return;
    // Of each result only what the summary needs: there may be ten thousand.
    this.#results.push({ result: { ...result, counters: {}, faults: {}, granted: {}, checks: {} }, cpuMs });
    const { operations, acknowledged, unknown, refused, retried, siblings } = result;
    const told = { operations, acknowledged, unknown, refused, retried, siblings };
    const { faults, granted, counters, checks } = result;
    const all = { client: told, asked: granted, check: checks, fault: faults, node: counters };
    for (const [kind, counts] of Object.entries(all)) {
      for (const [name, times] of Object.entries(counts)) {
        const full = kind === "node" ? name : `${kind}: ${name}`;
        this.#totals.set(full, (this.#totals.get(full) ?? 0) + times);
      }
    }
  }

  /** Seeds that ended. */
  get count(): number {
    return this.#results.length + this.failures.length;
  }

  /** Seeds that were large enough to count, and passed. */
  get counted(): number {
    return this.#results.filter(({ result }) => isCounted(result, this.#kind)).length;
  }

  /**
   * Why too few of the large seeds count, in words: a store that answers too little, or a world in which too little happens, shows
   * little however many seeds it passes. Undefined where enough do, or too few were run to say. Changes of the ring are left aside:
   * how many come to their end is left to chance.
   */
  get tooFew(): string | undefined {
    const counted = this.#results.filter(({ result }) => isCounted(result)).length;
    if (this.count < SHARE_OF_MIN || counted * 100 >= this.count * COUNTED_OF_HUNDRED) return undefined;
    return `too few: ${counted} of ${this.count} seeds were large enough and answered enough to count, of a hundred at least ${COUNTED_OF_HUNDRED} have to be`;
  }

  /** What should have happened somewhere, and never did. */
  get neverMet(): readonly string[] {
    return neverMet(this.#totals, this.#kind);
  }

  /** How often everything happened, each kind under its heading. */
  totals(): string {
    const headed = Map.groupBy([...this.#totals].sort(), ([name]) => {
      return HEADINGS.find(([beginning]) => name.startsWith(beginning))?.[1] ?? HEADING_OF_REST;
    });
    return [...HEADINGS.map(([, heading]) => heading), HEADING_OF_REST]
      .flatMap((heading) => {
        const totals = headed.get(heading) ?? [];
        const lines = totals.map(([name, times]) => `  ${String(times).padStart(12)}  ${name}`);
        return lines.length === 0 ? [] : [`${heading}:`, ...lines];
      })
      .join("\n");
  }

  /** Sizes, costs and verdict. @param seconds Of wall clock. */
  lines(what: string, seconds: number): string {
    const { churn = false, operator = false } = this.#kind;
    const counted = this.#results.filter(({ result }) => isCounted(result, this.#kind));
    const of = counted.length > 0 ? counted : this.#results;
    const median = (value: (one: ScenarioResult) => number) => middle(of.map(({ result }) => value(result)));
    const five = this.#results.filter(({ result }) => result.nodes === 5);
    const ratios = five.map(({ result, cpuMs }) => result.virtualMs / cpuMs);
    const cpu = middle(of.map(({ cpuMs }) => cpuMs));
    return [
      `${counted.length} of ${this.count} seeds count (>= 5 nodes, 60 s of faults, 1,000 operations, 30 % acknowledged, 10 faults, <= 50 keys${churn ? ", 2 changes" : ""}${operator ? ", scaled twice" : ""})`,
      `medians of those: ${median((r) => r.nodes)} nodes, ${median((r) => r.keys)} keys, ${median((r) => r.operations)} operations, ${median((r) => r.acknowledged)} acknowledged, ${median((r) => r.faultCount)} faults,${churn || operator ? ` ${median((r) => r.changes)} changes,` : ""}${operator ? ` scaled ${median((r) => r.scales)} times,` : ""} ${median((r) => r.virtualMs / 1_000).toFixed(0)} s of virtual time, ${median((r) => r.events)} events`,
      `${cpu.toFixed(0)} ms of processor time a seed (median), ${(this.#cpuMs / 1_000).toFixed(0)} s in all${five.length === 0 ? "" : `; ${countOf(five.length, "cluster")} of 5 nodes ran ${middle(ratios).toFixed(0)} times faster than real time (median)`}`,
      `${what} in ${seconds.toFixed(1)} s: ${this.#results.length} passed, ${this.failures.length} failed`,
    ].join("\n");
  }
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
