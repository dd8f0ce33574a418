/**
 * Two stores side by side in one namespace, the one with a name that looks like a pod of the other: neither sees the
 * other, and each goes with all that it owns and nothing else. What becomes of the volumes is each one's own policy.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { ADOPT_ANNOTATION, API_VERSION, KIND } from "../../operator/api/kvcluster.ts";
import { INSTANCE_LABEL } from "../../operator/core/names.ts";
import { at, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { adminUrl, askFrom, authoritiesOf } from "./admin-port.ts";
import { apply, get, kubectl, list, until } from "./kubectl.ts";
import { createStore, membersPods, NAME, settled, tell, timed } from "./store.ts";

const NAMESPACE = "annulus-neighbours";
const store = createStore(NAMESPACE);
const OTHER = `${NAME}-1`;
const spec = { storage: { size: "1Gi" }, partitions: 64 };

/** Whatever may belong to a store, other than its volumes. */
const KINDS =
  "statefulset,controllerrevision,service,endpointslice,configmap,secret,pdb,networkpolicy,serviceaccount,hpa,pod";

const ofStore = (name: string, kinds: string) => list(NAMESPACE, kinds, "-l", `${INSTANCE_LABEL}=${name}`);

async function makeOther(): Promise<void> {
  const metadata = { name: OTHER, namespace: NAMESPACE };
  const storage = { ...spec.storage, whenDeleted: "Delete" };
  const ran = await apply({ apiVersion: API_VERSION, kind: KIND, metadata, spec: { ...spec, storage } });
  assert.equal(ran.code, 0, ran.err);
  await settled(NAMESPACE, OTHER, "the other store", 120);
}

/** What a request to one of the stores is answered: status and body. */
async function ask(name: string, key: string, method: "GET" | "PUT", body = ""): Promise<string> {
  const options = method === "PUT" ? `{method: "PUT", body: ${JSON.stringify(body)}}` : "{}";
  const request = `fetch("http://${name}:7400/v1/kv/${key}", ${options})`;
  return (await store.inPod(`${request}.then(async (r) => console.log(r.status, await r.text()))`)).trim();
}

/**
 * All that would change if something were done to a store: its objects, its pods' identities, its ring. Not what somebody else writes,
 * as their status, nor how many pods may go: that follows whether all members see each other.
 */
async function stateOf(name: string) {
  const objects = await ofStore(name, "statefulset,service,configmap,secret,pdb,networkpolicy,serviceaccount");
  const found = await get(NAMESPACE, "kvc", name);
  return {
    objects: objects.map(({ kind, metadata: { name: own, uid, generation, resourceVersion } }) => {
      const version = kind === "PodDisruptionBudget" ? uid : (generation ?? resourceVersion);
      return `${kind}/${own} ${version}`;
    }),
    pods: (await membersPods(NAMESPACE, name)).map(({ metadata }) => metadata.uid),
    epoch: numberAt(found, "status", "ringEpoch"),
    members: listAt(found, "status", "members").map((member) => textAt(member, "name")),
    claims: (await ofStore(name, "pvc")).map(({ metadata }) => metadata.uid),
  };
}

/**
 * Waits until the ring lists every member's disk, which takes it an epoch or two more, and the status tells that one: at rest
 * the operator looks twice a minute.
 */
async function untilListed(name: string): Promise<void> {
  const ca = await authoritiesOf(NAMESPACE, name);
  await until("every disk is listed, and told", 120, async () => {
    const { text } = await askFrom(store.inPod, `${adminUrl(NAMESPACE, name)}/v1/ring`, { ca });
    const ring: unknown = JSON.parse(text);
    const isListed = listAt(ring, "members").every((member) => textAt(member, "actor") !== undefined);
    return isListed && (await stateOf(name)).epoch === numberAt(ring, "epoch");
  });
}

async function untilGone(name: string, kinds: string): Promise<void> {
  await timed(`${name} deleted to gone`, () =>
    until(
      "nothing is left",
      120,
      async () => (await ofStore(name, kinds)).length === 0 && (await get(NAMESPACE, "kvc", name)) === undefined,
      () => kubectl(["-n", NAMESPACE, "get", kinds, "-l", `${INSTANCE_LABEL}=${name}`]),
    ),
  );
}

beforeAll(async () => {
  await store.install(spec);
  await makeOther();
  await untilListed(NAME);
});

afterAll(() => store.uninstall());

describe("two stores side by side", () => {
  it("have rings, data and addresses of their own", async () => {
    assert.equal(await ask(NAME, "whose", "PUT", "mine"), "204");
    assert.match(await ask(OTHER, "whose", "GET"), /^404 /);
    assert.equal(await ask(OTHER, "whose", "PUT", "theirs"), "204");
    assert.equal(await ask(NAME, "whose", "GET"), "200 mine");
    for (const name of [NAME, OTHER]) {
      const wanted = [0, 1, 2].map((ordinal) => `${name}-${ordinal}`);
      assert.deepEqual((await stateOf(name)).members, wanted);
      const slices = await list(NAMESPACE, "endpointslice", "-l", `kubernetes.io/service-name=${name}`);
      const pods = slices.flatMap((slice) => listAt(slice, "endpoints").map((one) => textAt(one, "targetRef", "name")));
      assert.deepEqual(pods.sort(), wanted);
      const policy = await get(NAMESPACE, "networkpolicy", name);
      assert.equal(at(policy, "spec", "podSelector", "matchLabels", INSTANCE_LABEL), name);
    }
  });

  it("do not notice that the other one grows and shrinks", async () => {
    const before = await stateOf(NAME);
    for (const replicas of [4, 3]) {
      await kubectl(["-n", NAMESPACE, "scale", "kvc", OTHER, `--replicas=${replicas}`]);
      const found = await settled(NAMESPACE, OTHER, `${replicas} members`, 180);
      assert.equal(listAt(found, "status", "members").length, replicas);
    }
    const after = await stateOf(NAME);
    assert.deepEqual(after, before);
    tell(`two stores: ${OTHER} grew and shrank; ${after.objects.length} objects of ${NAME} written 0 times`);
    assert.equal((await ofStore(OTHER, "pvc")).length, 4);
  });

  it("keep their volumes where somebody deletes the StatefulSet alone, though they are to go with the KVCluster", async () => {
    const before = (await ofStore(OTHER, "pvc")).map(({ metadata }) => metadata.uid);
    assert.equal(before.length, 4);
    const set = await get(NAMESPACE, "statefulset", OTHER);
    assert.ok(set);
    await kubectl(["-n", NAMESPACE, "delete", "statefulset", OTHER]);
    await until("it is made anew, with all its pods", 180, async () => {
      const uid = (await get(NAMESPACE, "statefulset", OTHER))?.metadata.uid ?? set.metadata.uid;
      const pods = await membersPods(NAMESPACE, OTHER);
      const ofIt = pods.filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid));
      return uid !== set.metadata.uid && ofIt.length === 3;
    });
    await settled(NAMESPACE, OTHER, "3 members", 180);
    assert.deepEqual(
      (await ofStore(OTHER, "pvc")).map(({ metadata }) => metadata.uid),
      before,
    );
  });

  it("go alone: with whenDeleted Delete also the volumes, those of members that left, too", async () => {
    const before = await stateOf(NAME);
    const volumes = (await ofStore(OTHER, "pvc")).map((claim) => textAt(claim, "spec", "volumeName") ?? "");
    assert.equal(volumes.length, 4);
    await kubectl(["-n", NAMESPACE, "delete", "kvc", OTHER]);
    await untilGone(OTHER, `${KINDS},pvc`);
    await until("no volume is left", 60, async () => {
      const left = (await list("", "pv")).map(({ metadata }) => metadata.name);
      return volumes.every((volume) => !left.includes(volume));
    });
    assert.deepEqual(await stateOf(NAME), before);
    assert.equal(await ask(NAME, "whose", "GET"), "200 mine");
  });

  it("begin empty when one is made again", async () => {
    await makeOther();
    assert.match(await ask(OTHER, "whose", "GET"), /^404 /);
  });

  it("leave their volumes with whenDeleted Retain, and a new one that names the old one takes them over", async () => {
    const uid = (await get(NAMESPACE, "kvc", NAME))?.metadata.uid ?? "";
    const { claims } = await stateOf(NAME);
    assert.equal(claims.length, 3);
    await kubectl(["-n", NAMESPACE, "delete", "kvc", NAME]);
    await untilGone(NAME, KINDS);
    assert.deepEqual(
      (await ofStore(NAME, "pvc")).map(({ metadata }) => metadata.uid),
      claims,
    );
    const metadata = { name: NAME, namespace: NAMESPACE, annotations: { [ADOPT_ANNOTATION]: uid } };
    const ran = await apply({ apiVersion: API_VERSION, kind: KIND, metadata, spec });
    assert.equal(ran.code, 0, ran.err);
    await timed("kept volumes to settled", () => store.untilSettled("taken over", 120));
    assert.equal(await ask(NAME, "whose", "GET"), "200 mine");
    assert.deepEqual((await stateOf(NAME)).claims, claims);
  });
});
