import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { COUNTER_BLOCK, encodeIdentity, LOSS_KEY, LOSS_KNOWN_KEY, parseIdentity } from "../../node/core/identity.ts";
import { metaKey } from "../../node/core/keyspace.ts";
import type { Dot } from "../../node/core/version/record.ts";
import type { Engine } from "../../node/ports.ts";
import { type Identity, openIdentity } from "../../node/services/identity.ts";
import { bytes, put, rejection } from "../contract/engine.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom } from "../sim/random.ts";

const OPENER = { clusterId: "c1", member: "kv-0", bootId: "boot-1" };
const IDENTITY = metaKey("identity");

/** A machine with one disk, on which a node is started and ended. */
function createMachine(seed = 1) {
  const time = createInstantTime();
  const random = createSeededRandom(seed);
  const disk = createSimulatedDisk({ time, random: random.stream("disk") });
  const nodeRandom = random.stream("node");
  const telemetry = createRecordedTelemetry();
  let engine: Engine | undefined;
  return {
    time,
    disk,
    telemetry,
    engine: () => engine ?? assert.fail("no node runs"),
    start(opener: Partial<typeof OPENER> = {}): Promise<Identity> {
      engine = disk.open();
      return openIdentity({ engine, random: nodeRandom, telemetry }, { ...OPENER, ...opener });
    },
    async stop(identity: Identity): Promise<void> {
      await identity.stopClean();
      await engine?.close();
    },
    kill: () => disk.crash("process"),
    losePower: () => disk.crash("machine"),
    async stored() {
      return parseIdentity((await engine?.get(IDENTITY)) ?? assert.fail("no identity is stored"));
    },
  };
}

const nameOf = ({ actor, incarnation, counter }: Dot) => `${actor}/${incarnation}/${counter}`;

describe("the identity of a data directory", () => {
  it("is new and random in an empty directory, and on the disk before it is used", async () => {
    const actors = new Set<string>();
    for (let seed = 0; seed < 10; seed++) {
      const machine = createMachine(seed);
      const identity = await machine.start();
      assert.match(identity.actor, /^[0-9a-f]{32}$/);
      assert.equal(identity.incarnation(), 1);
      actors.add(identity.actor);
      machine.losePower();
      assert.equal((await machine.start({ bootId: "boot-2" })).actor, identity.actor);
    }
    assert.equal(actors.size, 10);
  });

  it("keeps actor and incarnation over a clean stop, under whatever boot", async () => {
    const machine = createMachine();
    const first = await machine.start();
    const dot = first.nextDot();
    await machine.stop(first);
    const second = await machine.start({ bootId: "boot-2" });
    assert.equal(second.actor, first.actor);
    assert.equal(second.incarnation(), 1);
    assert.equal(second.nextDot().counter, dot.counter + 1);
  });

  it("keeps the incarnation when only the process died", async () => {
    const machine = createMachine();
    const first = await machine.start();
    first.nextDot();
    machine.kill();
    const second = await machine.start();
    assert.equal(second.incarnation(), 1);
    assert(second.nextDot().counter > COUNTER_BLOCK);
  });

  it("takes a new incarnation, on the disk first, when the machine was booted anew since an unclean stop", async () => {
    const machine = createMachine();
    await machine.start();
    machine.losePower();
    const second = await machine.start({ bootId: "boot-2" });
    assert.equal(second.incarnation(), 2);
    assert.equal(second.nextDot().incarnation, 2);
    machine.losePower();
    assert.equal((await machine.start({ bootId: "boot-3" })).incarnation(), 3);
  });

  it("believes nothing that a store says which lost a part of its log: neither a clean stop nor which incarnation was the last", async () => {
    const machine = createMachine();
    await machine.stop(await machine.start());
    const before = await machine.disk.open().get(IDENTITY);
    assert(before !== undefined);
    machine.kill();
    const lost = await machine.start();
    await lost.newIncarnation("a record was set aside");
    const taken = lost.incarnation();
    // What was written since the stop was at the head of a log, and is gone: what is left says 1, and "clean".
    await machine.engine().batch(
      [
        { kind: "put", key: IDENTITY, value: before },
        { kind: "put", key: LOSS_KEY, value: bytes("dropping 100 bytes") },
      ],
      { sync: true },
    );
    machine.kill();
    const next = await machine.start();
    assert(next.incarnation() > taken, `${next.incarnation()} was taken before`);
    assert.equal(next.wasStoppedCleanly, false, "what was laid down at the stop may be lost as well");
    assert.equal((await machine.stored()).incarnation, next.incarnation());
    assert.equal(await machine.engine().get(LOSS_KEY), undefined);
    machine.kill();
    assert.equal((await machine.start()).incarnation(), next.incarnation(), "one loss is made good once");
  });

  it("is made anew where a loss left nothing of a directory", async () => {
    const machine = createMachine();
    const marks = [LOSS_KEY, LOSS_KNOWN_KEY].map((key) => ({ kind: "put", key, value: bytes("all of it") }) as const);
    await machine.disk.open().batch(marks, { sync: true });
    machine.kill();
    assert.equal((await machine.start()).incarnation(), 1);
    assert.equal(await machine.engine().get(LOSS_KEY), undefined);
  });

  it("holds a clean stop for one start only: the mark is gone from the disk when the start is done", async () => {
    const machine = createMachine();
    await machine.stop(await machine.start());
    await machine.start({ bootId: "boot-2" });
    machine.losePower();
    assert.equal((await machine.start({ bootId: "boot-3" })).incarnation(), 2);
  });

  it("never marks a stop as clean while an unsynced write could still be lost", async () => {
    for (let seed = 0; seed < 30; seed++) {
      const machine = createMachine(seed);
      machine.disk.setFaults({ logBytesMax: 50 });
      const identity = await machine.start();
      for (let index = 0; index < 5; index++) await machine.engine().batch([put(`k${index}`, "v")], { sync: false });
      await machine.stop(identity);
      machine.losePower();
      await machine.start({ bootId: "boot-2" });
      for (let index = 0; index < 5; index++)
        assert.notEqual(await machine.engine().get(bytes(`k${index}`)), undefined);
    }
  });

  it("refuses a directory of another cluster or of another member, and leaves it as it was", async () => {
    const machine = createMachine();
    await machine.stop(await machine.start());
    const other = await rejection(machine.start({ clusterId: "c2" }), "STORAGE_FAILED");
    assert.match(other.message, /belongs to cluster "c1", this node is of cluster "c2"/);
    machine.kill();
    const member = await rejection(machine.start({ member: "kv-1" }), "STORAGE_FAILED");
    assert.match(member.message, /belongs to member "kv-0", this node is of member "kv-1"/);
    assert.equal((await machine.stored()).stoppedCleanly, true);
  });

  it("refuses data without an identity, a damaged identity, and one of a newer release", async () => {
    const machine = createMachine();
    const engine = machine.disk.open();
    await engine.batch([{ kind: "put", key: Uint8Array.of(2, 0, 0, 1), value: bytes("v") }], { sync: true });
    await engine.close();
    assert.match((await rejection(machine.start(), "STORAGE_FAILED")).message, /data but no identity/);

    const damaged = createMachine();
    await damaged.stop(await damaged.start());
    damaged.disk.flipBit(IDENTITY);
    assert.match((await rejection(damaged.start(), "STORAGE_FAILED")).message, /damaged/);

    const newer = createMachine();
    await newer.start();
    const document = { ...(await newer.stored()), formatVersion: 3 };
    await newer.engine().batch([{ kind: "put", key: IDENTITY, value: encodeIdentity(document) }], { sync: true });
    newer.kill();
    assert.match((await rejection(newer.start(), "STORAGE_FAILED")).message, /format 3.*up to 2.*newer release/);

    const older = createMachine();
    await older.start();
    const unreleased = { ...(await older.stored()), formatVersion: 1 };
    await older.engine().batch([{ kind: "put", key: IDENTITY, value: encodeIdentity(unreleased) }], { sync: true });
    older.kill();
    assert.match((await rejection(older.start(), "STORAGE_FAILED")).message, /format 1.*before the first release/);
  });
});

describe("the dots of a data directory", () => {
  it("are never given out twice, through any run of stamps, stops, deaths and losses of power", async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant("stamp" as const), count: fc.integer({ min: 1, max: 50 }) }),
      },
      { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("stop", "kill", "losePower", "newIncarnation") }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.nat(10_000), async (steps, seed) => {
        const machine = createMachine(seed);
        const seen = new Set<string>();
        let boot = 1;
        let counter = 0;
        let identity = await machine.start();
        for (const command of steps) {
          if ("count" in command) {
            for (let index = 0; index < command.count; index++) {
              const dot = identity.nextDot();
              assert(!seen.has(nameOf(dot)));
              assert(dot.counter > counter, "counters of an actor only grow, whatever the incarnation");
              seen.add(nameOf(dot));
              counter = dot.counter;
            }
            continue;
          }
          if (command.kind === "newIncarnation") {
            await identity.newIncarnation("test");
            continue;
          }
          if (command.kind === "stop") await machine.stop(identity);
          if (command.kind === "kill") machine.kill();
          if (command.kind === "losePower") {
            machine.losePower();
            boot++;
          }
          identity = await machine.start({ bootId: `boot-${boot}` });
        }
      }),
      { numRuns: 60 },
    );
  });

  it("never pass what is reserved on the disk, and reserve the next block when half of one is used", async () => {
    const machine = createMachine();
    const identity = await machine.start();
    for (let index = 0; index < COUNTER_BLOCK / 2; index++) identity.nextDot();
    assert.equal((await machine.stored()).counterLimit, COUNTER_BLOCK);
    identity.nextDot();
    await identity.ensureReserve();
    assert.equal((await machine.stored()).counterLimit, 2 * COUNTER_BLOCK);
    machine.losePower();
    const next = await machine.start();
    assert.equal(next.nextDot().counter, 2 * COUNTER_BLOCK + 1);
  });

  it("run out rather than wait or repeat while the disk takes no reservation, and go on when it does", async () => {
    const machine = createMachine();
    const identity = await machine.start();
    machine.disk.setFaults({ writeErrors: [1, 1] });
    for (let index = 0; index < COUNTER_BLOCK; index++) identity.nextDot();
    for (let attempt = 0; attempt < 3; attempt++) assert.throws(() => identity.nextDot(), { code: "OVERLOADED" });
    await rejection(identity.ensureReserve(), "STORAGE_FAILED");
    assert(machine.telemetry.counted("annulus.identity.reserve_failures") >= 1);
    machine.disk.setFaults({ writeErrors: [0, 1] });
    await new Promise<void>((resolve) => void machine.time.after(1_000, resolve));
    await identity.ensureReserve();
    assert.equal(identity.nextDot().counter, COUNTER_BLOCK + 1);
  });

  it("wait for a new incarnation to be on the disk, and stay away while it cannot be", async () => {
    const machine = createMachine();
    const identity = await machine.start();
    const before = identity.nextDot();
    const changing = identity.newIncarnation("a record was set aside");
    assert.throws(() => identity.nextDot(), { code: "OVERLOADED" });
    assert.equal(identity.incarnation(), 1);
    await changing;
    const after = identity.nextDot();
    assert.deepEqual([after.incarnation, after.counter > before.counter], [2, true]);

    const [third, fourth] = [identity.newIncarnation("one loss"), identity.newIncarnation("and one more")];
    await third;
    assert.throws(() => identity.nextDot(), { code: "OVERLOADED" });
    await fourth;
    assert.equal(identity.nextDot().incarnation, 4);

    machine.disk.failNextWrite();
    await rejection(identity.newIncarnation("another one"), "STORAGE_FAILED");
    assert.throws(() => identity.nextDot(), { code: "OVERLOADED" });
    await new Promise<void>((resolve) => void machine.time.after(1_000, resolve));
    await identity.newIncarnation("the same again");
    assert.equal(identity.nextDot().incarnation, 5);
  });

  it("are not given out after a clean stop", async () => {
    const machine = createMachine();
    const identity = await machine.start();
    const stopping = identity.stopClean();
    assert.throws(() => identity.nextDot(), { code: "NOT_READY" });
    await stopping;
    assert.throws(() => identity.nextDot(), { code: "NOT_READY" });
    await rejection(identity.newIncarnation("too late"), "NOT_READY");
  });
});

describe("the stored ring", () => {
  it("survives the loss of power once it is saved, and is remembered as having been there", async () => {
    const machine = createMachine();
    const first = await machine.start();
    assert.equal(first.hadRing(), false);
    assert.equal(await first.loadRing(), undefined);
    await first.saveRing('{"epoch":1}');
    await first.saveRing('{"epoch":2,"näme":"ü"}');
    assert.equal(first.hadRing(), true);
    machine.losePower();
    const second = await machine.start();
    assert.equal(second.hadRing(), true);
    assert.equal(await second.loadRing(), '{"epoch":2,"näme":"ü"}');
  });

  it("is refused when it is damaged, while the directory still knows that it had one", async () => {
    const machine = createMachine();
    const identity = await machine.start();
    await identity.saveRing('{"epoch":1}');
    machine.disk.flipBit(metaKey("ring"));
    assert.match((await rejection(identity.loadRing(), "STORAGE_FAILED")).message, /damaged/);
    machine.kill();
    assert.equal((await machine.start()).hadRing(), true);
  });

  it("that is older than the directory makes it a successor, which it is still when it is rebuilt", async () => {
    const machine = createMachine();
    const identity = await machine.start();
    await identity.saveRing('{"epoch":1}');
    assert.deepEqual([identity.isRebuilding(), identity.isSuccessor()], [false, false]);
    await identity.saveRing('{"epoch":2}', { isRebuilding: true });
    assert.deepEqual([identity.isRebuilding(), identity.isSuccessor()], [true, true]);
    await identity.endRebuilding();
    await identity.saveRing('{"epoch":3}');
    machine.losePower();
    const later = await machine.start();
    assert.deepEqual([later.isRebuilding(), later.isSuccessor()], [false, true]);
  });
});
