/** Retention: which backups a policy keeps, and that nothing goes which one of them, or one that is being written, needs. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { keptBy } from "../../node/cli/backup/keep.ts";
import { linesOf, requireSound } from "../../node/cli/backup/layer.ts";
import { backupNames, type Manifest, manifestFile, requireManifest } from "../../node/cli/backup/manifest.ts";
import type { Place } from "../../node/cli/backup/place.ts";
import { prune } from "../../node/cli/backup/prune.ts";
import { placeOfFiles, Records, Turns, takeAt } from "./backup-world.ts";

const SEEDS = 200;
/** Of the backups that are there at first. */
const NEWEST = "19700101T000300000Z";

describe("a policy", () => {
  const instants = [
    "2025-12-31T23:59:59.999Z", // Wednesday, in the same week as the first of January.
    "2026-01-01T00:00:00.000Z",
    "2026-01-04T10:00:00.000Z",
    "2026-01-05T09:00:00.000Z",
    "2026-01-05T10:00:00.000Z",
    "2026-01-05T10:30:00.000Z",
  ];
  const kept = (rules: Parameters<typeof keptBy>[1]) =>
    instants.flatMap((instant, index) => (keptBy(instants, rules).has(instant) ? [index] : []));

  it("keeps the last of each period, counts only periods that have one, and always keeps the newest", () => {
    assert.deepEqual(kept({}), [5]);
    assert.deepEqual(kept({ last: 2 }), [4, 5]);
    assert.deepEqual(kept({ hourly: 2 }), [3, 5]);
    assert.deepEqual(kept({ daily: 3 }), [1, 2, 5]);
    assert.deepEqual(kept({ weekly: 2 }), [2, 5]);
    assert.deepEqual(kept({ monthly: 2 }), [0, 5]);
    assert.deepEqual(kept({ yearly: 9 }), [0, 5]);
    assert.deepEqual(kept({ last: 1, hourly: 3 }), [2, 3, 5]);
    assert.deepEqual(keptBy(instants, { last: 1, daily: 1 }).get(instants[5] ?? ""), ["last", "daily"]);
    assert.equal(keptBy([], { last: 3 }).size, 0);
  });

  it("keeps as many as it says, whatever the order they are given in, and more rules keep no fewer", () => {
    const times = fc.uniqueArray(fc.integer({ min: 0, max: 10 ** 6 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(times, fc.nat(9), fc.nat(9), (hours, last, daily) => {
        const some = hours.map((hour) => new Date(hour * 3_600_000).toISOString());
        assert.equal(keptBy(some, { last }).size, Math.max(1, Math.min(last, some.length)));
        const both = keptBy(some.toReversed(), { last, daily });
        for (const rules of [{ last }, { daily }])
          for (const instant of keptBy(some, rules).keys()) assert.ok(both.has(instant));
      }),
    );
  });
});

async function linesIn(place: Place, { parts }: Manifest): Promise<string[]> {
  const lines: string[] = [];
  for (const { layers } of parts) for await (const line of linesOf(place, layers)) lines.push(line);
  return lines.sort();
}

describe("two backups at once in one place, each of which prunes when it has ended", () => {
  it("leave no backup that lacks anything, and at least one: who came second, or was overtaken, says so and fails", async () => {
    const ended = { whole: 0, overtaken: 0 };
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const files = new Map<string, Buffer>();
      const records = new Records();
      const turns = new Turns(seed);
      const placeFor = (who: string) => placeOfFiles(files, turns, who);
      const run = async (who: string, minute: number) => {
        const place = placeFor(who);
        await takeAt(minute, records, place, { turns, who });
        await prune(place, { last: 1 }, { dryRun: false });
      };
      for (let key = 0; key < 20; key += 1) records.put(`key ${key}`);
      const first = run("alone", 1);
      await turns.run([first]);
      await first;
      for (let key = 0; key < 12; key += 1) records.put(`key ${key}`);
      const running = [run("one", 2), run("another", 3)];
      // Every fourth time one is frozen for good: its pod was given up, and another takes its place.
      await turns.run(running, (turn) => {
        if (turn === seed % 40) records.put("key 13");
        if (seed % 4 === 0 && turn === seed % 50) turns.kill("one");
      });
      for (const outcome of await Promise.allSettled(seed % 4 === 0 ? running.slice(1) : running)) {
        if (outcome.status === "fulfilled") ended.whole += 1;
        else {
          assert.match(String(outcome.reason), /another backup|the newest backup began/);
          ended.overtaken += 1;
        }
      }
      const again = new Turns(seed);
      const place = placeOfFiles(files, again, "after");
      const check = async () => {
        const names = await backupNames(place);
        assert.ok(names.length > 0);
        await requireSound(place, await Promise.all(names.map((name) => requireManifest(place, name))));
      };
      const checking = check();
      await again.run([checking]);
      await checking;
    }
    assert.ok(ended.whole > SEEDS / 2 && ended.overtaken > 0, JSON.stringify(ended));
  });
});

describe("pruning while a backup is written, or was killed", () => {
  it("leaves every backup whole, in any order of their steps", async () => {
    let removed = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const files = new Map<string, Buffer>();
      const records = new Records();
      const turns = new Turns(seed);
      const placeFor = (who: string) => placeOfFiles(files, turns, who);
      const alone = async <T>(run: (place: Place) => Promise<T>): Promise<T> => {
        const running = run(placeFor("alone"));
        await turns.run([running]);
        return running;
      };
      for (let key = 0; key < 20; key += 1) records.put(`key ${key}`);
      for (let minute = 1; minute <= 3; minute += 1) {
        records.put(`key ${minute}`);
        await alone((place) => takeAt(minute, records, place, { turns, who: "alone" }));
      }
      records.put("key 5");
      records.forget("key 6");
      const writing = takeAt(4, records, placeFor("writer"), { turns, who: "writer" });
      const pruning = ["one", "another"].map(async (who) => {
        let removed = 0;
        for (let time = 0; time < 8; time += 1) {
          // Somebody removes the newest by hand: what the writer builds on may then be named by nobody else.
          if (seed % 2 === 0 && time === (seed / 2) % 4) await placeFor(who).remove(manifestFile(NEWEST));
          removed += (await prune(placeFor(who), { last: 1 }, { dryRun: false })).removed.length;
        }
        return removed;
      });
      // Every third writer is killed at one of its first steps.
      await turns.run([writing, ...pruning], (turn) => {
        if (seed % 3 === 0 && turn === seed % 50) turns.kill("writer");
      });
      for (const count of await Promise.all(pruning)) removed += count;
      const again = new Turns(seed);
      const after = placeOfFiles(files, again, "after");
      const check = async () => {
        const last = await takeAt(5, records, after, { turns: again, who: "after" });
        const names = await backupNames(after);
        await requireSound(after, await Promise.all(names.map((name) => requireManifest(after, name))));
        assert.deepEqual(await linesIn(after, last.manifest), records.lines(), `seed ${seed}`);
      };
      const checking = check();
      await again.run([checking]);
      await checking;
    }
    assert.ok(removed > 0);
  });

  it("frees what nobody needs, and a dry run says so without doing it", async () => {
    const files = new Map<string, Buffer>();
    const records = new Records();
    const turns = new Turns(1);
    const place = placeOfFiles(files, turns, "all");
    const all = async () => {
      for (let minute = 1; minute <= 4; minute += 1) {
        records.put("key");
        await takeAt(minute, records, place, { turns, who: "all" });
      }
      const before = [...files.keys()];
      const planned = await prune(place, { last: 2 }, { dryRun: true });
      assert.deepEqual([...files.keys()], before);
      const done = await prune(place, { last: 2 }, { dryRun: false });
      assert.deepEqual(done, planned);
      assert.deepEqual(
        done.removed.map(({ startedAt }) => startedAt),
        ["1970-01-01T00:01:00.000Z", "1970-01-01T00:02:00.000Z"],
      );
      // Layers build on one another: those of the first two are still needed. One that nobody names is not.
      assert.equal(done.freedBytes, 0);
      files.set("layers/00000-19700101T000000000Z-00000000.jsonl", Buffer.alloc(7));
      assert.equal((await prune(place, { last: 2 }, { dryRun: false })).freedBytes, 7);
      assert.equal(files.has("layers/00000-19700101T000000000Z-00000000.jsonl"), false);
    };
    const running = all();
    await turns.run([running]);
    await running;
  });
});
