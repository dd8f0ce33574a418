/**
 * The StatefulSet controller, and those that clear away behind it: pods of a machine that is gone, claims that nobody uses.
 *
 * As the real one it works from a copy of the object that may be old: pods are made and taken away for numbers of a
 * moment ago.
 */
import { createHash } from "node:crypto";
import { at, type KubeObject, numberAt, textAt } from "../../../operator/core/objects.ts";
import type { SeededRandom } from "../random.ts";
import type { Simulator } from "../simulator.ts";
import type { SimulatedApiServer } from "./api-server.ts";
import type { Machines } from "./machines.ts";

/** Age of what it works from, in ms. */
const STALE_MS = [5, 1_500] as const;
/** Pods of a machine that has not been ready for so long are told to go; that is heard of once it is back. */
const EVICTED_MS = 12_000;

type Parts = {
  readonly simulator: Simulator;
  readonly server: SimulatedApiServer;
  readonly machines: Machines;
  readonly random: SeededRandom;
};

export class StatefulSets {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Looks at every set, and acts on what it saw some time later. */
  look(): void {
    const { server, simulator, random } = this.#parts;
    for (const seen of server.store.all("StatefulSet")) {
      const revision = revisionOf(seen);
      this.#tellStatus(seen, revision);
      simulator.after(random.between(...STALE_MS), () => this.#act(seen, revision));
    }
    this.#clearPods();
    this.#clearClaims();
  }

  /** Each count is written, as the real one does: an object that nobody changed is another version whenever a pod gets ready. */
  #tellStatus(seen: KubeObject, revision: string): void {
    const { store } = this.#parts.server;
    const { generation } = seen.metadata;
    const pods = store.all("Pod");
    const readyReplicas = pods.filter((pod) => textAt(pod, "status", "conditions", 0, "status") === "True").length;
    const counts = { replicas: pods.length, readyReplicas, availableReplicas: readyReplicas };
    const status = { observedGeneration: generation, updateRevision: revision, ...counts };
    if (JSON.stringify(seen.status) !== JSON.stringify(status)) store.set({ ...seen, status });
  }

  #act(seen: KubeObject, revision: string): void {
    const { store } = this.#parts.server;
    const { name, namespace = "", uid } = seen.metadata;
    if (store.find("StatefulSet", name, namespace)?.metadata.uid !== uid) return;
    const replicas = numberAt(seen, "spec", "replicas") ?? 0;
    for (let ordinal = 0; ordinal < replicas; ordinal += 1) this.#makePod(seen, `${name}-${ordinal}`, revision);
    for (const pod of store.all("Pod"))
      if (Number(pod.metadata.name.slice(name.length + 1)) >= replicas) store.markDeleted(pod);
  }

  #makePod(set: KubeObject, name: string, revision: string): void {
    const { store } = this.#parts.server;
    const namespace = set.metadata.namespace ?? "";
    const claim = store.find("PersistentVolumeClaim", `data-${name}`, namespace);
    if (store.find("Pod", name, namespace) !== undefined || claim?.metadata.deletionTimestamp !== undefined) return;
    const template = at(set, "spec", "template");
    const labels = at(template, "metadata", "labels") as Record<string, string>;
    if (claim === undefined)
      store.set({
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name: `data-${name}`, namespace, labels },
        spec: at(set, "spec", "volumeClaimTemplates", 0, "spec"),
      });
    store.set({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels: { ...labels, "controller-revision-hash": revision } },
      spec: at(template, "spec"),
      status: {},
    });
  }

  /** Pods on machines that are not listed any more go at once; those on silent ones are marked. */
  #clearPods(): void {
    const { server, machines, simulator } = this.#parts;
    for (const pod of server.store.all("Pod")) {
      const machine = machines.find(textAt(pod, "spec", "nodeName"));
      if (machine === undefined) continue;
      if (server.store.find("Node", machine.name, "") === undefined) server.store.drop(pod);
      else if (simulator.nowMs - (machine.unreadySinceMs ?? simulator.nowMs) > EVICTED_MS)
        server.store.markDeleted(pod);
    }
  }

  /** A claim that was deleted goes with the last pod that uses it, and its volume with it. */
  #clearClaims(): void {
    const { store } = this.#parts.server;
    for (const claim of store.all("PersistentVolumeClaim")) {
      const { name, namespace, deletionTimestamp } = claim.metadata;
      if (deletionTimestamp === undefined) continue;
      if (store.find("Pod", name.slice("data-".length), namespace) !== undefined) continue;
      const volume = store.find("PersistentVolume", textAt(claim, "spec", "volumeName") ?? "", "");
      if (volume !== undefined) store.drop(volume);
      store.drop(claim);
    }
  }
}

function revisionOf(set: KubeObject): string {
  const template = JSON.stringify(at(set, "spec", "template"));
  return createHash("sha256").update(template).digest("hex").slice(0, 10);
}
