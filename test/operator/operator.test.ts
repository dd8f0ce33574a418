/** The whole operator over an API server in memory, in virtual time: two at once, one killed, one cut off. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createWorld, TIMES } from "./operator-world.ts";

describe("an operator", () => {
  it("brings a cluster up by what its watches tell it, and follows a change of the spec", async () => {
    const { cluster, start, until, end } = createWorld();
    const operator = start("a");
    await until("settled", () => cluster.isSettled());
    cluster.edit({ replicas: 4 });
    await until("grown", () => cluster.members.length === 4 && cluster.isSettled());
    await end(operator);
  });

  it("that stops hands over at once", async () => {
    const { cluster, start, until, holder, end, time } = createWorld();
    const [a, b] = [start("a"), start("b")];
    await until("settled", () => cluster.isSettled());
    const [leader, other] = a.leads() ? [a, b] : [b, a];
    assert.ok(!other.leads(), "two lead");
    const stoppedMs = time.monotonicMs();
    await leader.stop();
    assert.equal(holder(), "");
    await until("the other leads", () => other.leads());
    assert.ok(time.monotonicMs() - stoppedMs <= 3_000, `after ${time.monotonicMs() - stoppedMs} ms`);
    await end(other);
  });

  it("that is cut off stops to act before another begins, and both never lead at once", async () => {
    const { cluster, cutOff, start, until, end, time } = createWorld();
    const [a, b] = [start("a"), start("b")];
    await until("somebody leads", () => a.leads() || b.leads());
    const [leader, other, name] = a.leads() ? [a, b, "a"] : [b, a, "b"];
    cutOff.add(name);
    const cutMs = time.monotonicMs();
    await until("the other leads", () => {
      assert.ok(!(a.leads() && b.leads()), "two lead");
      return other.leads();
    });
    const tookMs = time.monotonicMs() - cutMs;
    assert.ok(
      tookMs >= TIMES.renewDeadlineMs - TIMES.retryMs && tookMs <= TIMES.durationMs + 2 * TIMES.retryMs,
      `${tookMs} ms`,
    );
    cluster.edit({ replicas: 5 });
    await until("grown", () => cluster.members.length === 5 && cluster.isSettled());
    cutOff.clear();
    await end(leader, other);
  });
});
