/** Scale events under a steady load of writes: out, in, and turned around; by the subresource, as a person does it. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { listAt, numberAt } from "../../operator/core/objects.ts";
import { kubectl, list, until } from "./kubectl.ts";
import { underLoad } from "./load.ts";
import { followRing } from "./ring-follower.ts";
import { createStore, NAME, tell, timed } from "./store.ts";

const store = createStore("annulus-scale");

async function scale(replicas: number): Promise<void> {
  await kubectl(["-n", store.namespace, "scale", "kvc", NAME, `--replicas=${replicas}`]);
}

/** Settled with just so many members and pods. */
async function untilSize(size: number): Promise<void> {
  const found = await store.untilSettled(`${size} members`, 240);
  assert.equal(numberAt(found, "spec", "replicas"), size);
  assert.equal(listAt(found, "status", "members").length, size);
  await until(`${size} pods`, 60, async () => (await store.pods()).length === size);
}

const epoch = async () => numberAt(await store.cluster(), "status", "ringEpoch") ?? 0;

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64 }));

afterAll(() => store.uninstall());

describe("a store that is scaled under writes", () => {
  it("grows from 3 to 5 and shrinks to 3 again: nothing lost, no write failed, the volumes kept", async () => {
    const before = await epoch();
    await underLoad(store, "scaled", async () => {
      await scale(5);
      await timed("3 to 5 members", () => untilSize(5));
      assert.ok((await epoch()) > before);
      await scale(3);
      await timed("5 to 3 members", () => untilSize(3));
    });
    const claims = (await list(store.namespace, "pvc")).length;
    tell(`ring epoch ${before} before, ${await epoch()} after; ${claims} claims with whenScaled Retain`);
    assert.equal(claims, 5);
  });

  it("turns around when the spec changes its mind on the way", async () => {
    const ring = await followRing(store.namespace, `${NAME}-0`);
    try {
      await underLoad(store, "turned", async () => {
        await scale(5);
        await ring.until("prepare", 120_000);
        await scale(3);
        await timed("5 asked for, then 3", () => untilSize(3));
      });
    } finally {
      await ring.end();
    }
    tell(
      `phases of the ring on the way: ${ring
        .moments()
        .map(({ epoch, phase }) => `${epoch} ${phase}`)
        .join(", ")}`,
    );
  });

  it("moves weights onto the ring without restarting a pod", async () => {
    const uids = async () => (await store.pods()).map(({ metadata }) => metadata.uid);
    const before = await uids();
    const patch = JSON.stringify({ spec: { weights: { byNode: { [`${NAME}-1`]: 200 } } } });
    await kubectl(["-n", store.namespace, "patch", "kvc", NAME, "--type=merge", "-p", patch]);
    const found = await store.untilSettled("weighed", 120);
    const weights = listAt(found, "status", "members").map((member) => numberAt(member, "weight"));
    assert.deepEqual(weights, [100, 200, 100]);
    assert.deepEqual(await uids(), before);
  });
});
