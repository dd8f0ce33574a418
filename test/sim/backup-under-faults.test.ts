/**
 * Backups and restores while members are cut off, die, lose their disks and are weighed anew, and while clients write and delete: a backup
 * has what was acknowledged before it began, and a restore brings back nothing that was replaced or deleted since.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { NO_CHANGE } from "../../node/core/ring/change.ts";
import type { Sibling } from "../../node/core/version/record.ts";
import { decodeRecord } from "../../node/core/version/record-codec.ts";
import { viewRecord } from "../../node/core/version/view.ts";
import type { StorageNode } from "../../node/node.ts";
import { answerOf } from "./answers.ts";
import { SimulatedCluster } from "./cluster.ts";
import { rot } from "./damage.ts";
import { part, pass } from "./quiet-cluster.ts";
import { createSeededRandom, type SeededRandom } from "./random.ts";

const SEEDS = [1, 2, 3];
const STEPS = 60;
const PARTITIONS = 4;
const KEYS = Array.from({ length: 40 }, (_, index) => `key ${index}`);
const CALM_MS = 90_000;
const TRIES = 60;
const bytes = (text: string) => new TextEncoder().encode(text);

/** What a key is to show: a value, or nothing. Undefined once a write of it may have been done or not. */
type Expected = ReadonlyMap<string, string | null | undefined>;
type Backup = ReadonlyMap<string, Uint8Array>;

class Story {
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #expected = new Map<string, string | null | undefined>(KEYS.map((key) => [key, null]));
  readonly #backups: Backup[] = [];
  #mend: (() => void) | undefined;
  #writes = 0;
  checked = 0;

  constructor(seed: number) {
    this.#random = createSeededRandom(seed).stream("backup-under-faults");
    this.#cluster = new SimulatedCluster({
      ...{ seed, nodes: 5, zones: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      ...{ mode: "strict", durability: "disk", partitions: PARTITIONS, tombstoneAgeMs: 8_000 },
      // What a home missed it gets late, and by comparison only.
      ...{ hintBytesMax: 1, repairIntervalMs: 20_000 },
    });
  }

  async play(): Promise<void> {
    await this.#cluster.startAll();
    await pass(this.#cluster, 5_000);
    for (let step = 0; step < STEPS; step += 1) {
      if (this.#draw(2) === 0) for (let write = 0; write < 6; write += 1) await this.#write();
      else await this.#disturb();
      await pass(this.#cluster, this.#draw(4_000));
      if (this.#draw(4) === 0) await this.#backUp();
      if (this.#draw(8) === 0) await this.#restore();
      if (this.#cluster.bug !== undefined) throw this.#cluster.bug;
    }
  }

  #draw(below: number): number {
    return this.#random.uint32() % below;
  }

  #any<T>(of: readonly T[]): T {
    return of[this.#draw(of.length)] as T;
  }

  #node(): StorageNode {
    return this.#any(this.#cluster.nodes.flatMap(({ node }) => (node === undefined ? [] : [node])));
  }

  async #write(): Promise<void> {
    const key = this.#any(KEYS);
    this.#writes += 1;
    const value = this.#draw(4) === 0 ? null : `value ${this.#writes}`;
    const { coordinator } = this.#node();
    const seen = await answerOf(this.#cluster, coordinator.get(bytes(key), {}));
    if (seen instanceof KvError) return;
    const { context } = seen;
    const base = context === undefined ? ("overwrite" as const) : { context };
    const answer = await answerOf<unknown>(
      this.#cluster,
      value === null
        ? coordinator.delete({ key: bytes(key), context }, {})
        : coordinator.put({ key: bytes(key), value: bytes(value), contentType: "text/plain", base }, {}),
    );
    const isUnknown = answer instanceof KvError && answer.outcome !== "none";
    // It may come to light beside whatever is written later.
    if (isUnknown) this.#expected.set(key, undefined);
    else if (!(answer instanceof KvError) && this.#expected.get(key) !== undefined) this.#expected.set(key, value);
  }

  /** One fault at a time, and time to fill a disk that was lost: what W homes acknowledged is always on one that is there. */
  async #disturb(): Promise<void> {
    const cluster = this.#cluster;
    const machine = this.#any(cluster.nodes);
    const others = cluster.nodes.map(({ name }) => name).filter((name) => name !== machine.name);
    if (this.#mend !== undefined) {
      this.#mend();
      this.#mend = undefined;
      return;
    }
    switch (this.#draw(5)) {
      case 0:
        part(cluster, [machine.name], others);
        this.#mend = () => cluster.network.heal();
        return;
      case 1:
        cluster.crash(machine, "process");
        this.#mend = () => cluster.start(machine);
        return;
      case 2:
        cluster.crash(machine, "machine");
        cluster.loseDisk(machine);
        cluster.start(machine);
        return pass(cluster, CALM_MS);
      case 3:
        rot(cluster, machine, bytes(this.#any(KEYS)));
        return pass(cluster, CALM_MS);
      default: {
        const weights = { [machine.name]: this.#any([1, 100]) };
        await answerOf(cluster, this.#node().changes.begin({ ...NO_CHANGE, weights }, { dryRun: false }));
      }
    }
  }

  async #backUp(): Promise<void> {
    const before = new Map(this.#expected);
    const found = new Map<string, Uint8Array>();
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      let after: Uint8Array | undefined;
      for (let tries = 0, done = false; !done; ) {
        const page = await answerOf(this.#cluster, this.#node().exporter.records(partition, after, 7));
        if (page instanceof KvError) {
          tries += 1;
          if (tries === TRIES) return; // Too few homes are there: there is no backup.
          await pass(this.#cluster, 250);
          continue;
        }
        for (const { key, record } of page.entries) found.set(Buffer.from(key).toString(), record);
        after = page.entries.at(-1)?.key;
        done = page.done;
      }
    }
    this.#backups.push(found);
    this.#check(
      before,
      "backup",
      (key) => viewRecord(found.has(key) ? decodeRecord(found.get(key) as Uint8Array) : undefined, 0).siblings,
    );
  }

  async #restore(): Promise<void> {
    if (this.#backups.length === 0) return;
    let left = [...this.#any(this.#backups)].map(([key, record]) => ({ key: bytes(key), record }));
    for (let tries = 0; tries < TRIES && left.length > 0; tries += 1) {
      const outcome = await answerOf(this.#cluster, this.#node().restorer.restore(left));
      if (!(outcome instanceof KvError)) left = outcome.unjudged.flatMap((place) => left[place] ?? []);
      await pass(this.#cluster, 100);
    }
    const shown = new Map<string, readonly Sibling[]>();
    for (const key of KEYS) {
      const answer = await answerOf(this.#cluster, this.#node().coordinator.get(bytes(key), {}));
      if (!(answer instanceof KvError)) shown.set(key, answer.siblings);
    }
    this.#check(
      new Map([...this.#expected].filter(([key]) => shown.has(key))),
      "restore",
      (key) => shown.get(key) ?? [],
    );
  }

  #check(expected: Expected, what: string, shownOf: (key: string) => readonly Sibling[]): void {
    for (const [key, value] of expected) {
      if (value === undefined) continue;
      const values = shownOf(key).flatMap((sibling) => (sibling.value === undefined ? [] : [sibling.value]));
      const texts = values.map((each) => Buffer.from(each).toString());
      assert.deepEqual(texts, value === null ? [] : [value], `${what}: ${key}`);
      this.checked += 1;
    }
  }
}

describe("backups and restores under faults", () => {
  it.each(SEEDS)(
    "lack and bring back nothing, seed %i",
    async (seed) => {
      const story = new Story(seed);
      await story.play();
      assert(story.checked > 100, `${story.checked} looks`);
    },
    300_000,
  );
});
