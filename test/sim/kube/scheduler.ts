/**
 * The scheduler and the provisioner of volumes: pods are spread over zones, then over machines. A volume is made on the
 * machine that its first pod is put on, and keeps that pod there for good.
 */
import { at, type KubeObject, textAt } from "../../../operator/core/objects.ts";
import type { SimulatedApiServer } from "./api-server.ts";
import { HOSTNAME_LABEL, hostOf, type Machine, type Machines } from "./machines.ts";

export class Scheduler {
  readonly #server: SimulatedApiServer;
  readonly #machines: Machines;

  constructor(server: SimulatedApiServer, machines: Machines) {
    this.#server = server;
    this.#machines = machines;
  }

  /** Gives every pod that has none a machine, if one can take it. */
  look(): void {
    const pods = this.#server.store.all("Pod").sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    for (const pod of pods)
      if (textAt(pod, "spec", "nodeName") === undefined && pod.metadata.deletionTimestamp === undefined)
        this.#place(pod);
  }

  #place(pod: KubeObject): void {
    const { store } = this.#server;
    const { name, namespace } = pod.metadata;
    const claim = store.find("PersistentVolumeClaim", `data-${name}`, namespace);
    if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return;
    const volume = textAt(claim, "spec", "volumeName");
    const chosen = volume === undefined ? this.#emptiest() : this.#holder(volume);
    if (chosen === undefined || !this.#machines.isReady(chosen)) {
      if (!isTold(pod))
        store.set({
          ...pod,
          status: { conditions: [{ type: "PodScheduled", status: "False", message: "no machine" }] },
        });
      return;
    }
    if (volume === undefined) this.#provide(claim, chosen);
    store.set({ ...pod, spec: { ...(pod.spec as object), nodeName: chosen.name } });
  }

  #holder(volume: string): Machine | undefined {
    const held = this.#server.store.find("PersistentVolume", volume, "");
    const term = at(held, "spec", "nodeAffinity", "required", "nodeSelectorTerms", 0, "matchExpressions", 0);
    return this.#machines.find(textAt(term, "values", 0));
  }

  #emptiest(): Machine | undefined {
    const pods = this.#server.store.all("Pod").map((pod) => this.#machines.find(textAt(pod, "spec", "nodeName")));
    const ofZone = ({ zone }: Machine) => pods.filter((machine) => machine?.zone === zone).length;
    const ofMachine = (one: Machine) => pods.filter((machine) => machine === one).length;
    const ready = this.#machines.all.filter((machine) => machine.isUp && this.#machines.isReady(machine));
    return ready.sort((a, b) => ofZone(a) - ofZone(b) || ofMachine(a) - ofMachine(b))[0];
  }

  #provide(claim: KubeObject, machine: Machine): void {
    const name = `volume-of-${claim.metadata.uid}`;
    const affinity = { key: HOSTNAME_LABEL, operator: "In", values: [hostOf(machine)] };
    const terms = [{ matchExpressions: [affinity] }];
    this.#server.store.set({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name },
      spec: { nodeAffinity: { required: { nodeSelectorTerms: terms } } },
    });
    const spec = { ...(claim.spec as object), volumeName: name };
    this.#server.store.set({ ...claim, spec, status: { phase: "Bound" } });
  }
}

function isTold(pod: KubeObject): boolean {
  return at(pod, "status", "conditions", 0) !== undefined;
}
