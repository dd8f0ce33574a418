/** An object that is deleted and made anew under its name while a run still looks at the first one. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { KubeObject } from "../../operator/core/objects.ts";
import { FakeBackups } from "./fake-backups.ts";
import { NAME, settled } from "./fake-cluster.ts";
import type { FakeKube } from "./fake-kube.ts";
import { manifest } from "./manifests.ts";

/** Takes the object away, and puts one of its name and spec in its place. */
function makeAnew(kube: FakeKube, { metadata, spec, apiVersion, kind }: KubeObject): void {
  const { name, namespace = "default" } = metadata;
  const found = kube.find(kind, name);
  assert.ok(found);
  kube.drop(found);
  kube.put({ apiVersion, kind, metadata: { name, namespace }, spec });
}

/** What belonged to an object goes after it. */
function collect(kube: FakeKube, { metadata }: KubeObject): void {
  for (const object of [...kube.objects.values()])
    if (object.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid) === true) kube.drop(object);
}

describe("a KVCluster that is made anew while its predecessor is looked at", () => {
  it("is told nothing of that one's ring: it would never make its own", async () => {
    const cluster = await settled();
    cluster.crash(`${NAME}-1`, true);
    cluster.tick();
    const before = cluster.cluster;
    const ask = cluster.nodes.ask.bind(cluster.nodes);
    cluster.nodes.ask = async (target) => {
      if (cluster.cluster === before) makeAnew(cluster.kube, manifest({}) as KubeObject);
      return ask(target);
    };
    await assert.rejects(cluster.reconcile(), { failure: "conflict" });
    assert.notEqual(cluster.cluster.metadata.uid, before.metadata.uid);
    assert.equal(cluster.cluster.status, undefined);
  });
});

describe("a KVBackup that is made anew while its predecessor is looked at", () => {
  it("is not taken for the one that is complete: its backup is made", async () => {
    const world = new FakeBackups();
    world.putCluster();
    world.putBackup();
    await world.settle();
    const { job, backup } = world;
    assert.ok(job);
    world.end(job);
    const read = world.kube.read.bind(world.kube);
    world.kube.read = async (resource, place) => {
      if (resource.kind === "KVCluster" && world.backup.metadata.uid === backup.metadata.uid)
        makeAnew(world.kube, backup);
      return read(resource, place);
    };
    await assert.rejects(world.look(), { failure: "conflict" });
    assert.equal(world.backup.status, undefined);
    collect(world.kube, backup);
    await world.settle();
    assert.notEqual(world.job, undefined);
    assert.equal(world.summary, "Running");
  });
});
