/** Rings are large: each is read of one node, once. What every node says itself, at each look, is which one it knows. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { type AdminCall, nodeAdminOver } from "../../operator/adapters/node-admin.ts";
import { type NodeAdmin, NodeSilentError, type Rings } from "../../operator/ports.ts";
import { createRings, NO_RINGS } from "../../operator/services/rings.ts";
import { settled } from "./fake-cluster.ts";

const TIME = { monotonicMs: () => 0, wallMs: () => 0, after: () => assert.fail("it sets no timers") };
const NAMES = ["n1", "n2", "n3"];

/** Three nodes, of which some send no ring. `read` are those that were asked for it. */
function createNodes() {
  const read: string[] = [];
  const epochs = new Map(NAMES.map((name) => [name, 7]));
  const broken = new Set<string>();
  const send: AdminCall = async ({ pod }, { path }) => {
    const epoch = epochs.get(pod) ?? 0;
    await new Promise(setImmediate);
    if (path === "/metrics") return { status: 200, text: "" };
    if (path === "/v1/cluster") {
      const hints = { complete: true, waiting: [] };
      const cluster = { id: "c", node: pod, ringEpoch: epoch, members: [], hints, repair: { owned: 1 } };
      return { status: 200, text: JSON.stringify(cluster) };
    }
    read.push(pod);
    if (broken.has(pod)) throw new NodeSilentError(`${pod} is cut off`);
    const members = NAMES.map((name) => ({ name, zone: "a", weight: 100, state: "active" }));
    const ring = { epoch, n: 3, r: 2, w: 2, mode: "sloppy", members, preferenceLists: [NAMES] };
    return { status: 200, text: JSON.stringify(ring) };
  };
  return { admin: nodeAdminOver(send, TIME), read, epochs, broken };
}

/** What each of them is found to tell; `silent` where it gives no answer. */
async function look(admin: NodeAdmin, rings: Rings, names = NAMES) {
  const answers = names.map((pod) =>
    admin.ask({ pod, ip: "10.0.0.1" }, rings).then(
      ({ ringEpoch, ring }) => [ringEpoch, ring?.epoch],
      (error: unknown) => {
        assert.ok(error instanceof NodeSilentError);
        return "silent";
      },
    ),
  );
  return Promise.all(answers);
}

const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };

describe("the ring", () => {
  it("is read of one node, however many are asked how often", async () => {
    const { admin, read } = createNodes();
    const rings = createRings("c", clock);
    for (let run = 0; run < 3; run += 1)
      assert.deepEqual(await look(admin, rings), [
        [7, 7],
        [7, 7],
        [7, 7],
      ]);
    assert.deepEqual(read, ["n1"]);
  });

  it("is read anew where a node knows a newer one, and of nobody who knows an older one than that", async () => {
    const { admin, read, epochs } = createNodes();
    const rings = createRings("c", clock);
    await look(admin, rings);
    epochs.set("n2", 8);
    assert.deepEqual((await look(admin, rings))[1], [8, 8]);
    assert.deepEqual(await look(admin, rings), [
      [7, undefined],
      [8, 8],
      [7, undefined],
    ]);
    assert.deepEqual(read, ["n1", "n2"]);
  });

  it("is believed again where it is older, once nobody has known the newer one for long: disks were set back", async () => {
    const { admin, read, epochs } = createNodes();
    const rings = createRings("c", clock);
    await look(admin, rings);
    for (const name of ["n1", "n2", "n3"]) epochs.set(name, 5);
    assert.deepEqual((await look(admin, rings))[0], [5, undefined]);
    clock.nowMs += 100_000;
    assert.deepEqual((await look(admin, rings))[0], [5, 5]);
    for (const name of ["n1", "n2", "n3"]) epochs.set(name, 7);
    await look(admin, rings);
    assert.deepEqual(read, ["n1", "n1", "n1"]);
  });

  it("is read of others where the first does not send it, who alone is silent", async () => {
    const { admin, broken } = createNodes();
    broken.add("n1");
    const rings = createRings("c", clock);
    assert.deepEqual(await look(admin, rings), ["silent", [7, 7], [7, 7]]);
    assert.deepEqual((await look(admin, rings))[0], [7, 7]);
  });

  it("is not read of strangers, nor where it is of no interest, and is read where nobody knows of it", async () => {
    const { admin, read } = createNodes();
    assert.deepEqual(await look(admin, createRings("other", clock), ["n1"]), [[7, undefined]]);
    assert.deepEqual(await look(admin, NO_RINGS, ["n1"]), [[7, undefined]]);
    assert.deepEqual(read, []);
    assert.equal((await admin.ask({ pod: "n1", ip: "10.0.0.1" })).ring?.epoch, 7);
  });
});

describe("a cluster", () => {
  it("has its rings kept from one look to the next", async () => {
    const cluster = await settled();
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    const seen = new Set<Rings | undefined>();
    cluster.nodes.ask = async (target: Parameters<typeof ask>[0], rings?: Rings) => {
      seen.add(rings);
      return ask(target);
    };
    for (let run = 0; run < 3; run += 1) await cluster.reconcile();
    assert.equal(seen.size, 1);
    assert.ok(!seen.has(undefined));
  });
});
