/** What requests ask for beyond what the ring says: each history here breaks such a promise, or just keeps it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { History } from "./history.ts";
import { Losses } from "./losses.ts";
import { A, createHistory, dot, KEY, knowing, NOTHING, onDisk, read, write } from "./told-history.ts";

describe("the history of requests that ask for more than the ring says", () => {
  const onDisks = (...members: readonly string[]) => {
    const losses = new Losses((member) => (member === "n1" || member === "n2" ? "z1" : "z2"));
    for (const member of members)
      losses.note({ kind: "disk", member, key: undefined, fromMs: Number.NEGATIVE_INFINITY, atMs: 50 });
    return losses;
  };

  it("demands a write that was acknowledged from two zones after all disks of one were lost", () => {
    const one = createHistory(onDisks("n1", "n2"));
    write(one, { startedMs: 0, promise: { holders: 2, zones: 2 } });
    assert.throws(() => one.checkEnd(KEY, [], 200), /missed write 1/);
    const both = createHistory(onDisks("n1", "n3"));
    write(both, { startedMs: 0, promise: { holders: 2, zones: 2 } });
    both.checkEnd(KEY, [], 200);
  });

  it("demands of no read, but of the end, what a sloppy write was acknowledged for", () => {
    const history = createHistory();
    write(history, { startedMs: 0, promise: { holders: 2, isForLast: true } }, { token: knowing(dot(A, 1)) });
    history.checkRead(read(20, [], { context: NOTHING }));
    assert.throws(() => history.checkEnd(KEY, [], 100, { context: NOTHING }), /knows less/);
    assert.throws(() => history.checkEnd(KEY, [], 100), /missed write 1/);
  });

  it("demands of a read what a write of a quorum of its own was acknowledged for, where the two meet", () => {
    const history = createHistory();
    write(history, { startedMs: 0, promise: { holders: 1 } });
    history.checkRead(read(20, [], { readQuorum: 2 }));
    assert.throws(() => history.checkRead(read(20, [], { readQuorum: 3 })), /missed write 1/);
  });

  it("lets a value go at the end of its life by some clock, and come no more after it by every clock", () => {
    const history = new History({ replicationFactor: 3, writeQuorum: 2 }, undefined, { clockSkewMs: () => 100 });
    const value = write(history, { startedMs: 0, ttlMs: 1_000 });
    assert.throws(() => history.checkRead(read(799, [], { endedMs: 799 })), /missed write 1/);
    history.checkRead(read(800, []));
    history.checkRead(read(1_210, [value]));
    assert(history.isExpiring(value.id, { fromMs: 1_210, untilMs: 1_210 }));
    assert.throws(() => history.checkRead(read(1_211, [value])), /whose life of 1000 ms had ended/);
    assert(!history.isExpiring(value.id, { fromMs: 1_211, untilMs: 1_250 }));
  });

  it("takes a value that a read no longer shows for replaced only where its life has not ended", () => {
    for (const ttlMs of [undefined, 100]) {
      const history = new History({ replicationFactor: 3, writeQuorum: 2 }, undefined, { clockSkewMs: () => 50 });
      const value = write(history, { startedMs: 0, kind: "sibling", ...(ttlMs === undefined ? {} : { ttlMs }) });
      onDisk(history, value, dot(A, 1));
      write(history, { startedMs: 12, isDelete: true, kind: "overwrite" }, { outcome: "unknown" });
      history.checkRead(read(60, [], { context: knowing(dot(A, 1)) }));
      const again = () => history.checkRead(read(80, [value], { context: knowing(dot(A, 1)) }));
      if (ttlMs === undefined) assert.throws(again, /replaced for good/);
      else again();
    }
  });

  it("knows of a key whether a value may stand, other than by the write that asks", () => {
    const history = createHistory();
    const creation = write(history, { startedMs: 0 }, { outcome: "running" });
    assert(!history.mayHaveValue(KEY, creation));
    assert(history.mayHaveValue(KEY, undefined));
    write(history, { startedMs: 1, isDelete: true });
    write(history, { startedMs: 1 }, { outcome: "none" });
    assert(!history.mayHaveValue(KEY, creation));
    write(history, { startedMs: 2 });
    assert(history.mayHaveValue(KEY, creation));
  });
});
