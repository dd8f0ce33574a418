/** What a member votes whose votes may be lost. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { LOSS_KEY } from "../../node/core/identity.ts";
import { metaKey, wholeRange } from "../../node/core/keyspace.ts";
import { parseRing } from "../../node/core/ring/parse-document.ts";
import type { AgreementRequest } from "../../node/messages.ts";
import type { Engine, EngineWrite, Entry } from "../../node/ports.ts";
import type { SimulatedDisk } from "../sim/disk.ts";
import { AgreementWorld, ask } from "./agreement-world.ts";

const PROMISE: AgreementRequest = { kind: "promise", epoch: 2, ballot: { round: 1, proposer: "n1" } };

async function started(count: number): Promise<AgreementWorld> {
  const made = new AgreementWorld(1, count);
  await made.startAll();
  return made;
}

describe("a member whose store lost a part of its log", () => {
  /** Does something with its store, and ends it; the engine says that a part of the log is lost. */
  async function loseOf(members: AgreementWorld, name: string, lost: readonly EngineWrite[]): Promise<void> {
    const { running } = members.named(name);
    assert(running !== undefined);
    let isDone = false;
    const lose = async (): Promise<void> => {
      await running.engine.batch(lost, { sync: true });
      await running.engine.batch([{ kind: "put", key: LOSS_KEY, value: Uint8Array.of(1) }], { sync: true });
      isDone = true;
    };
    void lose();
    await members.simulator.runWhile(() => !isDone, 1_000);
    members.crash(name, "process");
  }

  /** Of all that is on its disk the vote is lost. */
  const loseVote = (members: AgreementWorld, name: string) =>
    loseOf(members, name, [{ kind: "delete", key: metaKey("vote") }]);

  it("votes no more for the epoch for which it may have voted, also when it is started again, and then for the next", async () => {
    const members = await started(3);
    assert.equal((await ask(members, "n1", PROMISE)).vote, "yes");
    await loseVote(members, "n1");
    for (let start = 0; start < 2; start++) {
      await members.start("n1");
      assert.equal((await ask(members, "n1", PROMISE)).vote, "not a voter");
      members.crash("n1", "process");
    }
    await members.start("n1");
    const next = members.propose("n2");
    await members.settle(next);
    assert.equal(next.result, true);
    assert.equal((await ask(members, "n1", { ...PROMISE, epoch: 3 })).vote, "yes");
  });

  it("votes on where nobody else does: the ring could never change again", async () => {
    const members = await started(1);
    await loseVote(members, "n1");
    await members.start("n1");
    const next = members.propose("n1");
    await members.settle(next);
    assert.equal(next.result, true);
  });

  it("votes no more for that epoch either where its log held the ring before it as well: an epoch has one ring", async () => {
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
    await loseOf(members, "n2", lostWithLog());
    await members.start("n2");
    // By the ring that it has, which may be an old one: then it is told of the newer.
    await members.settle(members.propose("n2"));
    assert.equal(members.named("n2").running?.rings.current()?.epoch, 2);
    await members.settle(members.propose("n3"));
    assert.equal(members.inForce.get(3)?.size, 1);
  });
});

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
