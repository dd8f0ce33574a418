/** Keys whose own record was damaged: until when they are not answered for. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { doubtsRange } from "../../node/core/keyspace.ts";
import { createRing } from "../../node/core/ring/ring.ts";
import { createDoubtCure } from "../../node/services/doubt-cure.ts";
import { createDoubts, type Doubts } from "../../node/services/doubts.ts";
import { createGroupCommit } from "../../node/services/group-commit.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom } from "../sim/random.ts";
import { Simulator } from "../sim/simulator.ts";
import { bytesOf, PARTITION, recordOf, ringOf } from "./hints-world.ts";

const KEY = bytesOf("k");
const REQUEST_TIMEOUT_MS = 2_000;
const RECORD = recordOf("v");

type Answer = "has none" | "complete" | "lacks something" | "damaged" | "away";

/** Node `a` of the homes a, b, c, whose peers answer as they are told; the disk of one may be declared destroyed. */
async function createWorld(homes = "abc", { destroyed = "", writeQuorum = 2 } = {}) {
  const simulator = new Simulator();
  const telemetry = createRecordedTelemetry();
  const random = createSeededRandom(1);
  const time = simulator.timeOf(simulator.createProcess("a"));
  const disk = createSimulatedDisk({ time, random: random.stream("disk") });
  const answers = new Map<string, Answer>();
  const merged: string[] = [];
  const engine = disk.open();
  const options = { sync: false, intervalMs: 1, batchBytesMax: 1 << 20, queueBytesMax: 1 << 20, queueMsMax: 1_000 };
  const commit = createGroupCommit({ engine, time, telemetry }, options);
  const replicas = {
    self: "a",
    async read(home: string, _partition: number, { forRepair }: { readonly forRepair?: true }) {
      const answer = answers.get(home);
      if (answer === "has none") return undefined;
      if (answer === "complete" || (answer === "lacks something" && forRepair === true)) return RECORD;
      if (answer === "lacks something") throw new KvError("NOT_READY", "is being rebuilt");
      if (answer === "damaged") throw new KvError("STORAGE_FAILED", "is damaged");
      throw new KvError("PEER_UNREACHABLE", "is away");
    },
    async merge(home: string) {
      merged.push(home);
    },
  } as unknown as Replicas;
  const { document } = ringOf([...homes]);
  const members = document.members.map((member) =>
    member.name === destroyed ? { ...member, isDestroyed: true as const } : member,
  );
  const ring = createRing({ ...document, members, writeQuorum });
  /** What is on its place is damaged, until something is merged over it. */
  let isDamagedThere = true;
  const replica = {
    async drop(_partition: number, _key: Uint8Array, mayGo: (held: Uint8Array | undefined) => boolean) {
      if (mayGo(merged.length > 0 ? RECORD : undefined)) isDamagedThere = false;
    },
  };
  function start(doubts: Doubts): void {
    const parts = { doubts, replica, replicas, commit, time, telemetry, ring: () => ring, isUp: () => true };
    createDoubtCure(parts, { timeoutMs: 1_000, requestTimeoutMs: REQUEST_TIMEOUT_MS }).start();
  }
  const doubts = createDoubts({ engine, telemetry });
  start(doubts);
  const mark = doubts.raise(PARTITION, KEY);
  void engine.batch([mark], { sync: true });
  const pass = () => simulator.runUntil(simulator.nowMs + 5_000);
  const isMarked = () => disk.entries({ ...doubtsRange(), limit: 10 }).length > 0;
  const isLeft = () => isDamagedThere;
  return { doubts, answers, merged, engine, telemetry, pass, isMarked, isLeft, simulator };
}

const isRefused = (doubts: Doubts): boolean => {
  try {
    doubts.requireSure(PARTITION, KEY);
    return false;
  } catch (error) {
    assert(error instanceof KvError && error.code === "NOT_READY");
    return true;
  }
};

describe("a key whose record was damaged", () => {
  it("is answered for once N − W + 1 complete homes were heard, and their records merged", async () => {
    const { doubts, answers, merged, pass, isMarked, telemetry } = await createWorld();
    answers.set("b", "complete");
    await pass();
    assert(isRefused(doubts), "one of two is not enough");
    assert(!doubts.isSure(PARTITION));
    assert.deepEqual(new Set(merged), new Set(["a"]));
    assert(isMarked());
    answers.set("c", "complete");
    await pass();
    assert(!isRefused(doubts));
    assert(doubts.isSure(PARTITION));
    assert(!isMarked());
    assert.equal(telemetry.counted("annulus.store.doubts_settled"), 1);
  });

  it("is not asked for before writes have ended that were under way: what counted on it may still come to another home", async () => {
    const { doubts, answers, merged, simulator } = await createWorld();
    for (const home of ["b", "c"]) answers.set(home, "complete");
    await simulator.runUntil(simulator.nowMs + REQUEST_TIMEOUT_MS - 10);
    assert(isRefused(doubts) && merged.length === 0);
    await simulator.runUntil(simulator.nowMs + 2_000);
    assert(!isRefused(doubts));
  });

  it("does not wait for ever for homes that lack something themselves: all of them is all there is", async () => {
    const { doubts, answers, pass } = await createWorld();
    answers.set("b", "complete");
    answers.set("c", "damaged");
    await pass();
    assert(isRefused(doubts), "nobody knows what it holds");
    answers.set("c", "lacks something");
    await pass();
    assert(!isRefused(doubts));
  });

  it("does not wait for a home whose disk was declared destroyed: a change may wait for this one", async () => {
    const { doubts, answers, pass } = await createWorld("abc", { destroyed: "c" });
    await pass();
    assert(isRefused(doubts), "b is still to be heard");
    answers.set("b", "complete");
    await pass();
    assert(!isRefused(doubts));
  });

  it("is removed from its place when no home has anything to put there (seed 404589 of 22d37c3)", async () => {
    const { doubts, answers, pass, isLeft } = await createWorld();
    answers.set("b", "has none");
    await pass();
    assert(isLeft(), "the third home may have it");
    answers.set("c", "has none");
    await pass();
    assert(!isLeft() && !isRefused(doubts));
  });

  it("is removed only when all homes were heard, be N − W + 1 fewer", async () => {
    const { doubts, answers, pass, isLeft } = await createWorld("abc", { writeQuorum: 3 });
    answers.set("b", "has none");
    await pass();
    assert(isLeft() && isRefused(doubts), "c may hold the last copy");
    answers.set("c", "has none");
    await pass();
    assert(!isLeft() && !isRefused(doubts));
  });

  it("keeps what was merged over it", async () => {
    const { answers, pass, isLeft, doubts } = await createWorld();
    answers.set("b", "has none");
    answers.set("c", "complete");
    await pass();
    assert(isLeft() && !isRefused(doubts));
  });

  it("is in doubt over a restart, and no other key is", async () => {
    const { engine, telemetry, pass, simulator } = await createWorld();
    await pass();
    const restarted = createDoubts({ engine, telemetry });
    const opened = restarted.open();
    await simulator.runUntil(simulator.nowMs + 1_000);
    await opened;
    assert(isRefused(restarted));
    restarted.requireSure(PARTITION, bytesOf("other"));
    restarted.requireSure(PARTITION + 1, KEY);
    restarted.requireAllSure(PARTITION + 1);
    assert.throws(() => restarted.requireAllSure(PARTITION), KvError);
  });

  it("is in doubt for good once it is damaged again while the first doubt is settled", async () => {
    const { doubts, isMarked, simulator, engine } = await createWorld();
    const [doubt] = doubts.all();
    assert(doubt !== undefined);
    const settled = doubts.settle(doubt, async (mark) => {
      if (mark.kind === "delete") void engine.batch([doubts.raise(PARTITION, KEY)], { sync: true });
      await engine.batch([mark], { sync: true });
    });
    await simulator.runUntil(simulator.nowMs + 100);
    await settled;
    assert(isRefused(doubts));
    assert(isMarked());
  });

  it("leaves its partition in doubt while another of it is, be it raised twice, and no other partition", async () => {
    const { doubts, simulator } = await createWorld("bcd");
    const others = [bytesOf("second"), bytesOf("third")];
    for (const key of others) doubts.raise(PARTITION, key);
    doubts.raise(PARTITION, KEY);
    doubts.raise(PARTITION + 1, KEY);
    for (const left of [3, 2, 1]) {
      assert.equal(doubts.all().filter(({ partition }) => partition === PARTITION).length, left);
      assert(!doubts.isSure(PARTITION) && !doubts.isSure(PARTITION + 1) && doubts.isSure(PARTITION + 2));
      const doubt = doubts.all().find(({ partition }) => partition === PARTITION) ?? assert.fail("one is left");
      await doubts.settle(doubt, async () => {});
      // What is settled already counts no second time.
      await doubts.settle(doubt, async () => {});
    }
    assert(doubts.isSure(PARTITION) && !doubts.isSure(PARTITION + 1));
    assert.throws(() => doubts.requireAllSure(PARTITION + 1), KvError);
    await simulator.runUntil(simulator.nowMs + 5_000);
    assert(doubts.isSure(PARTITION + 1), "this node is no home, and its cure settles what is left");
  });

  it("is nobody's concern where this node is no home any more", async () => {
    const { doubts, pass, isMarked } = await createWorld("bcd");
    await pass();
    assert(!isRefused(doubts));
    assert(!isMarked());
  });
});
