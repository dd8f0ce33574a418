/**
 * Whether what is gone stays gone on the disks: once every home of a key knows that a value was replaced or deleted, by its
 * record or by its collection horizon, and no disk holds the value any more, no home may ever hold it again.
 *
 * A reader sees a value that came back only if it comes at the right moment, and before the next write covers it. Here it is seen
 * at once. Only what a disk lost may bring one back, where it was what told of its end: a record that was not synced, or rotted, or went
 * with the disk. A message or a hint that was late brings it then (seed 2102005392 of 551628c). Where homes change, a new one
 * knows nothing before it was filled, so that there it is not looked for.
 */
import assert from "node:assert/strict";
import { covers, EMPTY_CONTEXT } from "../../node/core/version/context.ts";
import type { Dot, KvRecord } from "../../node/core/version/record.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import { horizonIn } from "./collected.ts";
import { recordIn, recordInHint } from "./disk-records.ts";
import { type Place, placesOf } from "./places.ts";
import type { Tally } from "./tally.ts";

const LOOK_MS = 700;

/** Of one key: values that were stamped and may lie on some disk, and those of which nothing may come back. */
type Values = { readonly live: Map<string, Dot>; readonly buried: Map<string, Dot> };

export class Buried {
  readonly #cluster: SimulatedCluster;
  readonly #keys: readonly string[];
  readonly #tally: Tally;
  readonly #byKey = new Map<string, Values>();

  /** Looks at all disks over and over until the run ends. */
  constructor(cluster: SimulatedCluster, keys: readonly string[], tally: Tally) {
    this.#cluster = cluster;
    this.#keys = keys;
    this.#tally = tally;
    if (cluster.isElastic) return;
    cluster.onStruck = (machine) => this.#exhume(machine);
    cluster.onStamped = (key, dot) => this.#valuesOf(key).live.set(nameOf(dot), dot);
    this.#later();
  }

  #later(): void {
    this.#cluster.simulator.after(LOOK_MS, () => {
      this.check();
      this.#later();
    });
  }

  /** @throws {AssertionError} A value came back. */
  check(): void {
    for (const key of this.#keys) this.#checkKey(key);
  }

  #checkKey(key: string): void {
    const { live, buried } = this.#valuesOf(key);
    const places = placesOf(this.#cluster, key);
    const seen = new Set<string>();
    for (const machine of this.#cluster.machines) {
      for (const { record, isOwn } of recordsOn(machine, places)) {
        for (const dot of dotsIn(record)) {
          const name = nameOf(dot);
          assert(
            !isOwn || !buried.has(name),
            `what every home knew to be gone never comes back: ${machine.name} holds ${name} of ${key} again at ${this.#cluster.simulator.nowMs.toFixed(1)} ms`,
          );
          seen.add(name);
          live.set(name, dot);
        }
      }
    }
    for (const [name, dot] of live) {
      if (seen.has(name) || !places.every((place) => this.#isKnownAt(place, dot))) continue;
      live.delete(name);
      buried.set(name, dot);
      this.#tally.count("a value that may never come back");
    }
  }

  /** Whether a home knows of it, by its record or by its horizon. */
  #isKnownAt({ home, own, horizon }: Place, dot: Dot): boolean {
    const { disk } = this.#cluster.byName(home);
    const stored = disk.peek(own);
    const record = recordIn(stored);
    // What rotted may be whole in memory.
    if (stored !== undefined && record === undefined) return false;
    return covers(record?.context ?? EMPTY_CONTEXT, dot) || covers(horizonIn(disk.peek(horizon)), dot);
  }

  /** What a disk shows after a loss lives again, and so does what it no longer knows to be gone. */
  #exhume(machine: SimulatedNode): void {
    for (const key of this.#keys) {
      const { live, buried } = this.#valuesOf(key);
      const places = placesOf(this.#cluster, key);
      for (const { record } of recordsOn(machine, places)) {
        for (const dot of dotsIn(record)) {
          buried.delete(nameOf(dot));
          live.set(nameOf(dot), dot);
        }
      }
      const place = places.find(({ home }) => home === machine.name);
      if (place === undefined) continue;
      for (const [name, dot] of buried) {
        if (this.#isKnownAt(place, dot)) continue;
        buried.delete(name);
        live.set(name, dot);
      }
    }
  }

  #valuesOf(key: string): Values {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const made = { live: new Map<string, Dot>(), buried: new Map<string, Dot>() };
    this.#byKey.set(key, made);
    return made;
  }
}

function recordsOn(
  { name, disk }: SimulatedNode,
  places: readonly Place[],
): readonly { readonly record: KvRecord; readonly isOwn: boolean }[] {
  return places.flatMap(({ home, own, hint }) => {
    const record = home === name ? recordIn(disk.peek(own)) : recordInHint(disk.peek(hint));
    return record === undefined ? [] : [{ record, isOwn: home === name }];
  });
}

/** Of the values that a record holds. */
function dotsIn({ siblings }: KvRecord): readonly Dot[] {
  return siblings.filter(({ value }) => value !== undefined).map(({ dot }) => dot);
}

function nameOf({ actor, incarnation, counter }: Dot): string {
  return `${actor}.${incarnation}:${counter}`;
}
