import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { accept, blankVote, parseVote, promise, serializeVote } from "../../../node/core/paxos/acceptor.ts";
import { type Ballot, compareBallots } from "../../../node/core/paxos/ballot.ts";
import { beginProposal, documentOf, hearWord, type Proposal } from "../../../node/core/paxos/proposer.ts";
import { PaxosWorld, type Rules, SHIPPED } from "./paxos-world.ts";

const anyBallot: fc.Arbitrary<Ballot> = fc.record(
  { round: fc.integer({ min: 1, max: 4 }), proposer: fc.constantFrom("a", "b", "c") },
  { noNullPrototype: true },
);

type Step = { readonly kind: "begin" | "deliver" | "repeat" | "lose" | "forget"; readonly pick: number };
const anyStep: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.constant("begin" as const) },
    { weight: 30, arbitrary: fc.constant("deliver" as const) },
    { weight: 3, arbitrary: fc.constant("repeat" as const) },
    { weight: 3, arbitrary: fc.constant("lose" as const) },
    { weight: 2, arbitrary: fc.constant("forget" as const) },
  ),
  pick: fc.nat({ max: 1_000_000 }),
});
const anyRun = fc.record({
  acceptors: fc.integer({ min: 3, max: 5 }),
  proposers: fc.integer({ min: 2, max: 3 }),
  steps: fc.array(anyStep, { minLength: 20, maxLength: 150 }),
});
type Run = typeof anyRun extends fc.Arbitrary<infer T> ? T : never;

function run({ acceptors, proposers, steps }: Run, rules: Rules = SHIPPED): PaxosWorld {
  const world = new PaxosWorld(acceptors, rules);
  const names = ["p0", "p1", "p2"].slice(0, proposers);
  for (const name of names) world.begin(name);
  for (const { kind, pick } of steps) {
    const name = names[pick % proposers] as string;
    if (kind === "begin") world.begin(name);
    else if (kind === "forget") {
      world.forget(name);
      world.begin(name);
    } else if (world.bag.length > 0) {
      const at = pick % world.bag.length;
      const [message] = kind === "repeat" ? world.bag.slice(at) : world.bag.splice(at, 1);
      if (message !== undefined && kind !== "lose") world.deliver(message);
    }
  }
  return world;
}

/** Only these voters live on, and only one proposer; gives how many ballots it took. */
function finishAlone(world: PaxosWorld, live: readonly string[]): number {
  world.bag.length = 0;
  for (let ballots = 1; ballots <= 20; ballots++) {
    const attempt = world.begin("p0");
    for (let message = world.bag.shift(); message !== undefined; message = world.bag.shift()) {
      if (message.kind === "word" || live.includes(message.to)) world.deliver(message);
      else {
        const { attempt: of, to: from, kind: asked } = message;
        world.deliver({ kind: "word", attempt: of, from, asked, word: undefined });
      }
    }
    if (world.stageOf(attempt) === "chosen") return ballots;
  }
  return Number.POSITIVE_INFINITY;
}

describe("members that choose the document of an epoch", () => {
  it("never choose two, whatever is lost, doubled, overtaken or forgotten by proposers", () => {
    let [chosen, carriedOn] = [0, 0];
    fc.assert(
      fc.property(anyRun, (steps) => {
        const world = run(steps);
        assert(world.chosen.size <= 1, `chosen: ${[...world.chosen].join(", ")}`);
        assert.equal(world.ambiguous, 0);
        chosen += world.chosen.size;
        carriedOn += world.carriedOn;
      }),
      { numRuns: 2_000 },
    );
    assert(chosen > 200, `only ${chosen} runs chose anything`);
    assert(carriedOn > 20, `only ${carriedOn} ballots carried on what another began`);
  });

  it("end with one proposer and a majority, with what was chosen before if anything was", () => {
    fc.assert(
      fc.property(anyRun, fc.nat(), (steps, first) => {
        const world = run(steps);
        const before = [...world.chosen];
        const count = Math.floor(steps.acceptors / 2) + 1;
        const live = Array.from({ length: count }, (_, index) => world.voters[(first + index) % steps.acceptors] ?? "");
        const ballots = finishAlone(world, live);
        assert(ballots <= count + 1, `it took ${ballots} ballots`);
        assert.equal(world.chosen.size, 1);
        if (before.length > 0) assert.deepEqual([...world.chosen], before);
      }),
      { numRuns: 500 },
    );
  });

  it("would choose two if a rule were left out", () => {
    const broken: Record<string, Rules> = {
      "a ballot is promised twice": {
        ...SHIPPED,
        promise: (vote, ballot) =>
          vote.promised !== undefined && compareBallots(ballot, vote.promised) < 0
            ? undefined
            : { ...vote, promised: ballot },
      },
      "a promise binds nobody": { ...SHIPPED, accept: (vote, accepted) => ({ ...vote, accepted }) },
      "a promise forgets what was accepted": {
        ...SHIPPED,
        promise: (vote, ballot) => promise({ ...vote, accepted: undefined }, ballot),
      },
    };
    for (const [rule, rules] of Object.entries(broken)) {
      const isSafe = fc.property(anyRun, (steps) => {
        const world = run(steps, rules);
        return world.chosen.size <= 1 && world.ambiguous === 0;
      });
      assert(fc.check(isSafe, { numRuns: 5_000, seed: 1, endOnFailure: true }).failed, `not noticed: ${rule}`);
    }
  });
});

describe("a ballot", () => {
  it("is above another by its round, then by its proposer's name", () => {
    const sorted = [
      { round: 2, proposer: "a" },
      { round: 1, proposer: "b" },
      { round: 1, proposer: "a" },
      { round: 10, proposer: "a" },
    ].sort(compareBallots);
    assert.deepEqual(
      sorted.map(({ round, proposer }) => `${round}${proposer}`),
      ["1a", "1b", "2a", "10a"],
    );
    assert.equal(compareBallots({ round: 1, proposer: "a" }, { round: 1, proposer: "a" }), 0);
  });
});

describe("a vote", () => {
  it("comes back from the disk as it was, and from other bytes not at all", () => {
    const anyVote = fc.record(
      {
        epoch: fc.nat(),
        promised: fc.option(anyBallot, { nil: undefined }),
        accepted: fc.option(fc.record({ ballot: anyBallot, document: fc.string() }, { noNullPrototype: true }), {
          nil: undefined,
        }),
      },
      { noNullPrototype: true },
    );
    fc.assert(fc.property(anyVote, (vote) => assert.deepEqual(parseVote(serializeVote(vote)), vote)));
    for (const text of ["", "{}", "7", "[]", '["2",null,null,null,null,null]', "[2,1,null,null,null,null]"]) {
      assert.equal(parseVote(text), undefined);
    }
    assert.equal(parseVote('[2,1,"a",1,"a",null]'), undefined);
  });

  it("accepts the ballot that it promised, again too, and none below", () => {
    const vote = promise(blankVote(2), { round: 2, proposer: "b" });
    assert(vote !== undefined);
    assert.equal(promise(vote, { round: 2, proposer: "b" }), undefined);
    assert.equal(accept(vote, { ballot: { round: 2, proposer: "a" }, document: "x" }), undefined);
    const accepted = accept(vote, { ballot: { round: 2, proposer: "b" }, document: "x" });
    assert(accepted !== undefined);
    assert.deepEqual(accept(accepted, { ballot: { round: 2, proposer: "b" }, document: "x" }), accepted);
  });
});

describe("a proposal", () => {
  const promised = (proposal: Proposal, from: string, round?: number) =>
    hearWord(proposal, {
      from,
      asked: "promise",
      word: {
        isYes: true,
        promised: proposal.ballot,
        accepted: round === undefined ? undefined : { ballot: { round, proposer: "z" }, document: `of ${round}` },
      },
    });

  it("carries on what the highest ballot had accepted, and only what promises brought", () => {
    let proposal = beginProposal({ round: 9, proposer: "p" }, ["a", "b", "c", "d", "e"], "mine");
    const refusal = {
      isYes: false,
      promised: undefined,
      accepted: { ballot: { round: 8, proposer: "z" }, document: "8" },
    };
    proposal = hearWord(proposal, { from: "a", asked: "promise", word: refusal });
    for (const [from, round] of [
      ["b", 3],
      ["c", 5],
      ["d", undefined],
    ] as const) {
      assert.equal(proposal.stage, "promise");
      proposal = promised(proposal, from, round);
    }
    assert.deepEqual([proposal.stage, documentOf(proposal)], ["accept", "of 5"]);
    assert.equal(promised(proposal, "e", 7), proposal);
  });

  it("is lost as soon as no majority can come any more, and remembers how high the others were", () => {
    let proposal = beginProposal({ round: 1, proposer: "p" }, ["a", "b", "c"], "mine");
    proposal = hearWord(proposal, { from: "a", asked: "promise", word: undefined });
    assert.equal(proposal.stage, "promise");
    const refusal = { isYes: false, promised: { round: 6, proposer: "q" }, accepted: undefined };
    proposal = hearWord(proposal, { from: "b", asked: "promise", word: refusal });
    assert.deepEqual([proposal.stage, proposal.highestRound], ["lost", 6]);
    assert.equal(beginProposal({ round: 1, proposer: "p" }, [], "mine").stage, "lost");
  });

  it("counts each voter once", () => {
    let proposal = beginProposal({ round: 1, proposer: "p" }, ["a", "b", "c"], "mine");
    proposal = promised(promised(proposal, "a"), "a");
    assert.equal(proposal.stage, "promise");
  });
});
