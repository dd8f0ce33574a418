/**
 * A pod that is killed, a machine that loses its power and a zone that is cut off, under a steady load of writes; the
 * status is asked at each step. Needs the tools of the rig that `KUBE_RIG` names: no Kubernetes can do this to itself.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { get, kubectl, until } from "./kubectl.ts";
import { underLoad } from "./load.ts";
import { farMembers, killPod, tool } from "./rig.ts";
import { condition, createStore, NAME, timed } from "./store.ts";
import { watching } from "./watching.ts";

const store = createStore("annulus-faults");

/** Waits until the status says that this member is missing, and that the store serves all the same. */
async function untilMissed(pod: string): Promise<void> {
  await until(
    `told that ${pod} is missing`,
    120,
    async () => isMissed(told(await store.cluster()), pod),
    () => kubectl(["-n", store.namespace, "describe", "kvc"]),
  );
}

type Told = { readonly degraded: string | undefined; readonly why: string; readonly available: string | undefined };

function told(object: KubeObject | undefined): Told {
  const { status, message = "" } = condition(object, "Degraded");
  return { degraded: status, why: message, available: condition(object, "Available").status };
}

const isMissed = ({ degraded, why, available }: Told, pod: string) =>
  degraded === "True" && why.includes(pod) && available === "True";

/** Kills a pod at once, with all that it had in memory. */
async function isMissedAndBack(name: string, uid: string | undefined): Promise<void> {
  const states = await watching(store.namespace, "kvc", NAME, told);
  await timed(`${name} killed under load to settled`, async () => {
    await killPod(store.namespace, name);
    await until("another pod", 120, async () => {
      const found = await get(store.namespace, "pod", name);
      return found !== undefined && found.metadata.uid !== uid && isReady(found);
    });
    await store.untilSettled("whole again", 180);
  });
  const all = await states.end();
  assert.ok(
    all.some((one) => isMissed(one, name)),
    JSON.stringify(all),
  );
  assert.equal(all.at(-1)?.degraded, "False");
}

function isReady(pod: KubeObject | undefined): boolean {
  const conditions = listAt(pod, "status", "conditions");
  return conditions.some((one) => textAt(one, "type") === "Ready" && textAt(one, "status") === "True");
}

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64, recovery: { replaceAfterSeconds: 40 } }));

afterAll(() => store.uninstall());

describe("a store under writes", () => {
  it("loses nothing when one pod after the other is killed, and tells that each is missing and that it is back", async () => {
    await underLoad(store, "pods-killed", async () => {
      for (const { metadata } of await store.pods()) await isMissedAndBack(metadata.name, metadata.uid);
    });
  });

  it("loses nothing when a zone is cut off and comes back", async () => {
    const [{ zone, name }] = await farMembers(store);
    await underLoad(store, "zone-cut", async () => {
      await tool("zone", "cut", zone);
      try {
        await timed("zone cut to told", () => untilMissed(name));
      } finally {
        await tool("zone", "heal", zone);
      }
      await timed("zone healed to settled", () => store.untilSettled("whole again", 180));
    });
  });

  it("rebuilds a member elsewhere when its machine is lost for good", async () => {
    const [{ machine, name, pod }] = await farMembers(store);
    const claim = (await get(store.namespace, "pvc", `data-${name}`))?.metadata.uid;
    try {
      await underLoad(store, "machine-lost", async () => {
        await tool("node", "kill", machine);
        await timed("machine lost to told", () => untilMissed(name));
        await timed("told to member rebuilt", async () => {
          await until("the pod runs elsewhere", 300, async () => {
            const found = await get(store.namespace, "pod", name);
            const isElsewhere = textAt(found, "spec", "nodeName") !== machine;
            return found?.metadata.uid !== pod.metadata.uid && isElsewhere && isReady(found);
          });
          await store.untilSettled("whole again", 180);
        });
      });
      assert.notEqual((await get(store.namespace, "pvc", `data-${name}`))?.metadata.uid, claim);
    } finally {
      await tool("node", "start", machine);
      // What comes next is spread over the zones that there are.
      await kubectl(["wait", `node/${machine}`, "--for=condition=Ready", "--timeout=120s"]);
    }
  });
});
