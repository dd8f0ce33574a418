/** What a member votes whose votes may be lost. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { LOSS_KEY } from "../../node/core/identity.ts";
import { metaKey } from "../../node/core/keyspace.ts";
import type { AgreementRequest } from "../../node/messages.ts";
import { AgreementWorld, ask } from "./agreement-world.ts";

const PROMISE: AgreementRequest = { kind: "promise", epoch: 2, ballot: { round: 1, proposer: "n1" } };

async function started(count: number): Promise<AgreementWorld> {
  const made = new AgreementWorld(1, count);
  await made.startAll();
  return made;
}

describe("a member whose store lost a part of its log", () => {
  /** Ends it; on its disk the vote is gone, and the engine says that something is. */
  async function loseVote(members: AgreementWorld, name: string): Promise<void> {
    const { running } = members.named(name);
    assert(running !== undefined);
    let isDone = false;
    const lose = async (): Promise<void> => {
      await running.engine.batch([{ kind: "delete", key: metaKey("vote") }], { sync: true });
      await running.engine.batch([{ kind: "put", key: LOSS_KEY, value: Uint8Array.of(1) }], { sync: true });
      isDone = true;
    };
    void lose();
    await members.simulator.runWhile(() => !isDone, 1_000);
    members.crash(name, "process");
  }

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
});
