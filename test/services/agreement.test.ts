/** How members choose the next ring, over lost messages, crashes, exchanged disks and cuts. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { metaKey } from "../../node/core/keyspace.ts";
import { serializeVote } from "../../node/core/paxos/acceptor.ts";
import { serializeRing } from "../../node/core/ring/document.ts";
import { seal } from "../../node/core/seal.ts";
import type { AgreementRequest } from "../../node/messages.ts";
import { AgreementWorld, ask, type Outcome } from "./agreement-world.ts";

const BALLOT = { round: 1, proposer: "n1" };
/** Troubled worlds that are tried. */
const SEEDS = 40;
const PROMISE: AgreementRequest = { kind: "promise", epoch: 2, ballot: BALLOT };

async function world(count: number, seed = 1): Promise<AgreementWorld> {
  const made = new AgreementWorld(seed, count);
  await made.startAll();
  return made;
}

function failed({ result }: Outcome): { code: string; outcome: string } {
  assert(result instanceof KvError, `expected an error, found ${result}`);
  return { code: result.code, outcome: result.outcome };
}

/** Only these reach each other. */
function cutOff(members: AgreementWorld, ...side: readonly string[]): void {
  members.passes = ({ from, to }) => side.includes(from) === side.includes(to);
}

describe("two members that propose at once", () => {
  it("have one of the two chosen, and both go by it in the end, as does everybody", async () => {
    const winners = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const members = await world(3 + 2 * (seed % 2), seed);
      const both = [members.propose("n1"), members.propose("n2")];
      await members.settle(...both);
      const won = both.filter(({ result }) => result === true);
      assert.equal(won.length, 1, `seed ${seed}: ${both.map(({ result }) => result).join(" and ")}`);
      assert.equal(both.filter(({ result }) => result === false).length, 1);
      assert.deepEqual(new Set(members.documents()), new Set([won[0]?.document]));
      winners.add(won[0]?.by ?? "");
    }
    assert.deepEqual([...winners].sort(), ["n1", "n2"]);
  });

  it("from one member are two proposals as well", async () => {
    const members = await world(3);
    const both = [members.propose("n1"), members.propose("n1")];
    await members.settle(...both);
    assert.deepEqual(both.map(({ result }) => result).sort(), [false, true]);
  });

  it("of the same document both hear that it was chosen", async () => {
    const members = await world(3);
    const document = members.next("n1");
    const both = [members.propose("n1", document), members.propose("n2", document)];
    await members.settle(...both);
    assert.deepEqual(
      both.map(({ result }) => result),
      [true, true],
    );
  });
});

describe("a proposer that dies", () => {
  it("after its document was accepted leaves it to the next proposer, who carries it on", async () => {
    const members = await world(3);
    // The words of those who accepted do not come back.
    members.passes = ({ to, message }) => !(to === "n1" && message.kind === "voted" && isAfterAccept(members));
    const first = members.propose("n1");
    await members.simulator.runUntil(members.simulator.nowMs + 500);
    members.crash("n1", "machine");
    assert.equal(first.result, undefined);
    members.passes = () => true;
    const second = members.propose("n2");
    await members.settle(second);
    assert.equal(second.result, false);
    assert.deepEqual(members.documents(), [undefined, first.document, first.document]);
    await members.start("n1");
    const third = members.propose("n1", { ...members.first, epoch: 2, mode: "sloppy" });
    await members.settle(third);
    assert.equal(third.result, false);
    assert.deepEqual(new Set(members.documents()), new Set([first.document]));
  });

  it("before anybody accepted leaves nothing", async () => {
    const members = await world(3);
    members.passes = ({ message }) => message.kind !== "accept";
    const first = members.propose("n1");
    await members.simulator.runUntil(members.simulator.nowMs + 100);
    members.crash("n1", "process");
    members.passes = () => true;
    const second = members.propose("n3");
    await members.settle(second);
    assert.deepEqual([first.result, second.result], [undefined, true]);
  });
});

/** Whether a voter other than n1 has accepted something, as its disk says. */
function isAfterAccept(members: AgreementWorld): boolean {
  return members.members.slice(1).some(({ disk }) => {
    const [entry] = disk.entries({ from: metaKey("vote"), until: metaKey("votf"), limit: 1 });
    return entry !== undefined && Buffer.from(entry.value).includes("replicationFactor");
  });
}

describe("a member whose disk was exchanged", () => {
  it("does not vote, neither before it is rebuilt nor after, until the ring lists it", async () => {
    const members = await world(3);
    // n1 and n2 accept; n1 dies before it knows, n3 heard nothing: the choice is on two disks, one of which is lost.
    members.passes = ({ from, to, message }) =>
      from !== "n3" && to !== "n3" && !(to === "n1" && message.kind === "voted" && isAfterAccept(members));
    const first = members.propose("n1");
    await members.simulator.runUntil(members.simulator.nowMs + 500);
    members.crash("n1", "machine");
    members.crash("n2", "machine");
    members.named("n2").disk.wipe();
    members.passes = () => true;
    const { identity } = await members.start("n2", members.first, { isRebuilding: true });
    const second = members.propose("n3");
    await members.settle(second);
    assert.deepEqual(failed(second), { code: "QUORUM_UNAVAILABLE", outcome: "none" });
    assert.equal((await ask(members, "n2", PROMISE)).vote, "not a voter");
    void identity.endRebuilding();
    await members.simulator.runUntil(members.simulator.nowMs + 100);
    assert.equal(identity.isRebuilding(), false);
    members.crash("n2", "process");
    const { identity: rebuilt } = await members.start("n2");
    assert.equal((await ask(members, "n2", PROMISE)).vote, "not a voter");

    await members.start("n1");
    const third = members.propose("n3");
    await members.settle(third);
    assert.equal(third.result, false);
    assert.deepEqual(new Set(members.documents()), new Set([first.document]));

    const { members: listed, ...rest } = members.next("n3");
    const enrolled = listed.map((member) => (member.name === "n2" ? { ...member, actor: rebuilt.actor } : member));
    const fourth = members.propose("n3", { ...rest, members: enrolled });
    await members.settle(fourth);
    assert.equal(fourth.result, true);
    assert.equal((await ask(members, "n2", { ...PROMISE, epoch: 4 })).vote, "yes");
  });

  it("does not vote when the ring lists the directory of before", async () => {
    const members = new AgreementWorld(1, 3);
    const actor = "0".repeat(32);
    const listed = members.first.members.map((member) => (member.name === "n1" ? { ...member, actor } : member));
    await members.start("n1", { ...members.first, members: listed });
    assert.equal((await ask(members, "n1", PROMISE)).vote, "not a voter");
  });

  it("or whose vote is damaged, votes no more for that epoch", async () => {
    const members = await world(3);
    assert.equal((await ask(members, "n1", PROMISE)).vote, "yes");
    members.crash("n1", "process");
    assert(members.named("n1").disk.flipBit(metaKey("vote")));
    await members.start("n1");
    const higher = { round: 7, proposer: "n2" };
    assert.equal((await ask(members, "n1", { ...PROMISE, ballot: higher })).vote, "not a voter");
    const next = members.propose("n2");
    await members.settle(next);
    assert.equal(next.result, true);
    assert.equal((await ask(members, "n1", { ...PROMISE, epoch: 3 })).vote, "yes");
  });
});

describe("members of which too many have lost their disks", () => {
  it("choose nothing any more, and say who may not vote, and that it is for good", async () => {
    const members = await world(3);
    for (const name of ["n2", "n3"]) {
      members.crash(name, "machine");
      members.named(name).disk.wipe();
      await members.start(name, members.first, { isRebuilding: true });
    }
    const outcome = members.propose("n1");
    await members.settle(outcome);
    assert.deepEqual(failed(outcome), { code: "QUORUM_UNAVAILABLE", outcome: "none" });
    assert.equal(
      (outcome.result as KvError).message,
      "Cannot have the ring of epoch 2 chosen: 2 of the 3 members that vote are needed, and n2, n3 may not vote: the ring lists another data directory, or a vote may be forgotten there. Waiting alone mends nothing: see annulus doctor.",
    );
  });
});

describe("members that are cut off", () => {
  it("choose nothing while they are a minority, and say so", async () => {
    const members = await world(5);
    cutOff(members, "n1", "n2");
    const [few, many] = [members.propose("n1"), members.propose("n3")];
    await members.settle(few, many);
    assert.deepEqual(failed(few), { code: "QUORUM_UNAVAILABLE", outcome: "none" });
    assert.equal(many.result, true);
    members.passes = () => true;
    const late = members.propose("n2");
    await members.settle(late);
    assert.equal(late.result, false);
    const [first, second, ...rest] = members.documents();
    assert.deepEqual(new Set([second, ...rest]), new Set([many.document]));
    assert.equal(first, serializeRing(members.first));
  });

  it("in the middle of a ballot cannot tell what came of it", async () => {
    const members = await world(3);
    members.passes = ({ message }) => message.kind !== "accept";
    const outcome = members.propose("n1");
    await members.settle(outcome);
    assert.deepEqual(failed(outcome), { code: "TIMED_OUT", outcome: "unknown" });
  });
});

describe("a voter", () => {
  it("remembers what it promised when its machine went down the moment it had answered", async () => {
    const members = await world(3);
    assert.equal((await ask(members, "n1", PROMISE)).vote, "yes");
    members.crash("n1", "machine");
    await members.start("n1");
    assert.equal((await ask(members, "n1", PROMISE)).vote, "no");
    const document = serializeRing(members.next("n1"));
    assert.equal((await ask(members, "n1", { ...PROMISE, kind: "accept", document })).vote, "yes");
    members.crash("n1", "machine");
    await members.start("n1");
    const ballot = { round: 2, proposer: "n2" };
    assert.equal((await ask(members, "n1", { ...PROMISE, ballot })).accepted?.document, document);
  });

  it("gives no vote that its disk did not take", async () => {
    const members = await world(3);
    members.named("n1").disk.failNextWrite();
    assert.equal((await ask(members, "n1", PROMISE)).code, "STORAGE_FAILED");
  });

  it("gives two votes asked for at once one after the other", async () => {
    const members = await world(3);
    const words = [2, 2, 1].map((round) => ask(members, "n1", { ...PROMISE, ballot: { round, proposer: "n2" } }));
    assert.deepEqual(
      (await Promise.all(words)).map(({ vote }) => vote),
      ["yes", "no", "no"],
    );
  });

  it("votes for the next epoch only", async () => {
    const members = await world(3);
    assert.equal((await ask(members, "n1", { ...PROMISE, epoch: 3 })).vote, "behind");
    const next = members.propose("n1");
    await members.settle(next);
    assert.deepEqual(await ask(members, "n1", PROMISE), {
      kind: "voted",
      vote: "no",
      promised: undefined,
      accepted: undefined,
      newer: next.document,
    });
  });

  it("accepts only a document of the epoch, written the one way", async () => {
    const members = await world(3);
    const document = members.next("n1");
    for (const text of ["", "{}", serializeRing(members.first), `${serializeRing(document)} `]) {
      assert.equal((await ask(members, "n1", { ...PROMISE, kind: "accept", document: text })).code, "INVALID_REQUEST");
    }
  });

  it("is none who the ring does not list, or who has nothing to lose any more", async () => {
    const members = new AgreementWorld(1, 4);
    const listed = members.first.members.map((member) =>
      member.name === "n1" ? { ...member, isDestroyed: true as const } : member,
    );
    await members.start("n1", { ...members.first, members: listed });
    assert.equal((await ask(members, "n1", PROMISE)).vote, "not a voter");
  });
});

describe("a proposal", () => {
  it("is for the epoch after the present one", async () => {
    const members = await world(3);
    const document = members.next("n1");
    const [early, late] = [
      members.propose("n1", { ...document, epoch: 1 }),
      members.propose("n1", { ...document, epoch: 3 }),
    ];
    await members.settle(early, late);
    for (const outcome of [early, late]) assert.equal(failed(outcome).code, "STALE_RING");
  });

  it("ends when the node stops", async () => {
    const members = await world(3);
    cutOff(members, "n1");
    const outcome = members.propose("n1");
    members.named("n1").running?.agreement.close();
    await members.settle(outcome);
    assert.equal(failed(outcome).code, "NOT_READY");
  });
});

describe("a document of a later release", () => {
  it("that this one cannot read is never passed over, for it may be chosen", async () => {
    const members = await world(3);
    const accepted = { ballot: { round: 1, proposer: "n2" }, document: '{"from":"a later release"}' };
    const value = seal("vote", serializeVote({ epoch: 2, promised: accepted.ballot, accepted }));
    for (const name of ["n2", "n3"]) {
      const { engine } = members.named(name).running ?? assert.fail("it runs");
      void engine.batch([{ kind: "put", key: metaKey("vote"), value }], { sync: true });
      await members.simulator.runUntil(members.simulator.nowMs + 100);
      members.crash(name, "process");
      await members.start(name);
    }
    const outcome = members.propose("n1");
    await members.settle(outcome);
    assert.deepEqual(failed(outcome), { code: "QUORUM_UNAVAILABLE", outcome: "none" });
  });
});

describe("many proposals under faults", () => {
  it("never put two documents of one epoch in force, keep their word, and go on when the faults end", async () => {
    let [chosen, lost, unknown] = [0, 0, 0];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const members = await world(3 + (seed % 3), seed);
      await troubled(members);
      for (const [epoch, texts] of members.inForce) assert.equal(texts.size, 1, `seed ${seed}, epoch ${epoch}`);
      const all = new Set([...members.inForce.values()].flatMap((texts) => [...texts]));
      for (const { document, result } of members.outcomes) {
        if (result === true) assert(all.has(document), `seed ${seed}: what was chosen is in force`);
        if (result === false) assert(!all.has(document), `seed ${seed}: what lost is in force nowhere`);
        const isSure = result instanceof KvError && result.outcome === "none";
        if (isSure) assert(!all.has(document), `seed ${seed}: ${result.code} without doubt, and yet in force`);
        chosen += result === true ? 1 : 0;
        lost += result === false ? 1 : 0;
        unknown += result instanceof KvError && result.outcome === "unknown" ? 1 : 0;
      }
    }
    assert(chosen > 100 && lost > 50 && unknown > 10, `too tame: ${chosen} chosen, ${lost} lost, ${unknown} unknown`);
  });
});

/** Half a minute of proposals, crashes, cuts and lost messages, then a quiet world in which one more is chosen. */
async function troubled(members: AgreementWorld): Promise<void> {
  const { random, simulator } = members;
  const names = members.members.map(({ name }) => name);
  members.loss = random.between(0, 15);
  members.doubling = random.between(0, 15);
  for (let step = 0; step < 60; step++) {
    const name = random.pick(names);
    const { running } = members.named(name);
    const drawn = random.below(10);
    if (running === undefined && random.chance([1, 5])) members.crash(name, "machine");
    else if (running === undefined) await members.start(name);
    else if (drawn < 6) members.propose(name);
    else if (drawn < 8) members.crash(name, random.pick(["process", "machine"]));
    else if (drawn === 8) cutOff(members, ...random.shuffle(names).slice(0, random.between(1, names.length - 1)));
    else members.passes = () => true;
    await simulator.runUntil(simulator.nowMs + random.between(1, 600));
  }
  members.loss = 0;
  members.passes = () => true;
  for (const { name, running } of members.members) if (running === undefined) await members.start(name);
  await simulator.runUntil(simulator.nowMs + 20_000);
  for (let round = 0; round < 3; round++) {
    for (const name of names) await members.settle(members.propose(name));
    if (members.outcomes.at(-1)?.result === true) return;
  }
  assert.fail(`one proposer in a quiet world is never done: ${members.outcomes.at(-1)?.result}`);
}
