/**
 * A machine that dies for good and a zone that is cut off, under a steady load of writes. Needs the tool that `KUBE_RIG`
 * names: no Kubernetes can do this to itself.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { listAt, textAt } from "../../operator/core/objects.ts";
import { get, kubectl, until } from "./kubectl.ts";
import { underLoad } from "./load.ts";
import { tool } from "./rig.ts";
import { condition, createStore, timed } from "./store.ts";

const store = createStore("annulus-faults");
/** A member that is neither in the client's zone nor on its machine: its machine and zone. */
async function victim(): Promise<{ pod: string; machine: string; zone: string; uid: string }> {
  const zoneOf = async (machine: string) =>
    textAt(await get("", "node", machine), "metadata", "labels", "topology.kubernetes.io/zone") ?? "";
  const client = textAt(await get(store.namespace, "pod", "client"), "spec", "nodeName") ?? "";
  const system = await kubectl(["-n", "annulus-system", "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
  const taken = [await zoneOf(client), await zoneOf(system.split(" ")[0] ?? "")];
  for (const pod of await store.pods()) {
    const machine = textAt(pod, "spec", "nodeName") ?? "";
    const zone = await zoneOf(machine);
    if (!taken.includes(zone)) return { pod: pod.metadata.name, machine, zone, uid: pod.metadata.uid ?? "" };
  }
  assert.fail("every member shares a zone with the client or the operator");
}

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64, recovery: { replaceAfterSeconds: 40 } }));

afterAll(() => store.uninstall());

describe("a store under writes", () => {
  it("loses nothing when a zone is cut off and comes back", async () => {
    const { zone, pod } = await victim();
    await underLoad(store, "zone-cut", async () => {
      await tool("zone", "cut", zone);
      await until("told as degraded", 90, async () => condition(await store.cluster(), "Degraded").status === "True");
      const told = await store.cluster();
      assert.equal(condition(told, "Available").status, "True");
      assert.match(condition(told, "Degraded").message ?? "", new RegExp(pod));
      await tool("zone", "heal", zone);
      await timed("zone healed to settled", () => store.untilSettled("whole again", 180));
    });
  });

  it("rebuilds a member elsewhere when its machine is lost for good", async () => {
    const { machine, pod, uid } = await victim();
    const claim = (await get(store.namespace, "pvc", `data-${pod}`))?.metadata.uid;
    try {
      await underLoad(store, "machine-lost", async () => {
        await tool("node", "kill", machine);
        await timed("machine lost to member rebuilt", async () => {
          await until("the pod runs elsewhere", 300, async () => {
            const found = await get(store.namespace, "pod", pod);
            const isReady = listAt(found, "status", "conditions").some(
              (one) => textAt(one, "type") === "Ready" && textAt(one, "status") === "True",
            );
            return found?.metadata.uid !== uid && isReady && textAt(found, "spec", "nodeName") !== machine;
          });
          await store.untilSettled("whole again", 180);
        });
      });
      assert.notEqual((await get(store.namespace, "pvc", `data-${pod}`))?.metadata.uid, claim);
    } finally {
      await tool("node", "start", machine);
    }
  });
});
