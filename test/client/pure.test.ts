/** The parts of the client library that decide: its budget, its choice of a node, its judgement of an answer. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { Budget } from "../../node/client/budget.ts";
import { newName } from "../../node/client/names.ts";
import { parseClientRing } from "../../node/client/ring-answer.ts";
import { type Candidate, chooseNode, type Wish } from "../../node/client/route.ts";
import { bodyOf, json, parseReceipt } from "../../node/client/values.ts";
import { awayMs, judge, pauseMs } from "../../node/client/verdict.ts";
import { ringOf } from "./fake-cluster.ts";

describe("a budget of repetitions", () => {
  it("never gives more than a full bucket, a share of the requests, and so many a second", () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant("deposit" as const), afterMs: fc.nat(50) }),
        fc.record({ kind: fc.constant("withdraw" as const), afterMs: fc.nat(50) }),
      ),
      { maxLength: 300 },
    );
    const shapes = fc.record({
      ratio: fc.double({ min: 0, max: 1, noNaN: true }),
      perSecond: fc.nat(20),
      tokensMax: fc.nat(30),
    });
    fc.assert(
      fc.property(shapes, steps, (options, events) => {
        let nowMs = 0;
        let [requests, given] = [0, 0];
        const budget = new Budget(options, nowMs);
        for (const { kind, afterMs } of events) {
          nowMs += afterMs;
          if (kind === "deposit") {
            requests += 1;
            budget.deposit();
          } else if (budget.tryWithdraw(nowMs)) given += 1;
          const bound = options.tokensMax + requests * options.ratio + (nowMs / 1000) * options.perSecond;
          assert.ok(given <= bound + 1e-6, `${given} of at most ${bound}`);
          assert.ok(budget.tokens >= 0 && budget.tokens <= options.tokensMax);
        }
      }),
      { seed: 8, numRuns: 300 },
    );
  });

  it("gives again what time and requests have put in", () => {
    const budget = new Budget({ ratio: 0.5, perSecond: 1, tokensMax: 1 }, 0);
    assert.deepEqual([budget.tryWithdraw(0), budget.tryWithdraw(0)], [true, false]);
    budget.deposit();
    budget.deposit();
    assert.deepEqual([budget.tryWithdraw(0), budget.tryWithdraw(999), budget.tryWithdraw(1_001)], [true, false, true]);
    assert.equal(budget.tryWithdraw(500), false, "time that goes back gives nothing");
  });
});

type Named = Candidate & { readonly name: string };

const candidates = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-z]{1,2}$/),
    zone: fc.constantFrom("a", "b", undefined),
    inFlight: fc.nat(3),
    awayUntilMs: fc.constantFrom(0, 500, 2_000),
  }),
  { selector: ({ name }) => name, maxLength: 8 },
);

describe("the choice of a node", () => {
  it("takes a home that can be asked where there is one, and the first for a blind write", () => {
    const choices = fc.record({
      all: candidates,
      homeCount: fc.nat(4),
      triedCount: fc.nat(3),
      wish: fc.constantFrom<Wish>("first", "near"),
      turn: fc.nat(100),
    });
    fc.assert(
      fc.property(choices, ({ all, homeCount, triedCount, wish, turn }) => {
        const homes: readonly Named[] = all.slice(0, homeCount);
        const tried = new Set<Named>(all.slice(0, triedCount));
        const chosen = chooseNode({ homes, all: all as readonly Named[], tried, wish, zone: "a", nowMs: 1_000, turn });
        const left = all.filter((node) => !tried.has(node));
        assert.equal(chosen === undefined, left.length === 0, "as long as one was not tried there is one to ask");
        if (chosen === undefined) return;
        assert.ok(!tried.has(chosen));
        const askable = (nodes: readonly Named[]) =>
          nodes.filter((node) => !tried.has(node) && node.awayUntilMs <= 1_000);
        const among = askable(homes).length > 0 ? askable(homes) : askable(all);
        if (among.length === 0) {
          assert.equal(chosen.awayUntilMs, Math.min(...left.map(({ awayUntilMs }) => awayUntilMs)));
          return;
        }
        assert.ok(among.includes(chosen));
        if (wish === "first" && askable(homes).length > 0) return assert.equal(chosen, among[0]);
        const near = among.filter(({ zone }) => zone === "a");
        const equals = near.length > 0 ? near : among;
        assert.ok(equals.includes(chosen));
        assert.equal(chosen.inFlight, Math.min(...equals.map(({ inFlight }) => inFlight)));
      }),
      { seed: 8, numRuns: 500 },
    );
  });

  it("goes round among equals", () => {
    const all: readonly Named[] = ["a", "b", "c"].map((name) => ({
      name,
      zone: undefined,
      inFlight: 0,
      awayUntilMs: 0,
    }));
    const at = (turn: number) =>
      chooseNode<Named>({ homes: all, all, tried: new Set<Named>(), wish: "near", zone: undefined, nowMs: 0, turn })
        ?.name;
    assert.deepEqual([0, 1, 2, 3].map(at), ["a", "b", "c", "a"]);
  });
});

describe("the judgement of an answer", () => {
  const answered = (status: number, type = "", outcome?: string) => judge({ kind: "answered", status, type, outcome });

  it("repeats what another node, or a moment, may change, and nothing else", () => {
    for (const status of [200, 204, 300, 404, 400, 401, 403, 405, 409, 412, 413]) {
      assert.equal(answered(status).next, "settled", String(status));
    }
    assert.deepEqual(
      [429, 500, 507, 503, 504].map((status) => answered(status, "", "none").next),
      ["elsewhere", "elsewhere", "elsewhere", "later", "later"],
    );
    assert.equal(answered(503, "annulus:NOT_READY", "none").next, "elsewhere");
  });

  it("takes for unknown what does not say that nothing was written", () => {
    assert.equal(answered(503, "", "none").isUnknown, false);
    assert.equal(answered(503, "", "unknown").isUnknown, true);
    assert.equal(answered(500).isUnknown, true);
    assert.equal(answered(429).isUnknown, false);
    const silent = (isUnsent: boolean, isNobodyThere: boolean, isUnasked = false) =>
      judge({ kind: "silent", isUnsent, isNobodyThere, isUnasked });
    assert.equal(silent(false, false).isUnknown, true);
    const unsent = { next: "elsewhere", isFree: true, isAway: true, isUnknown: false };
    assert.deepEqual(silent(true, true), unsent);
    // A handshake that failed wrote nothing, but was work.
    assert.deepEqual(silent(true, false), { ...unsent, isFree: false });
    // It waited for a connection of the client's own: the node had no part in it.
    assert.deepEqual(silent(true, false, true), { ...unsent, isAway: false });
  });

  it("waits longer each time, within bounds, never in step", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, random) => {
        assert.ok(pauseMs(attempts, random) <= 1_000 && pauseMs(attempts, random) >= 12.5);
        assert.ok(pauseMs(attempts + 1, random) >= pauseMs(attempts, random));
        assert.ok(awayMs(attempts, random) <= 10_000 && awayMs(attempts, random) >= 125);
      }),
      { seed: 8 },
    );
    assert.notEqual(pauseMs(3, 0), pauseMs(3, 1));
  });
});

describe("what nodes and callers say", () => {
  it("is a ring, or nothing", () => {
    const ring = ringOf(3, ["n1", "n2", "n3"]);
    assert.deepEqual(parseClientRing(JSON.stringify(ring)), ring);
    for (const wrong of ["", "null", "[]", "{}", '"x"']) assert.equal(parseClientRing(wrong), undefined, wrong);
    const broken = [
      { partitions: 3 },
      { epoch: 0 },
      { preferenceLists: [["n1"]] },
      { members: [{}] },
      { members: [null] },
    ];
    for (const part of broken) {
      assert.equal(parseClientRing(JSON.stringify({ ...ring, ...part })), undefined, JSON.stringify(part));
    }
  });

  it("is content with its type, and a receipt", () => {
    assert.deepEqual(bodyOf("ä"), { body: Buffer.from("ä"), contentType: "text/plain; charset=utf-8" });
    assert.deepEqual(bodyOf(json({ a: 1 })), { body: Buffer.from('{"a":1}'), contentType: "application/json" });
    assert.equal(bodyOf(new Uint8Array([0])).contentType, "application/octet-stream");
    const receipt = { acks: 2, asked: 3, zones: 2, hinted: 0, durability: "os" };
    assert.deepEqual(parseReceipt("acks=2; asked=3; zones=2; hinted=0; durability=os"), receipt);
    assert.equal(parseReceipt(undefined), undefined);
  });
});

describe("the names of writes", () => {
  it("are short, fit a header, and are never the same", () => {
    const names = Array.from({ length: 2_000 }, newName);
    for (const name of names) assert.match(name, /^[\w-]{12}$/);
    assert.equal(new Set(names).size, names.length);
  });
});
