/**
 * A store whose operator, and then whose API server, is away: clients do not notice, whatever happens meanwhile, and what
 * was asked for is done once they are back. Needs the rig's tools.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { listAt, numberAt } from "../../operator/core/objects.ts";
import { createHistoryLoad, STRICT_QUORUM } from "./history-load.ts";
import { get, kubectl, list, run, until } from "./kubectl.ts";
import { stopApiServer } from "./rig.ts";
import { createStore, NAME, SYSTEM, timed } from "./store.ts";

const NAMESPACE = "annulus-away";
const store = createStore(NAMESPACE);
const load = createHistoryLoad(store);

const scaleStore = (size: number) => kubectl(["-n", NAMESPACE, "scale", "kvc", NAME, `--replicas=${size}`]);
const scaleOperator = (size: number) => kubectl(["-n", SYSTEM, "scale", "deployment/annulus", `--replicas=${size}`]);
const memberCount = async () => listAt(await store.cluster(), "status", "members").length;
const uidOf = async (pod: string) => (await get(NAMESPACE, "pod", pod))?.metadata.uid;

async function untilServing(pod: string): Promise<void> {
  await kubectl(["-n", NAMESPACE, "wait", "pod", pod, "--for=condition=Ready", "--timeout=120s"]);
}

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64, quorum: STRICT_QUORUM }));

afterAll(() => store.uninstall());

describe("a store without its operator", () => {
  it("serves, has a lost pod back, changes nothing else, and is as wanted soon after the operator is back", async () => {
    await load.during("operator away", async (progress) => {
      await scaleOperator(0);
      await until("no operator", 60, async () => (await list(SYSTEM, "pods")).length === 0);
      await scaleStore(4);
      const before = await uidOf(`${NAME}-1`);
      await kubectl(["-n", NAMESPACE, "delete", "pod", `${NAME}-1`]);
      await until("made anew", 60, async () => ![undefined, before].includes(await uidOf(`${NAME}-1`)));
      await untilServing(`${NAME}-1`);
      await progress(1_000);
      assert.equal((await store.pods()).length, 3);
      const told = await store.cluster();
      assert.notEqual(numberAt(told, "status", "observedGeneration"), told?.metadata.generation);
      await scaleOperator(1);
      await timed("operator back to as wanted", () => store.untilSettled("4 members", 180));
      assert.equal(await memberCount(), 4);
    });
  });
});

describe("a store without an API server", () => {
  it("serves, and is changed as asked once it is back", async () => {
    await load.during("API server away", async (progress) => {
      const resume = await stopApiServer();
      try {
        const asked = await run("kubectl", ["get", "nodes", "--request-timeout=2s"]);
        assert.notEqual(asked.code, 0, "nobody is answered");
        await progress(3_000);
      } finally {
        await resume();
      }
      await timed("API server back to answering", () =>
        until("answers", 60, async () => (await run("kubectl", ["get", "nodes", "--request-timeout=2s"])).code === 0),
      );
      await scaleStore(3);
      await timed("asked to 3 members", () =>
        until("3 members", 180, async () => (await memberCount()) === 3 && (await store.pods()).length === 3),
      );
    });
  });
});
