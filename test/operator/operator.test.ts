/** The whole operator over an API server in memory, in virtual time: two at once, one killed, one cut off. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { textAt } from "../../operator/core/objects.ts";
import { createOperator, type Operator } from "../../operator/operator.ts";
import { KubeError } from "../../operator/ports.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createSeededRandom } from "../sim/random.ts";
import { FakeCluster } from "./fake-cluster.ts";
import { NO_CERTIFICATES } from "./no-certificates.ts";

const TIMES = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/** A world whose seconds pass with virtual time, and operators in it. */
function createWorld() {
  const time = createInstantTime();
  const cluster = new FakeCluster();
  const cutOff = new Set<string>();
  let isOver = false;
  const pass = () => {
    cluster.tick();
    if (!isOver) time.after(1_000, pass);
  };
  pass();

  function start(identity: string): Operator {
    const guard =
      <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) =>
      async (...args: Args) => {
        if (cutOff.has(identity)) throw new KubeError("unavailable", "cut off");
        return call(...args);
      };
    const { kube, nodes: admin } = cluster;
    const own = {
      read: guard(kube.read.bind(kube)),
      list: guard(kube.list.bind(kube)),
      apply: guard(kube.apply.bind(kube)),
      create: guard(kube.create.bind(kube)),
      replace: guard(kube.replace.bind(kube)),
      remove: guard(kube.remove.bind(kube)),
      watch: kube.watch.bind(kube),
    };
    const random = createSeededRandom(1).stream(identity);
    const telemetry = { count() {}, observe() {}, gauge() {}, log() {} };
    const wall = { ...time, wallMs: () => cluster.kube.nowMs };
    const operator = createOperator(
      { kube: own, admin, certificates: NO_CERTIFICATES, time: wall, random, telemetry },
      {
        watchNamespace: "",
        policy: { nodeImage: "annulus:good", operatorNamespace: "annulus-system" },
        lease: { ...TIMES, identity, namespace: "annulus-system", name: "annulus-operator" },
      },
    );
    operator.start();
    return operator;
  }

  async function until(what: string, done: () => boolean, seconds = 300): Promise<void> {
    const endMs = time.monotonicMs() + seconds * 1_000;
    while (!done()) {
      assert.ok(time.monotonicMs() < endMs, `not within ${seconds} s: ${what}`);
      await new Promise(setImmediate);
    }
  }

  const holder = () =>
    textAt(cluster.kube.find("Lease", "annulus-operator", "annulus-system"), "spec", "holderIdentity");
  const end = async (...operators: Operator[]) => {
    for (const operator of operators) await operator.stop();
    isOver = true;
  };
  return { time, cluster, cutOff, start, until, holder, end };
}

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
