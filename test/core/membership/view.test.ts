/** Who is up, suspect and down, from what is heard and by whom. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { isNewer, type MemberNews } from "../../../node/core/membership/news.ts";
import { MembershipView } from "../../../node/core/membership/view.ts";

const OPTIONS = { intervalMs: 1_000, pauseMs: 3_000, deviationMsMin: 500, phiThreshold: 8 };
const NOBODY = () => false;

function news(name: string, heartbeat: number, more: Partial<MemberNews> = {}): MemberNews {
  return { name, generation: 1, heartbeat, isLeaving: false, suspects: [], ...more };
}

/** The view of `a` in a ring of these members, all of which were heard for a while; the time is 10 s. */
function viewOf(others: readonly string[]): MembershipView {
  const view = new MembershipView("a", 1, OPTIONS);
  view.setMembers(["a", ...others], 0);
  for (let second = 1; second <= 10; second++) {
    for (const name of others) view.hear(news(name, second), second * 1_000);
    view.judge(second * 1_000, NOBODY);
  }
  return view;
}

describe("the view of a member", () => {
  it("suspects whoever is silent, and takes it for down when another member says the same", () => {
    const view = viewOf(["b", "c"]);
    for (let second = 11; second <= 18; second++) {
      view.hear(news("c", second), second * 1_000);
      view.judge(second * 1_000, NOBODY);
    }
    assert.deepEqual([view.health("b"), view.own.suspects], ["suspect", ["b"]]);
    view.hear(news("c", 19, { suspects: ["b"] }), 19_000);
    assert.deepEqual(view.judge(19_000, NOBODY), ["b"]);
    assert.equal(view.health("b"), "down");
    view.hear(news("b", 11), 19_500);
    assert.equal(view.health("b"), "up");
  });

  it("takes two members that fell silent together for down: neither has a say about the other", () => {
    const view = viewOf(["b", "c"]);
    view.judge(18_000, NOBODY);
    assert.deepEqual([view.health("b"), view.health("c")], ["down", "down"]);
  });

  it("believes a member that says it is leaving, until a later run of it is heard of", () => {
    const view = viewOf(["b", "c"]);
    view.hear(news("b", 11, { isLeaving: true }), 10_100);
    assert.equal(view.health("b"), "down");
    view.hear(news("b", 10), 10_200);
    view.judge(10_300, NOBODY);
    assert.equal(view.health("b"), "down");
    view.hear(news("b", 0, { generation: 2 }), 10_400);
    assert.equal(view.health("b"), "up");
  });

  it("trusts a member that it had no time to hear of, and shows it as suspect", () => {
    const view = new MembershipView("a", 1, OPTIONS);
    view.setMembers(["a", "b", "c"], 0);
    view.judge(1_000, NOBODY);
    assert.deepEqual([view.health("b"), view.isTrusted("b")], ["suspect", true]);
    view.judge(8_000, NOBODY);
    assert.deepEqual([view.health("b"), view.isTrusted("b")], ["down", false]);
  });

  it("forgives the others the time in which this process was held up", () => {
    const view = viewOf(["b", "c"]);
    view.forgive(60_000, 70_000);
    view.judge(70_000, NOBODY);
    assert.deepEqual([view.health("b"), view.health("c")], ["up", "up"]);
  });

  it("goes on as a later run when somebody remembers a later one than it is", () => {
    const view = new MembershipView("a", 5, OPTIONS);
    view.setMembers(["a", "b"], 0);
    assert.equal(view.hear(news("a", 3, { generation: 9 }), 1), true);
    assert.equal(view.own.generation, 10);
    assert.equal(view.hear(news("a", 3, { generation: 9 }), 2), false);
  });

  it("tells a member what it remembers of a later run of it, however long ago that was", () => {
    const view = viewOf(["b", "c"]);
    view.hear(news("b", 5, { generation: 7 }), 10_000);
    const told = view.news(60_000, 10, () => 0, [news("b", 0, { generation: 3 })]);
    assert.deepEqual(told.slice(1), [news("b", 5, { generation: 7 })]);
  });

  it("knows no strangers", () => {
    const view = viewOf(["b"]);
    assert.equal(view.hear(news("x", 1), 10_000), false);
    assert.deepEqual([view.health("x"), view.isTrusted("x")], ["down", false]);
    view.setMembers(["a", "c"], 10_000);
    assert.equal(view.health("b"), "down");
  });

  it("tells itself first, then at most so many changes, and nothing that the other has just told", () => {
    const view = viewOf(["b", "c", "d", "e"]);
    const told = view.news(0, 3, () => 0);
    assert.deepEqual([told[0]?.name, told.length], ["a", 3]);
    const back = view.news(0, 10, () => 0, [news("b", 10), news("c", 99), news("d", 4)]);
    assert.deepEqual(back.map(({ name }) => name).sort(), ["a", "d", "e"]);
    assert.deepEqual(view.news(10_001, 10, () => 0).length, 1);
  });

  it("ends with the newest entry of each member, in whatever order and however often entries come", () => {
    const entry = fc.record({
      name: fc.constantFrom("b", "c"),
      generation: fc.integer({ min: 1, max: 3 }),
      heartbeat: fc.integer({ min: 0, max: 5 }),
    });
    const property = fc.property(fc.array(entry, { minLength: 1, maxLength: 40 }), (entries) => {
      const view = new MembershipView("a", 1, OPTIONS);
      view.setMembers(["a", "b", "c"], 0);
      for (const [index, each] of entries.entries()) view.hear(news(each.name, each.heartbeat, each), index);
      for (const told of view.news(0, 10, () => 0).slice(1)) {
        const all = entries
          .map((each) => news(each.name, each.heartbeat, each))
          .filter(({ name }) => name === told.name);
        assert(all.every((each) => !isNewer(each, told)));
      }
    });
    fc.assert(property);
  });
});
