/** What is given up as lost is looked at once more right before, and kept where that shows, or cannot show in time, that it may be back. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { Kube } from "../../operator/ports.ts";
import { lookOnceMore } from "../../operator/services/last-look.ts";
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
    lookOnceMore({ kube: { ...kube, read } as unknown as Kube, time }, "default", { machine: name, pod });
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
