/** Whole operators over an API server in memory, in virtual time: their world passes with it. */
import assert from "node:assert/strict";
import { createCertificateMaker } from "../../operator/adapters/certificates.ts";
import { textAt } from "../../operator/core/objects.ts";
import { createOperator, type Operator } from "../../operator/operator.ts";
import { type Kube, KubeError } from "../../operator/ports.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createSeededRandom } from "../sim/random.ts";
import { FakeCluster } from "./fake-cluster.ts";
import { NO_CERTIFICATES } from "./no-certificates.ts";

export const TIMES = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/**
 * A world whose seconds pass with virtual time, and operators in it.
 *
 * @param options `spec` of the KVCluster; `adminTls` of the operators' policy; `around` stands between the operators and the API server;
 *   `mayMeetBugs`: whether one may be told, which ends the test otherwise.
 */
export function createWorld({
  spec = {},
  adminTls = false,
  around = (kube) => kube,
  mayMeetBugs = false,
}: {
  readonly spec?: Record<string, unknown>;
  readonly adminTls?: boolean;
  readonly around?: (kube: Kube, cluster: FakeCluster) => Kube;
  readonly mayMeetBugs?: boolean;
} = {}) {
  const time = createInstantTime();
  const cluster = new FakeCluster(spec);
  const certificates = adminTls ? createCertificateMaker() : NO_CERTIFICATES;
  const cutOff = new Set<string>();
  const bugs: Record<string, unknown>[] = [];
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
    const { nodes: admin } = cluster;
    const kube = around(cluster.kube, cluster);
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
    const log = (_level: string, event: string, fields?: Record<string, unknown>) => {
      if (event === "operator.bug") bugs.push(fields ?? {});
    };
    const telemetry = { count() {}, observe() {}, gauge() {}, log };
    const wall = { ...time, wallMs: () => cluster.kube.nowMs };
    const operator = createOperator(
      { kube: own, admin, certificates, time: wall, random, telemetry },
      {
        watchNamespace: "",
        policy: { nodeImage: "annulus:good", operatorNamespace: "annulus-system", adminTls },
        lease: { ...TIMES, identity, namespace: "annulus-system", name: "annulus-operator" },
      },
    );
    operator.start();
    return operator;
  }

  async function until(what: string, done: () => boolean, seconds = 300): Promise<void> {
    const endMs = time.monotonicMs() + seconds * 1_000;
    while (!done()) {
      if (!mayMeetBugs) assert.deepEqual(bugs, [], "an operator met a bug");
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
  return { time, cluster, cutOff, bugs, start, until, holder, end };
}
