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

const claimNames = async () => (await list(store.namespace, "pvc")).map(({ metadata }) => metadata.name).sort();

const epoch = async () => numberAt(await store.cluster(), "status", "ringEpoch") ?? 0;

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64 }));

afterAll(() => store.uninstall());

describe("a store that is scaled under writes", () => {
  it("grows from 3 to 5 and shrinks to 3 again: nothing lost, no write failed, the volumes kept", async () => {
    const before = await epoch();
    await underLoad(store, "scaled", async () => {
      await scale(5);
      await timed("3 to 5 members", () => untilSize(5));
      const grown = await epoch();
      assert.ok(grown > before);
      await scale(3);
      await timed("5 to 3 members", () => untilSize(3));
      assert.ok((await epoch()) > grown);
    });
    const claims = await claimNames();
    tell(`ring epoch ${before} before, ${await epoch()} after; ${claims.length} claims with whenScaled Retain`);
    assert.equal(claims.length, 5);
  });

  it("gives up the volumes of members that left, and no others, once the spec says so", async () => {
    const patch = JSON.stringify({ spec: { storage: { whenScaled: "Delete" } } });
    await kubectl(["-n", store.namespace, "patch", "kvc", NAME, "--type=merge", "-p", patch]);
    await timed("whenScaled Delete to 3 claims", () =>
      until(
        "3 claims",
        90,
        async () => (await claimNames()).length === 3,
        async () => (await claimNames()).join(),
      ),
    );
    assert.deepEqual(
      await claimNames(),
      [0, 1, 2].map((ordinal) => `data-${NAME}-${ordinal}`),
    );
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
