import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createWorkQueue } from "../../operator/services/work-queue.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createSeededRandom } from "../sim/random.ts";

const OPTIONS = { workersMax: 2, backoffMsMin: 100, backoffMsMax: 1_000 };

/** A queue in virtual time whose work is told to `work`. */
function queueOf(work: (key: string) => Promise<number | undefined>) {
  const time = createInstantTime();
  const failures: [string, number][] = [];
  const random = createSeededRandom(1);
  const queue = createWorkQueue(
    { time, random },
    work,
    (key, _error, againMs) => failures.push([key, againMs]),
    OPTIONS,
  );
  const idle = async () => {
    while (time.pending() > 0) await new Promise(setImmediate);
    await new Promise(setImmediate);
  };
  return { time, queue, failures, idle };
}

describe("the work queue", () => {
  it("works once on a key that was added many times in one turn", async () => {
    const worked: string[] = [];
    const { queue, idle } = queueOf(async (key) => void worked.push(key));
    for (const key of ["a", "b", "a", "a"]) queue.add(key);
    await idle();
    assert.deepEqual(worked, ["a", "b"]);
  });

  it("works once more on a key that was added while it was in work, never on one key twice at once", async () => {
    let inWork = 0;
    let runs = 0;
    const { queue, idle, time } = queueOf(async () => {
      inWork += 1;
      assert.equal(inWork, 1);
      runs += 1;
      if (runs === 1) for (let i = 0; i < 3; i += 1) queue.add("a");
      await new Promise<void>((done) => time.after(50, done));
      inWork -= 1;
      return undefined;
    });
    queue.add("a");
    await idle();
    assert.equal(runs, 2);
  });

  it("tries a failing key again ever later, up to a bound, and holds no other key up", async () => {
    let left = 8;
    const worked: string[] = [];
    const { queue, failures, idle } = queueOf(async (key) => {
      worked.push(key);
      if (key === "bad" && left-- > 0) throw new Error("no");
      return undefined;
    });
    queue.add("bad");
    queue.add("good");
    await idle();
    assert.deepEqual(worked.slice(0, 3), ["bad", "good", "bad"]);
    assert.equal(failures.length, 8);
    for (const [index, [, againMs]] of failures.entries()) {
      const wholeMs = Math.min(1_000, 100 * 2 ** index);
      assert.ok(againMs > wholeMs / 2 - 1 && againMs <= wholeMs, `pause ${index} is ${againMs} ms`);
    }
  });

  it("looks again when the work says so, and never has more in work than workers", async () => {
    let inWork = 0;
    let most = 0;
    const runs = new Map<string, number>();
    const { queue, idle, time } = queueOf(async (key) => {
      inWork += 1;
      most = Math.max(most, inWork);
      await new Promise<void>((done) => time.after(10, done));
      inWork -= 1;
      const count = (runs.get(key) ?? 0) + 1;
      runs.set(key, count);
      return count < 3 ? 1_000 : undefined;
    });
    for (const key of ["a", "b", "c", "d"]) queue.add(key);
    await idle();
    assert.deepEqual([...runs.values()], [3, 3, 3, 3]);
    assert.equal(most, 2);
  });

  it("starts nothing after it was stopped, and waits for what is in work", async () => {
    let ended = 0;
    const { queue, time, idle } = queueOf(async () => {
      await new Promise<void>((done) => time.after(100, done));
      ended += 1;
      return 10;
    });
    queue.add("a");
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    await queue.stop();
    queue.add("b");
    await idle();
    assert.equal(ended, 1);
  });
});
