/**
 * A store on a real Kubernetes, from `helm install` to its end, as a user has it. Figures are printed.
 *
 * Images are loaded before (`annulus:test`, `annulus-operator:test`, see test/README.md). The steps build on each other.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { listAt } from "../../operator/core/objects.ts";
import { get, kubectl, list, until } from "./kubectl.ts";
import { condition, createStore, NAME, SYSTEM, tell, timed } from "./store.ts";

const NAMESPACE = "annulus-store";
const store = createStore(NAMESPACE);
const { cluster, put, read, pods, untilSettled } = store;
let installSeconds: number;

beforeAll(async () => {
  installSeconds = await timed("all of the set-up", () => store.install({ storage: { size: "1Gi" }, partitions: 64 }));
});

afterAll(() => store.uninstall());

describe("a store on Kubernetes", () => {
  it("is available within 120 s of helm install, in a namespace that enforces the restricted standard", async () => {
    assert.ok(installSeconds < 120, `${installSeconds} s`);
    const found = await cluster();
    assert.equal(condition(found, "ZonesBalanced").status, "True");
    assert.equal(listAt(found, "status", "members").length, 3);
  });

  it("stores and reads through its Service", async () => {
    await timed("a put and a get by a pod, through the Service", async () => {
      await put("greeting", "hello");
      assert.equal(await read("greeting"), "hello");
    });
  });

  it("is told in one line by kubectl get kvc", async () => {
    const line = (await kubectl(["-n", NAMESPACE, "get", "kvc", NAME, "--no-headers"])).trim().split(/\s{2,}/);
    tell(`kubectl get kvc: ${line.join(" | ")}`);
    // The epoch is past 1 as soon as the members' disks are listed in the ring.
    assert.match(line.slice(0, 5).join(" "), new RegExp(`^${NAME} 3 3 [1-9] Available$`));
  });

  it("is left in peace when nothing changes: no object is written again", async () => {
    const versions = async () => {
      const kinds = "statefulset,service,configmap,pdb,networkpolicy,serviceaccount,kvc";
      return (await list(NAMESPACE, kinds)).map(
        ({ kind, metadata }) => `${kind}/${metadata.name} ${metadata.resourceVersion}`,
      );
    };
    // Where a member was suspected for a moment, by a machine that was busy, the status says so: then another while is tried.
    let before = await versions();
    for (let tries = 1; ; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 35_000));
      const after = await versions();
      if (tries === 3 || isDeepStrictEqual(after, before)) {
        assert.deepEqual(after, before);
        return;
      }
      before = after;
    }
  });

  it("goes on without the operator, which takes up its work again when it is back", async () => {
    await kubectl([
      "-n",
      SYSTEM,
      "delete",
      "pod",
      "-l",
      "app.kubernetes.io/name=annulus-operator",
      "--grace-period=0",
      "--force",
    ]);
    await put("while-away", "written");
    assert.equal(await read("while-away"), "written");
    await kubectl(["-n", SYSTEM, "rollout", "status", "deployment/annulus", "--timeout=60s"]);
    await kubectl(["-n", NAMESPACE, "label", "kvc", NAME, "touched=yes"]);
    await kubectl(["-n", NAMESPACE, "delete", "pdb", NAME]);
    await timed("a deleted budget made again after the operator was killed", () =>
      until("the budget is there", 60, async () => get(NAMESPACE, "pdb", NAME)),
    );
  });

  it("has a deleted pod back, with its data", async () => {
    const uidOf = async () => (await get(NAMESPACE, "pod", `${NAME}-1`))?.metadata.uid;
    const before = await uidOf();
    await timed("pod deleted to settled", async () => {
      await kubectl(["-n", NAMESPACE, "delete", "pod", `${NAME}-1`]);
      await until("told as missing or back", 30, async () => (await uidOf()) !== before);
      await kubectl(["-n", NAMESPACE, "wait", "pod", `${NAME}-1`, "--for=condition=Ready", "--timeout=60s"]);
      await untilSettled("the pod is back", 120);
    });
    assert.equal(await read("greeting"), "hello");
  });

  it("rolls a new setting out pod by pod, serving all the while", async () => {
    const uids = async () => (await pods()).map(({ metadata }) => metadata.uid);
    const before = new Set(await uids());
    await kubectl([
      "-n",
      NAMESPACE,
      "patch",
      "kvc",
      NAME,
      "--type=merge",
      "-p",
      JSON.stringify({ spec: { config: { ANNULUS_TIMEOUT_MS: "900" } } }),
    ]);
    let reads = 0;
    await timed("rolling change of three pods", () =>
      until("rolled", 400, async () => {
        assert.equal(await read("greeting"), "hello");
        reads += 1;
        const renewed = (await uids()).filter((uid) => !before.has(uid)).length;
        return renewed === 3 && condition(await cluster(), "Progressing").reason === "AsWanted";
      }),
    );
    assert.ok(reads > 3);
  });

  it("stops a bad image at the first pod, says so, and is healed by putting the spec back", async () => {
    await kubectl([
      "-n",
      NAMESPACE,
      "patch",
      "kvc",
      NAME,
      "--type=merge",
      "-p",
      '{"spec": {"image": "annulus:none-such"}}',
    ]);
    await until("told as degraded", 180, async () => condition(await cluster(), "Degraded").reason === "RollingStuck");
    assert.equal(await read("greeting"), "hello");
    assert.equal(condition(await cluster(), "Available").status, "True");
    await kubectl([
      "-n",
      NAMESPACE,
      "patch",
      "kvc",
      NAME,
      "--type=json",
      "-p",
      '[{"op": "remove", "path": "/spec/image"}]',
    ]);
    await timed("bad image undone to settled", () => untilSettled("healed", 180));
  });

  it("shows no warning of a refused right: the chart's role is enough", async () => {
    const log = await kubectl(["-n", SYSTEM, "logs", "deployment/annulus", "--tail=-1"]);
    assert.ok(
      !/forbidden/i.test(log),
      log
        .split("\n")
        .filter((line) => /forbidden/i.test(line))
        .join("\n"),
    );
  });

  it("takes all that it owns with it, and keeps the volumes", async () => {
    await kubectl(["-n", NAMESPACE, "delete", "kvc", NAME]);
    await timed("deleted to gone", () =>
      until("nothing is left", 120, async () => {
        const left = await list(NAMESPACE, "statefulset,service,pdb,networkpolicy,pods");
        return left.every(({ metadata }) => metadata.name === "client");
      }),
    );
    const claims = await list(NAMESPACE, "pvc");
    tell(`deleted with whenDeleted Retain: ${claims.length} claims kept, all else gone`);
    assert.equal(claims.length, 3);
  });
});
