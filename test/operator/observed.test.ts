/** What a look reads: of a Kubernetes that is large no more than of a small one. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { textAt } from "../../operator/core/objects.ts";
import { type FakeCluster, settled } from "./fake-cluster.ts";

/** How machines are read from now on: by their names, and by which selectors. */
function machinesRead(cluster: FakeCluster) {
  const { kube } = cluster;
  const names = new Set<string>();
  const selectors = new Set<string | undefined>();
  const [read, list] = [kube.read.bind(kube), kube.list.bind(kube)];
  kube.read = async (resource, place) => {
    if (resource.kind === "Node") names.add(place.name);
    return read(resource, place);
  };
  kube.list = async (resource, options) => {
    if (resource.kind === "Node") selectors.add(options.selector);
    return list(resource, options);
  };
  return { names, selectors };
}

const machineOf = (cluster: FakeCluster, pod: string) =>
  textAt(cluster.kube.find("Pod", pod), "spec", "nodeName") ?? assert.fail(`${pod} has no machine`);

describe("the machines that a look reads", () => {
  it("are those of the cluster's pods, by their names", async () => {
    const cluster = await settled();
    assert.equal(cluster.machines.length, 6);
    const { names, selectors } = machinesRead(cluster);
    await cluster.reconcile();
    assert.deepEqual(names, new Set(["sessions-0", "sessions-1", "sessions-2"].map((pod) => machineOf(cluster, pod))));
    assert.deepEqual(selectors, new Set());
  });

  it("are also those of volumes whose pods are nowhere, by their host names, until they are given up", async () => {
    const cluster = await settled({ recovery: { replaceAfterSeconds: 60 } });
    const machine = machineOf(cluster, "sessions-1");
    const uid = cluster.kube.find("PersistentVolumeClaim", "data-sessions-1")?.metadata.uid;
    const { selectors } = machinesRead(cluster);
    cluster.setMachineDown(machine, true);
    const pod = cluster.kube.find("Pod", "sessions-1");
    assert.ok(pod);
    cluster.kube.drop(pod);
    const claim = () => cluster.kube.find("PersistentVolumeClaim", "data-sessions-1");
    await cluster.until("rebuilt elsewhere", () => claim()?.metadata.uid !== uid && cluster.isSettled());
    assert.deepEqual(selectors, new Set([`kubernetes.io/hostname=host-${machine}`]));
  });
});
