/**
 * Counters, distributions and gauges as plain numbers in memory.
 *
 * The hot path adds to a number; nothing is labelled, allocated or sent there. A figure with attributes is one name with
 * them in braces, `annulus.quorum.duration{operation=get,outcome=ok}`: whoever counts often keeps that string ready.
 * Distributions are histograms with fixed bounds, so their memory is bounded and two collections can be subtracted from
 * each other.
 */
import assert from "node:assert/strict";
import type { GaugeReading } from "../../ports.ts";
import { describeFigure } from "./catalogue.ts";

/** Upper bounds of a duration's buckets in ms, about 2.2 apart: a quantile read from them errs by less than that. */
const DURATION_BOUNDS_MS = [
  0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 25, 50, 75, 100, 250, 500, 1000, 2500, 5000, 10_000,
] as const;
/** Upper bounds of sizes in bytes and of counts: powers of two and of four. */
const COUNT_BOUNDS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576] as const;

/** What a figure is called: a path of lower-case words, and perhaps attributes in braces. */
const NAME = /^[a-z][a-z0-9]*(\.[a-z][a-z0-9_]*)+(\{[a-z][a-z0-9_.]*=[^=,"\\]+(,[a-z][a-z0-9_.]*=[^=,"\\]+)*\})?$/;

/** How many time series one distribution is on the metrics page: its buckets, the one above all of them, sum and count. */
export function seriesOfDistribution(unit: string): number {
  return (unit === "ms" ? DURATION_BOUNDS_MS : COUNT_BOUNDS).length + 3;
}

/** A figure's name without its attributes. */
export function baseName(name: string): string {
  const brace = name.indexOf("{");
  return brace < 0 ? name : name.slice(0, brace);
}

/** The attributes that stand in a figure's name. */
export function attributesIn(name: string): Record<string, string> {
  const brace = name.indexOf("{");
  if (brace < 0) return {};
  const pairs = name.slice(brace + 1, -1).split(",");
  return Object.fromEntries(pairs.map((pair) => pair.split("=", 2) as [string, string]));
}

/** A distribution: how many values fell under each bound, their number and their sum. */
export class Histogram {
  readonly bounds: readonly number[];
  /** One more than `bounds`: the last counts what is above all of them. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const { bounds } = this;
    const counts = this.counts;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket += 1;
    counts[bucket] = (counts[bucket] as number) + 1;
    this.sum += value;
  }
}

type Counter = { total: number };

/** All figures of one process, by name. A name keeps the kind it was first used as. */
export class Figures {
  readonly counters = new Map<string, Counter>();
  readonly histograms = new Map<string, Histogram>();
  readonly gauges = new Map<string, () => GaugeReading>();
  /** Counters that somebody else keeps, read on collection. */
  readonly totals = new Map<string, () => number>();
  /** Which of these maps keeps a name, whatever its attributes. */
  readonly #kinds = new Map<string, ReadonlyMap<string, unknown>>();

  count(name: string, amount = 1): void {
    const counter = this.counters.get(name);
    if (counter === undefined) this.#addCounter(name, amount);
    else counter.total += amount;
  }

  observe(name: string, value: number): void {
    const histogram = this.histograms.get(name);
    if (histogram === undefined) this.#addHistogram(name).observe(value);
    else histogram.observe(value);
  }

  /** Shows a distribution before its first value. */
  declare(name: string): void {
    if (!this.histograms.has(name)) this.#addHistogram(name);
  }

  /** A gauge registered again replaces the earlier one: a service that was restarted reads its new state. */
  gauge(name: string, read: () => GaugeReading): void {
    this.#claim(name, this.gauges);
    this.gauges.set(name, read);
  }

  /** A total that only grows and that somebody else keeps. */
  total(name: string, read: () => number): void {
    this.#claim(name, this.totals);
    this.totals.set(name, read);
  }

  #addCounter(name: string, total: number): void {
    this.#claim(name, this.counters);
    this.counters.set(name, { total });
  }

  #addHistogram(name: string): Histogram {
    this.#claim(name, this.histograms);
    const histogram = new Histogram(describeFigure(baseName(name))?.unit === "ms" ? DURATION_BOUNDS_MS : COUNT_BOUNDS);
    this.histograms.set(name, histogram);
    return histogram;
  }

  #claim(name: string, kind: ReadonlyMap<string, unknown>): void {
    assert(NAME.test(name), `a figure's name is not of the form path.of.words{attribute=value}: ${name}`);
    const base = baseName(name);
    assert((this.#kinds.get(base) ?? kind) === kind, `a figure is used as two kinds: ${name}`);
    this.#kinds.set(base, kind);
  }
}
