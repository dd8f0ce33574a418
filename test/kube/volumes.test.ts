/** Volumes that grow, are lost, and are given up by a person's word, under load; and the rights that all of it takes. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { REPLACE_ANNOTATION } from "../../operator/api/kvcluster.ts";
import { textAt } from "../../operator/core/objects.ts";
import { createHistoryLoad, STRICT_QUORUM } from "./history-load.ts";
import { apply, get, kubectl, list, run, until } from "./kubectl.ts";
import { createStore, NAME, SYSTEM, tell, timed } from "./store.ts";

const NAMESPACE = "annulus-volumes";
const store = createStore(NAMESPACE);
const load = createHistoryLoad(store);

const uidOf = async (kind: string, name: string) => (await get(NAMESPACE, kind, name))?.metadata.uid;

/** A member is lost and comes back by what its peers have: on another volume, and whole. */
async function isRebuilt(pod: string, lose: () => Promise<void>): Promise<void> {
  const claim = `data-${pod}`;
  const before = [await uidOf("pvc", claim), await uidOf("pod", pod)];
  await lose();
  await until("another volume and another pod", 120, async () => {
    const now = [await uidOf("pvc", claim), await uidOf("pod", pod)];
    return now.every((uid, index) => uid !== undefined && uid !== before[index]);
  });
  await store.untilSettled("whole again", 180);
}

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64, quorum: STRICT_QUORUM }));

afterAll(() => store.uninstall());

describe("a store's volumes", () => {
  it("grow with the spec, while pods stay", async () => {
    const pods = async () => (await store.pods()).map(({ metadata }) => metadata.uid);
    const before = await pods();
    const sizes = async () =>
      (await list(NAMESPACE, "pvc")).map((claim) => textAt(claim, "status", "capacity", "storage"));
    assert.deepEqual(await sizes(), ["1Gi", "1Gi", "1Gi"]);
    const patch = JSON.stringify({ spec: { storage: { size: "2Gi" } } });
    await kubectl(["-n", NAMESPACE, "patch", "kvc", NAME, "--type=merge", "-p", patch]);
    await timed("volumes asked to grow to grown", () =>
      until("2Gi each", 120, async () => (await sizes()).every((size) => size === "2Gi")),
    );
    await store.untilSettled("grown", 60);
    assert.deepEqual(await pods(), before);
  });

  it("are made anew when one is lost, and its member is rebuilt", async () => {
    await load.during("volume lost", async () => {
      await timed("volume lost to member rebuilt", () =>
        isRebuilt(`${NAME}-1`, async () => {
          await kubectl(["-n", NAMESPACE, "delete", "pvc", `data-${NAME}-1`, "--wait=false"]);
          await kubectl(["-n", NAMESPACE, "delete", "pod", `${NAME}-1`, "--grace-period=0", "--force"]);
        }),
      );
    });
  });

  it("are given up by annotation", async () => {
    await load.during("replaced by annotation", async () => {
      await timed("annotated to member rebuilt", () =>
        isRebuilt(`${NAME}-2`, async () => {
          await kubectl(["-n", NAMESPACE, "annotate", "pod", `${NAME}-2`, `${REPLACE_ANNOTATION}=true`]);
        }),
      );
    });
  });
});

/** What an operator that was taken over might want to do. */
const TOO_MUCH = [
  "list secrets",
  "delete secrets",
  "create pods",
  "patch pods",
  "create pods --subresource=exec",
  "delete statefulsets",
  "delete services",
  "create persistentvolumeclaims",
  "delete persistentvolumes",
  "patch nodes",
  "patch kvclusters",
  "delete kvclusters",
  "patch kvbackups",
  "delete kvbackups",
  "patch jobs",
  "create rolebindings",
  "create serviceaccounts --subresource=token",
];

describe("the operator's rights", () => {
  const can = async (...asked: string[]) => {
    const as = `--as=system:serviceaccount:${SYSTEM}:annulus`;
    return (await run("kubectl", ["auth", "can-i", ...asked, as, "-n", NAMESPACE])).out.trim();
  };

  it.each(TOO_MUCH)("are too few to %s", async (asked) => {
    assert.equal(await can(...asked.split(" ")), "no");
  });

  it("are enough for what it does, and no call was refused in all of this", async () => {
    for (const asked of [
      "delete pods",
      "delete persistentvolumeclaims",
      "patch persistentvolumeclaims",
      "patch statefulsets",
      "create events.events.k8s.io",
    ])
      assert.equal(await can(...asked.split(" ")), "yes", asked);
    const log = (await kubectl(["-n", SYSTEM, "logs", "deployment/annulus", "--tail=-1"])).split("\n");
    const refused = log.filter((line) => /forbidden/i.test(line));
    tell(
      `operator's rights: ${refused.length} calls refused in ${log.length} lines of log; ${TOO_MUCH.length} too much for it`,
    );
    assert.deepEqual(refused, []);
  });

  it("leave it and the members to pods of the restricted Pod Security Standard, which both namespaces enforce", async () => {
    const bare = { containers: [{ name: "bare", image: "none" }] };
    for (const namespace of [NAMESPACE, SYSTEM]) {
      const ran = await apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "bare", namespace }, spec: bare });
      assert.match(ran.err, /violates PodSecurity "restricted/);
    }
    const pods = [...(await store.pods()), ...(await list(SYSTEM, "pods"))];
    tell(`${pods.length} pods run in namespaces that enforce the restricted Pod Security Standard`);
  });
});
