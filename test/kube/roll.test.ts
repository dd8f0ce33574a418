/**
 * New images under a load whose every answer goes into a history: one that works is rolled out member by member, one that
 * does not stops at the first and is undone. Nothing that was promised may be missing, and no request may fail for good.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { numberAt, textAt } from "../../operator/core/objects.ts";
import { createHistoryLoad, STRICT_QUORUM } from "./history-load.ts";
import { kubectl, until } from "./kubectl.ts";
import { condition, createStore, NAME, TAG, timed } from "./store.ts";
import { watching } from "./watching.ts";

const NAMESPACE = "annulus-roll";
const store = createStore(NAMESPACE);
const load = createHistoryLoad(store);
const REPLICAS = 3;

async function patchImage(op: "add" | "replace", image: string | undefined): Promise<void> {
  const change = [{ op, path: "/spec/image", value: image }];
  await kubectl(["-n", NAMESPACE, "patch", "kvc", NAME, "--type=json", "-p", JSON.stringify(change)]);
}

const members = async () =>
  (await store.pods()).map((pod) => ({
    uid: pod.metadata.uid,
    image: textAt(pod, "spec", "containers", 0, "image"),
  }));

/** Never more than one member may be away, at no moment. */
async function oneAtATime(happening: () => Promise<void>): Promise<void> {
  const ready = await watching(NAMESPACE, "statefulset", NAME, (object) => numberAt(object, "status", "readyReplicas"));
  const counts: number[] = [];
  try {
    await happening();
  } finally {
    counts.push(...(await ready.end()).map((count) => count ?? 0));
  }
  assert.ok(Math.min(...counts) >= REPLICAS - 1, `ready members: ${counts.join(", ")}`);
}

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64, quorum: STRICT_QUORUM }));

afterAll(() => store.uninstall());

describe("a store that gets new images under load", () => {
  it("rolls a good one out, one member at a time, and keeps every promise", async () => {
    const image = `annulus:${TAG}-next`;
    const before = new Set((await members()).map(({ uid }) => uid));
    const areRenewed = async () => {
      const found = await members();
      const isCalm = condition(await store.cluster(), "Progressing").reason === "AsWanted";
      return isCalm && found.length === REPLICAS && found.every((one) => !before.has(one.uid) && one.image === image);
    };
    await load.during("image rolled out", () =>
      oneAtATime(async () => {
        await patchImage("add", image);
        await timed("new image on three members", () => until("all are renewed", 300, areRenewed));
      }),
    );
  });

  it("stops a bad one at the first member, says so, goes on serving, and is healed by the old one", async () => {
    const before = await members();
    await load.during("bad image stopped and undone", (progress) =>
      oneAtATime(async () => {
        await patchImage("replace", "annulus:none-such");
        await timed("bad image to told as stuck", () =>
          until(
            "told as stuck",
            120,
            async () => condition(await store.cluster(), "Degraded").reason === "RollingStuck",
          ),
        );
        assert.equal(condition(await store.cluster(), "Available").status, "True");
        await progress(300);
        const meanwhile = new Set((await members()).map(({ uid }) => uid));
        assert.equal(before.filter(({ uid }) => meanwhile.has(uid)).length, REPLICAS - 1);
        await patchImage("replace", before[0]?.image);
        await timed("bad image undone to settled", () => store.untilSettled("healed", 180));
        const after = await members();
        assert.deepEqual(new Set(after.map(({ image }) => image)), new Set([before[0]?.image]));
        assert.equal(after.filter(({ uid }) => meanwhile.has(uid)).length, REPLICAS - 1);
      }),
    );
  });
});
