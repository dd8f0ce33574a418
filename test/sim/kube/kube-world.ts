/**
 * A Kubernetes in virtual time with one KVCluster in it: API server, controllers, machines and kubelets around the nodes of
 * a simulated cluster, and the operators that look after them.
 */
import assert from "node:assert/strict";
import { REPLACE_ANNOTATION } from "../../../operator/api/kvcluster.ts";
import { ADMIN_TOKEN_FILE } from "../../../operator/core/access.ts";
import { accessName, membersName } from "../../../operator/core/names.ts";
import { at, type KubeObject, listAt, numberAt, textAt } from "../../../operator/core/objects.ts";
import { KubeError } from "../../../operator/ports.ts";
import { manifest } from "../../operator/manifests.ts";
import type { ClusterOptions, SimulatedCluster, SimulatedNode } from "../cluster.ts";
import type { SeededRandom } from "../random.ts";
import { AdminPorts } from "./admin-ports.ts";
import { SimulatedApiServer } from "./api-server.ts";
import { Autoscaler } from "./autoscaler.ts";
import { Kubelets } from "./kubelets.ts";
import { hostOf, type Machine, Machines } from "./machines.ts";
import { Operators } from "./operators.ts";
import { Scheduler } from "./scheduler.ts";
import { StatefulSets } from "./stateful-sets.ts";
import { TokenTables } from "./token-tables.ts";

export const NAME = "sessions";
/** From what an operator sees to what it does about it. */
const LOOK_MS_MAX = 5_000;
/** How often each controller looks, in ms. */
const LOOK_MS = [200, 1_000] as const;
const FOUNDED_WITHIN_MS = 120_000;

export type KubeOptions = {
  readonly machinesPerZone: number;
  readonly operators: number;
  readonly isSharedLease: boolean;
  readonly whenScaled: "Retain" | "Delete";
  /** The most members that an autoscaler asks for; undefined: there is none. */
  readonly autoscaledMax: number | undefined;
  /** A member whose machine is gone for so long is made anew elsewhere, in s. */
  readonly replaceAfterSeconds: number;
  /** Whether the manifest has the nodes ask for tokens at first; then that is changed, and tokens are, in the run. */
  readonly asksForTokens: boolean;
};

export class KubeWorld {
  readonly cluster: SimulatedCluster;
  readonly options: KubeOptions;
  readonly server: SimulatedApiServer;
  readonly machines: Machines;
  readonly kubelets: Kubelets;
  readonly admin: AdminPorts;
  readonly operators: Operators;
  readonly autoscaler: Autoscaler | undefined;
  readonly random: SeededRandom;
  /** How often the number of replicas was changed, by whoever. */
  scales = 0;

  /** When a person last asked for a member to be made anew. */
  readonly #askedMs = new Map<string, number>();

  constructor(cluster: SimulatedCluster, options: KubeOptions) {
    this.cluster = cluster;
    this.options = options;
    const { simulator } = cluster;
    cluster.isElastic = true;
    this.random = cluster.random.stream("kubernetes");
    for (const node of cluster.nodes) node.isRetired = true;
    this.server = new SimulatedApiServer(simulator, this.random.stream("api server"));
    const { server } = this;
    const zones = Array.from({ length: cluster.options.zones }, (_, i) => `z${i}`);
    this.machines = new Machines(simulator, server, zones, options.machinesPerZone);
    const { machines } = this;
    const random = this.random.stream("kubelets");
    const tokens = new TokenTables({
      ...{ server, simulator, secret: accessName(NAME) },
      random: this.random.stream("mounted tokens"),
    });
    this.kubelets = new Kubelets({ cluster, server, machines, random, members: membersName(NAME), tokens });
    const { kubelets } = this;
    this.admin = new AdminPorts({ cluster, server, kubelets }, this.random.stream("admin ports"));
    this.operators = new Operators(
      { cluster, server, admin: this.admin, random: this.random.stream("operators") },
      {
        count: options.operators,
        isSharedLease: options.isSharedLease,
      },
    );
    const max = options.autoscaledMax;
    this.autoscaler =
      max === undefined
        ? undefined
        : new Autoscaler({ simulator, server, random: this.random.stream("load") }, max + 1);
    server.store.put(manifest(specOf(cluster.options, options), NAME) as KubeObject);
    this.#runControllers();
  }

  #runControllers(): void {
    const { server, machines, kubelets } = this;
    const scheduler = new Scheduler(server, machines);
    const sets = new StatefulSets({
      simulator: this.cluster.simulator,
      server,
      machines,
      random: this.random.stream("stateful sets"),
    });
    this.#repeat("machines", () => machines.look());
    this.#repeat("stateful set controller", () => sets.look());
    this.#repeat("scheduler", () => scheduler.look());
    this.#repeat("kubelet", () => kubelets.look());
    this.#repeat("autoscaler", () => this.autoscaler?.look(NAME, (replicas) => this.scale(replicas)));
  }

  /** Controllers do nothing while the API server is away. */
  #repeat(name: string, look: () => void): void {
    const random = this.random.stream(name);
    const { simulator } = this.cluster;
    const again = () => {
      simulator.after(random.between(...LOOK_MS), () => {
        if (simulator.nowMs >= this.server.awayUntilMs) look();
        again();
      });
    };
    again();
  }

  /** The KVCluster as it is stored. */
  get object(): KubeObject {
    const found = this.server.store.find("KVCluster", NAME);
    assert(found !== undefined, "the KVCluster is there");
    return found;
  }

  get replicas(): number {
    return numberAt(this.object, "spec", "replicas") ?? 3;
  }

  get pods(): readonly KubeObject[] {
    return this.server.store.all("Pod");
  }

  condition(type: string): { readonly status: string; readonly reason: string; readonly message: string } {
    const found = listAt(this.object, "status", "conditions").find((one) => at(one, "type") === type);
    const text = (field: string) => textAt(found, field) ?? "";
    return { status: text("status"), reason: text("reason"), message: text("message") };
  }

  /** Changes the spec as a user does: the rules of the KVCluster hold. */
  edit(spec: Record<string, unknown>): void {
    const { object } = this;
    this.server.store.put({ ...object, spec: { ...(object.spec as object), ...spec } });
  }

  /** Sets the number of replicas. */
  scale(replicas: number): void {
    if (replicas === this.replicas) return;
    this.cluster.simulator.tell(`scale from ${this.replicas} to ${replicas}`);
    this.edit({ replicas });
    this.scales += 1;
  }

  /** A person asks for a member to be made anew, or says that its disk is gone for good, if it has a pod. */
  askReplacement(name: string, value: "true" | "lost" = "true"): void {
    const pod = this.server.store.find("Pod", name);
    if (pod === undefined) return;
    this.#askedMs.set(name, this.cluster.simulator.nowMs);
    const annotations = { ...pod.metadata.annotations, [REPLACE_ANNOTATION]: value };
    this.server.store.set({ ...pod, metadata: { ...pod.metadata, annotations } });
  }

  /** Whether a person asks for it, or did a moment ago of a pod that may be gone since: an operator has seen that one. */
  isReplacementAsked(name: string): boolean {
    const sinceMs = this.cluster.simulator.nowMs - (this.#askedMs.get(name) ?? Number.NEGATIVE_INFINITY);
    const annotations = this.server.store.find("Pod", name)?.metadata.annotations;
    return sinceMs < LOOK_MS_MAX || annotations?.[REPLACE_ANNOTATION] !== undefined;
  }

  /** A person deletes the administrator's token, so that another is made. Returns whether there was one. */
  dropAdminToken(): boolean {
    const secret = this.server.store.find("Secret", accessName(NAME));
    const { [ADMIN_TOKEN_FILE]: token, ...data } = (secret?.data ?? {}) as Readonly<Record<string, string>>;
    if (secret === undefined || token === undefined) return false;
    this.server.store.set({ ...secret, data });
    return true;
  }

  /** Whether there is a token of the administrator's, or none is asked for. */
  hasAdminToken(): boolean {
    if (textAt(this.object, "spec", "access", "mode") !== "tokens") return true;
    return textAt(this.server.store.find("Secret", accessName(NAME)), "data", ADMIN_TOKEN_FILE) !== undefined;
  }

  /** Whether the API server refuses so many replicas, as it must below N. */
  refuses(replicas: number): boolean {
    try {
      this.edit({ replicas });
      return false;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      return error.failure === "refused";
    }
  }

  /** Starts the operators, and waits until they have brought the cluster up. */
  async found(): Promise<void> {
    this.operators.startAll();
    const { simulator } = this.cluster;
    const isFounded = () => this.condition("Available").status === "True";
    const founded = await simulator.runWhile(() => !isFounded() && this.cluster.bug === undefined, FOUNDED_WITHIN_MS);
    if (this.cluster.bug !== undefined) throw this.cluster.bug;
    assert(founded, `the operator brings a cluster up within ${FOUNDED_WITHIN_MS} ms: ${this.describe()}`);
  }

  /** A machine loses power: everything on it ends, and says nothing more. */
  powerOff(machine: Machine): void {
    if (!machine.isUp) return;
    machine.isUp = false;
    this.cluster.simulator.tell(`power off ${machine.name}`);
    for (const node of this.nodesOn(machine)) this.cluster.crash(node, "machine");
  }

  powerOn(machine: Machine): void {
    if (machine.isLost) return;
    machine.isUp = true;
    this.cluster.simulator.tell(`power on ${machine.name}`);
  }

  /** A machine that is off never comes back, and what its disks held is gone. */
  lose(machine: Machine): void {
    machine.isLost = true;
    machine.lostMs = this.cluster.simulator.nowMs;
    for (const pod of this.volumesOn(machine)) {
      const node = this.cluster.nodes.find(({ name }) => name === pod);
      if (node !== undefined) this.cluster.loseDisk(node);
    }
  }

  /** Pods whose volumes are on a machine. */
  volumesOn(machine: Machine): readonly string[] {
    const { store } = this.server;
    const host = hostOf(machine);
    return store.all("PersistentVolumeClaim").flatMap(({ metadata, spec }) => {
      const volume = store.find("PersistentVolume", textAt(spec, "volumeName") ?? "", "");
      const terms = at(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms", 0, "matchExpressions", 0);
      return textAt(terms, "values", 0) === host ? [metadata.name.slice("data-".length)] : [];
    });
  }

  /** The nodes of pods that are bound to a machine, and those whose disks are there while their pods are made anew. */
  nodesOn(machine: Machine): readonly SimulatedNode[] {
    const names = new Set(
      this.pods.filter((pod) => textAt(pod, "spec", "nodeName") === machine.name).map(({ metadata }) => metadata.name),
    );
    for (const name of this.volumesOn(machine)) {
      const claim = this.server.store.find("PersistentVolumeClaim", `data-${name}`);
      if (claim?.metadata.uid === this.kubelets.claimOf(name)) names.add(name);
    }
    return [...this.cluster.nodes.filter((node) => names.has(node.name)), ...this.kubelets.ghostsOn(machine)];
  }

  /** Where things stand, for a person. */
  describe(): string {
    const pods = this.pods.map(({ metadata, spec, status }) => {
      const state = at(status, "containerStatuses", 0, "state");
      const ready = textAt(status, "conditions", 0, "status");
      const going = metadata.deletionTimestamp === undefined ? "" : " going";
      return `${metadata.name} on ${textAt(spec, "nodeName")}${going} ready ${ready} ${JSON.stringify(state)}`;
    });
    const conditions = listAt(this.object, "status", "conditions").map(
      (one) => `${textAt(one, "type")}=${textAt(one, "status")} ${textAt(one, "reason")}: ${textAt(one, "message")}`,
    );
    return `wanted ${this.replicas}; ${conditions.join("; ")}; pods ${pods.join(", ")}`;
  }
}

function specOf(options: ClusterOptions, kube: KubeOptions): Record<string, unknown> {
  const { replicationFactor: n, readQuorum: r, writeQuorum: w, mode, nodes, partitions, durability } = options;
  const max = kube.autoscaledMax;
  const autoscaling = { minReplicas: n, maxReplicas: max, cooldownSeconds: 3 };
  return {
    replicas: nodes,
    quorum: { n, r, w, mode },
    // The members that stay may be in any zones: pods come to where there are machines.
    zones: { minimum: 1 },
    partitions: partitions ?? 16,
    storage: { size: "1Gi", durability, whenScaled: kube.whenScaled },
    access: { mode: kube.asksForTokens ? "tokens" : "open" },
    recovery: { replaceAfterSeconds: kube.replaceAfterSeconds },
    ...(max === undefined ? {} : { autoscaling }),
    config: {
      ANNULUS_REPAIR_INTERVAL_MS: String(options.repairIntervalMs ?? 2_000),
      ANNULUS_SCRUB_INTERVAL_MS: String(options.scrubIntervalMs ?? 60_000),
      ANNULUS_SIBLINGS_MAX: String(options.siblingsMax ?? 50),
      ANNULUS_CONTEXT_ENTRIES_MAX: String(options.contextEntriesMax ?? 32),
      ANNULUS_HINT_WINDOW_MS: String(options.hintWindowMs ?? 3 * 3_600_000),
    },
  };
}
