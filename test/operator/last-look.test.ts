/**
 * What is taken away is looked at once more right before, and kept where that shows, or cannot show in time, that it may
 * be back, or needed.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { NodeAnswer, World } from "../../operator/core/world.ts";
import { type AdminTarget, type Kube, type NodeAdmin, NodeSilentError } from "../../operator/ports.ts";
import { askOnceMore, lookOnceMore } from "../../operator/services/last-look.ts";
import { FakeKube } from "./fake-kube.ts";

const machine = (ready: string) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "a1" },
  status: { conditions: [{ type: "Ready", status: ready }] },
});

/** A world with a pod and its machine, which each read takes so many ms to tell of. */
function createWorld(ready: string, readMs = 1) {
  const kube = new FakeKube();
  kube.set(machine(ready));
  const stored = kube.set({ apiVersion: "v1", kind: "Pod", metadata: { name: "sessions-1", namespace: "default" } });
  const { uid = "", resourceVersion = "" } = stored.metadata;
  const pod = { name: "sessions-1", uid, resourceVersion };
  let nowMs = 0;
  const read: Kube["read"] = (resource, place) => {
    nowMs += readMs;
    return kube.read(resource, place);
  };
  const time = { monotonicMs: () => nowMs, wallMs: () => nowMs, after: () => assert.fail("it sets no timers") };
  const look = (name: string | undefined) =>
    lookOnceMore({ kube: { ...kube, read, list: kube.list.bind(kube) } as unknown as Kube, time }, "default", {
      machine: name,
      pod,
    });
  return { kube, stored, look };
}

describe("the last look", () => {
  it.each(["Unknown", "False"])("lets go what is lost with a machine whose readiness is %s", async (ready) => {
    await createWorld(ready).look("a1");
  });

  it("lets go what is lost with a machine that is no longer listed, and a pod that is gone by itself", async () => {
    const { kube, stored, look } = createWorld("Unknown");
    await look("a2");
    kube.drop(stored);
    await look("a1");
  });

  it("keeps what is on a machine that is ready again", async () => {
    await assert.rejects(createWorld("True").look("a1"), { failure: "conflict" });
  });

  it("keeps what is on a machine that is listed again, by the host name that its volume goes by", async () => {
    const { kube, look } = createWorld("Unknown");
    const back = machine("True");
    kube.set({ ...back, metadata: { name: "a2", labels: { "kubernetes.io/hostname": "host-of-a2" } } });
    await assert.rejects(look("host-of-a2"), { failure: "conflict" });
  });

  it("asks for no machine where the loss is another", async () => {
    await createWorld("True").look(undefined);
  });

  it("keeps what belongs to a pod that has changed, or has a successor of its name", async () => {
    const { kube, stored, look } = createWorld("Unknown");
    kube.set({ ...stored, status: { phase: "Running" } });
    await assert.rejects(look("a1"), { failure: "conflict" });
    kube.drop(stored);
    kube.set(stored);
    await assert.rejects(look("a1"), { failure: "conflict" });
  });

  it("believes no answer that was long on its way", async () => {
    await createWorld("Unknown", 1_000).look("a1");
    await assert.rejects(createWorld("Unknown", 1_001).look("a1"), { failure: "unavailable" });
  });
});

const MEMBERS = ["sessions-0", "sessions-1"];

/** Two members at epoch 7, the second of which says otherwise, or nothing, or says it late. */
function askBoth(second: Partial<NodeAnswer> | undefined, askMs = 1, seen: readonly string[] = MEMBERS): Promise<void> {
  let nowMs = 0;
  const ask = async ({ pod }: AdminTarget) => {
    nowMs += askMs;
    const answer = { name: pod, clusterId: "uid", ringEpoch: 7, change: undefined };
    if (pod === MEMBERS[0]) return answer as NodeAnswer;
    if (second === undefined) throw new NodeSilentError("it is away");
    return { ...answer, ...second } as NodeAnswer;
  };
  const time = { monotonicMs: () => nowMs, wallMs: () => nowMs, after: () => assert.fail("it sets no timers") };
  const pods = seen.map((name) => ({ name, ip: "10.0.0.1", peerTls: "off", isAdminSecure: false }));
  const cluster = { metadata: { name: "sessions", namespace: "default", uid: "uid", annotations: {} }, spec: {} };
  const world = { cluster, pods, objects: new Map() } as unknown as World;
  return askOnceMore({ admin: { ask } as unknown as NodeAdmin, time }, world, { epoch: 7, members: MEMBERS });
}

describe("the last question before pods go", () => {
  it("lets them go where every member tells the same ring, at rest", async () => {
    await askBoth({});
  });

  it.each([
    ["a newer ring", { ringEpoch: 8 }],
    ["a change", { change: { id: "1", phase: "prepare" } as NodeAnswer["change"] }],
    ["another cluster", { clusterId: "other" }],
    ["another name", { name: "sessions-2" }],
  ])("keeps them where a member tells of %s", async (_what, second) => {
    await assert.rejects(askBoth(second as Partial<NodeAnswer>), { failure: "conflict" });
  });

  it("keeps them where a member is silent, has no pod, or answers late", async () => {
    await assert.rejects(askBoth(undefined), { failure: "unavailable" });
    await assert.rejects(askBoth({}, 1, ["sessions-0"]), { failure: "unavailable" });
    await askBoth({}, 1_000);
    await assert.rejects(askBoth({}, 1_001), { failure: "unavailable" });
  });
});
