/** The simulated API server keeps to the contract of the `Kube` port, and fails in the ways that it may. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { CONFIG_MAPS, LEASES } from "../../../operator/core/kinds.ts";
import type { KubeObject } from "../../../operator/core/objects.ts";
import { KubeError } from "../../../operator/ports.ts";
import { settled } from "../answers.ts";
import { createSeededRandom } from "../random.ts";
import { Simulator } from "../simulator.ts";
import { SimulatedApiServer } from "./api-server.ts";

const PLACE = { namespace: "default", name: "one" };

function made() {
  const simulator = new Simulator();
  const server = new SimulatedApiServer(simulator, createSeededRandom(1).stream("api"));
  const process = simulator.createProcess("operator");
  const kube = server.of(process);
  const answered = async <T>(asking: Promise<T>): Promise<T> => {
    const outcome = await settled(simulator, asking, { withinMs: 60_000, what: "every request is answered" });
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  };
  return { simulator, server, process, kube, answered };
}

const map = (text: string): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { ...PLACE, labels: { app: "x" } },
  data: { text },
});

const isFailure = (failure: KubeError["failure"]) => (error: unknown) =>
  error instanceof KubeError && error.failure === failure;

describe("the simulated API server", () => {
  it("stores what is applied, takes time for it, and gives it back as a copy", async () => {
    const { simulator, kube, answered } = made();
    await answered(kube.apply(CONFIG_MAPS, map("a")));
    assert(simulator.nowMs >= 2, "a request and its answer travel");
    const found = await answered(kube.read(CONFIG_MAPS, PLACE));
    assert.deepEqual(found?.data, { text: "a" });
    assert.equal((await answered(kube.list(CONFIG_MAPS, { namespace: "", selector: "app=x" }))).length, 1);
    assert.equal(await answered(kube.read(CONFIG_MAPS, { ...PLACE, name: "two" })), undefined);
  });

  it("refuses to replace what changed meanwhile, and to remove what has another uid", async () => {
    const { kube, answered } = made();
    const lease = { apiVersion: LEASES.apiVersion, kind: LEASES.kind, metadata: PLACE, spec: { holder: "a" } };
    const first = await answered(kube.create(LEASES, lease));
    await answered(kube.replace(LEASES, { ...first, spec: { holder: "b" } }));
    await assert.rejects(answered(kube.replace(LEASES, { ...first, spec: { holder: "c" } })), isFailure("conflict"));
    await assert.rejects(answered(kube.create(LEASES, lease)), isFailure("conflict"));
    await assert.rejects(answered(kube.remove(LEASES, PLACE, { uid: "other" })), isFailure("conflict"));
    await answered(kube.remove(LEASES, PLACE, { uid: first.metadata.uid ?? "" }));
    assert.equal(await answered(kube.read(LEASES, PLACE)), undefined);
  });

  it("may lose the answer to what it did, and refuse with nothing done", async () => {
    const { server, kube, answered } = made();
    server.faults = { ...server.faults, refused: [1, 1] };
    await assert.rejects(answered(kube.apply(CONFIG_MAPS, map("a"))), isFailure("unavailable"));
    assert.equal(server.store.find("ConfigMap", "one"), undefined);
    server.faults = { ...server.faults, refused: [0, 1], answersLost: [1, 1] };
    await assert.rejects(answered(kube.apply(CONFIG_MAPS, map("a"))), isFailure("unavailable"));
    assert(server.store.find("ConfigMap", "one") !== undefined, "it was done");
  });

  it("carries out what a process had sent before it died, and tells it nothing", async () => {
    const { simulator, server, process, kube } = made();
    let wasTold = false;
    kube.apply(CONFIG_MAPS, map("a")).then(() => {
      wasTold = true;
    }, assert.fail);
    server.onCall = (_process, _call, when) => {
      if (when === "after") process.alive = false;
    };
    await simulator.runUntil(1_000);
    assert(server.store.find("ConfigMap", "one") !== undefined, "it was done");
    assert(!wasTold, "a dead process hears nothing");
  });

  it("tells a watch of everything at first and of each change in order, some time later", async () => {
    const { simulator, server, kube } = made();
    server.faults = { ...server.faults, watchLagMs: [100, 900] };
    server.store.set(map("a"));
    const told: string[] = [];
    kube.watch(CONFIG_MAPS, { resyncMs: 60_000 }, ({ data }) => told.push((data as { text: string }).text));
    server.store.set(map("b"));
    server.store.set(map("c"));
    assert.deepEqual(told, []);
    await simulator.runUntil(5_000);
    assert.deepEqual(told, ["a", "b", "c"]);
  });

  it("tells a watch that broke, or was silent, of the present when it is opened again, or listed anew", async () => {
    const { simulator, server, kube } = made();
    const told: string[] = [];
    kube.watch(CONFIG_MAPS, { resyncMs: 60_000 }, ({ data }) => told.push((data as { text: string }).text));
    server.severWatches();
    server.store.set(map("unheard"));
    await simulator.runUntil(5_000);
    assert.deepEqual(told, ["unheard"]);
    server.silentUntilMs = 20_000;
    server.store.set(map("silent"));
    await simulator.runUntil(59_000);
    assert.deepEqual(told, ["unheard"]);
    await simulator.runUntil(61_000);
    assert.deepEqual(told, ["unheard", "silent"]);
  });

  it("answers nobody while it is away", async () => {
    const { server, kube, answered } = made();
    server.awayUntilMs = 10_000;
    await assert.rejects(answered(kube.read(CONFIG_MAPS, PLACE)), isFailure("unavailable"));
    server.heal();
    assert.equal(await answered(kube.read(CONFIG_MAPS, PLACE)), undefined);
  });
});
