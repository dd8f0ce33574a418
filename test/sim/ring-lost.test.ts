/** A member whose store lost all that was in its log, which held a vote and had held the ring before it. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { LOSS_KEY } from "../../node/core/identity.ts";
import { wholeRange } from "../../node/core/keyspace.ts";
import { parseRing } from "../../node/core/ring/parse-document.ts";
import type { Engine, EngineWrite, Entry } from "../../node/ports.ts";
import { AgreementWorld } from "../services/agreement-world.ts";
import type { SimulatedDisk } from "./disk.ts";

/** Gives what undoes all that is in a disk's log: what was written since its store was opened, or flushed. */
function watchLog(disk: SimulatedDisk): () => readonly EngineWrite[] {
  let tables: readonly Entry[] = [];
  const all = () => disk.entries({ ...wholeRange(), limit: 10_000 });
  const open = disk.open.bind(disk);
  disk.open = (): Engine => {
    const engine = open();
    tables = all();
    const flush = engine.flush.bind(engine);
    engine.flush = async () => {
      await flush();
      tables = all();
    };
    return engine;
  };
  return () => [
    ...all().map(({ key }) => ({ kind: "delete", key }) as const),
    ...tables.map(({ key, value }) => ({ kind: "put", key, value }) as const),
  ];
}

/** Ends a member; of its store this is lost, and the engine says that something is. */
async function endWithLoss(members: AgreementWorld, name: string, lost: readonly EngineWrite[]): Promise<void> {
  const { running } = members.named(name);
  assert(running !== undefined);
  let isDone = false;
  const lose = async (): Promise<void> => {
    await running.engine.batch([...lost, { kind: "put", key: LOSS_KEY, value: Uint8Array.of(1) }], { sync: true });
    isDone = true;
  };
  void lose();
  await members.simulator.runWhile(() => !isDone, 1_000);
  members.crash(name, "process");
}

describe("a member whose log, of which all is lost, held its vote and the ring before it", () => {
  it("votes no more for the epoch for which it had voted: that has one ring", async () => {
    const members = new AgreementWorld(1, 3);
    const lostWithLog = watchLog(members.named("n2").disk);
    await members.startAll();
    // What it wrote so far is in tables once it starts anew.
    members.crash("n2", "process");
    await members.start("n2");
    const second = members.propose("n1");
    await members.settle(second);
    for (const name of ["n2", "n3"]) void members.named(name).running?.rings.adopt(parseRing(second.document), "test");
    await members.simulator.runUntil(members.simulator.nowMs + 1_000);
    // n1 and n2 choose the third; only n1 hears that they did, and goes.
    members.passes = ({ from, to, message }) =>
      from !== "n3" && to !== "n3" && message.kind !== "gossip" && message.kind !== "gossiped";
    const third = members.propose("n1");
    await members.settle(third);
    assert.equal(third.result, true);
    members.crash("n1", "process");
    members.passes = () => true;
    await endWithLoss(members, "n2", lostWithLog());
    await members.start("n2");
    // By the ring that it has, which may be an old one: then it is told of the newer.
    await members.settle(members.propose("n2"));
    assert.equal(members.named("n2").running?.rings.current()?.epoch, 2);
    await members.settle(members.propose("n3"));
    assert.equal(members.inForce.get(3)?.size, 1);
  });
});
