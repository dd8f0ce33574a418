/**
 * Kubelets: they turn pods into running nodes of the simulated cluster, with the settings that the pod's template and the
 * mounted ConfigMap say, start again what ended, stop what is to go, and tell how it is.
 */
import assert from "node:assert/strict";
import { loadConfig } from "../../../node/config.ts";
import { nodeSettings } from "../../../node/node-settings.ts";
import { formatInstant } from "../../../operator/core/instant.ts";
import { at, type KubeObject, listAt, textAt } from "../../../operator/core/objects.ts";
import { stopParts } from "../clean-stop.ts";
import type { SimulatedCluster, SimulatedNode } from "../cluster.ts";
import type { SeededRandom } from "../random.ts";
import type { Process } from "../simulator.ts";
import type { SimulatedApiServer } from "./api-server.ts";
import type { Machine, Machines } from "./machines.ts";
import type { TokenTables } from "./token-tables.ts";

/** A pod's container, while the pod exists. */
type Container = {
  readonly pod: string;
  readonly ip: string;
  readonly machine: Machine;
  process: Process | undefined;
  startedMs: number;
  restartAtMs: number;
  isStopping: boolean;
};

/** Between the end of a pod's being addressed and its signal. */
const PRE_STOP_MS = 500;
/** A node that does not stop by itself is killed. */
const GRACE_MS = 10_000;
/** Pause before a container that ended is started again, in ms. */
const RESTART_MS = [100, 6_000] as const;
/** How old a mounted ConfigMap may be when a container starts, in ms. */
const STALE_MS = 5_000;
/** An image that cannot be pulled has this in its name. */
const BAD_IMAGE = "bad";

type Parts = {
  readonly cluster: SimulatedCluster;
  readonly server: SimulatedApiServer;
  readonly machines: Machines;
  readonly random: SeededRandom;
  /** Name of the ConfigMap that pods mount. */
  readonly members: string;
  readonly tokens: TokenTables;
};

export class Kubelets {
  readonly #parts: Parts;
  readonly #containers = new Map<string, Container>();
  /** Claims whose volumes are gone: nothing can be started on them. */
  readonly lostClaims = new Set<string>();
  /** Is told of each disk that goes with its claim. */
  onWipe: (node: SimulatedNode, claim: string) => void = () => undefined;
  /** By pod name: the claim whose volume its disk is. */
  readonly #claims = new Map<string, string>();
  /** What the ConfigMap said, and since when. */
  readonly #texts: { readonly sinceMs: number; readonly text: string | undefined }[] = [];
  /** Nodes whose pods and volumes were given up while nobody reached their machines. */
  readonly #ghosts = new Map<SimulatedNode, { readonly machine: Machine; readonly claim: string }>();
  /** Is told of a node that goes on though it was given up. */
  onGhost: (name: string) => void = () => undefined;
  #starting: SimulatedNode | undefined;
  #addresses = 0;
  readonly #freeAddresses: string[] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
    const { cluster } = parts;
    cluster.mayStart = (machine) => machine === this.#starting;
    cluster.settingsOf = (machine) => this.#settingsOf(machine);
  }

  /** What the nodes of pods know of tokens. */
  get tokens(): TokenTables {
    return this.#parts.tokens;
  }

  /** The pod that has an address now. */
  podAt(ip: string): string | undefined {
    return [...this.#containers.values()].find((container) => container.ip === ip)?.pod;
  }

  /** Whether operators reach what has an address. */
  isReached(ip: string): boolean {
    const container = [...this.#containers.values()].find((one) => one.ip === ip);
    return container !== undefined && container.machine.cutOffUntilMs <= this.#parts.cluster.simulator.nowMs;
  }

  /** What was given up and runs on a machine all the same. */
  ghostsOn(machine: Machine): readonly SimulatedNode[] {
    return [...this.#ghosts].flatMap(([ghost, held]) => (held.machine === machine ? [ghost] : []));
  }

  /** The claim whose volume is the disk of a pod's node. */
  claimOf(pod: string): string | undefined {
    return this.#claims.get(pod);
  }

  /** Runs every pod one step further. */
  look(): void {
    const { store } = this.#parts.server;
    const { nowMs } = this.#parts.cluster.simulator;
    const text = textAt(store.find("ConfigMap", this.#parts.members), "data", "members.env");
    if (this.#texts.at(-1)?.text !== text || this.#texts.length === 0) this.#texts.push({ sinceMs: nowMs, text });
    this.#parts.tokens.look();
    const pods = store.all("Pod").sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    this.#forget(pods);
    this.#endGhosts();
    this.#clearDisks();
    for (const pod of pods) this.#run(pod);
  }

  /** What was on a volume goes with its claim. */
  #clearDisks(): void {
    const { cluster, server } = this.#parts;
    const present = new Set(server.store.all("PersistentVolumeClaim").map(({ metadata }) => metadata.uid));
    for (const [name, uid] of this.#claims) {
      const node = cluster.byName(name);
      if (present.has(uid) || node.process !== undefined) continue;
      node.disk.wipe();
      this.onWipe(node, uid);
      this.#claims.delete(name);
    }
  }

  /** What belongs to no pod any more ends. */
  #forget(pods: readonly KubeObject[]): void {
    const { cluster } = this.#parts;
    const uids = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const [uid, container] of this.#containers) {
      if (uids.has(uid)) continue;
      this.#containers.delete(uid);
      this.#freeAddresses.push(container.ip);
      const node = cluster.nodes.find(({ name }) => name === container.pod);
      if (node?.process === undefined || node.process !== container.process) continue;
      if (!this.#goesOn(node, container.machine)) cluster.crash(node, "process");
    }
    const names = new Set(pods.map(({ metadata }) => metadata.name));
    for (const node of cluster.nodes) node.isRetired = !names.has(node.name);
  }

  /** A machine that hears of nothing stops nothing: a node that was given up with its volume runs on there. */
  #goesOn(node: SimulatedNode, machine: Machine): boolean {
    const { cluster, machines, server } = this.#parts;
    const claim = this.#claims.get(node.name);
    const found = server.store.find("PersistentVolumeClaim", `data-${node.name}`);
    const isGivenUp = found?.metadata.uid !== claim || found?.metadata.deletionTimestamp !== undefined;
    if (!isGivenUp || claim === undefined || node.node === undefined || !machine.isUp || machines.isSeen(machine))
      return false;
    this.#ghosts.set(cluster.abandon(node), { machine, claim });
    this.#claims.delete(node.name);
    this.onGhost(node.name);
    return true;
  }

  /** A machine that is back ends what it should not run, and its volume goes. */
  #endGhosts(): void {
    const { cluster, machines } = this.#parts;
    for (const [ghost, { machine, claim }] of this.#ghosts) {
      if (!machine.isLost && !machines.isSeen(machine)) continue;
      cluster.crash(ghost, "process");
      ghost.disk.wipe();
      this.onWipe(ghost, claim);
      this.#ghosts.delete(ghost);
      cluster.ghosts.splice(cluster.ghosts.indexOf(ghost), 1);
    }
  }

  #run(pod: KubeObject): void {
    const { machines, server } = this.#parts;
    const machine = machines.find(textAt(pod, "spec", "nodeName"));
    if (machine === undefined) {
      if (pod.metadata.deletionTimestamp !== undefined) server.store.drop(pod);
      return;
    }
    if (!machines.isSeen(machine)) return;
    const node = this.#nodeOf(pod.metadata.name, machine);
    const container = this.#containerOf(pod, machine);
    if (pod.metadata.deletionTimestamp !== undefined) return this.#stop(pod, node, container);
    this.#setStatus(pod, node, container, this.#start(pod, node, container));
  }

  #nodeOf(name: string, { zone }: Machine): SimulatedNode {
    const { cluster } = this.#parts;
    const node = cluster.nodes.find((one) => one.name === name) ?? cluster.addNamed(name, zone);
    node.zone = zone;
    return node;
  }

  #containerOf(pod: KubeObject, machine: Machine): Container {
    const { name, uid = "" } = pod.metadata;
    let container = this.#containers.get(uid);
    if (container === undefined) {
      // Addresses are given out again: one that was a pod's a moment ago is another's now.
      const ip = this.#freeAddresses.pop() ?? `10.0.0.${++this.#addresses}`;
      container = { pod: name, ip, machine, process: undefined, startedMs: 0, restartAtMs: 0, isStopping: false };
      this.#containers.set(uid, container);
    }
    return container;
  }

  /** Starts the container if it does not run and may. Returns why it waits. */
  #start(pod: KubeObject, node: SimulatedNode, container: Container): string | undefined {
    const { cluster, server, random } = this.#parts;
    const { nowMs } = cluster.simulator;
    if (container.process !== undefined && node.process === container.process) return undefined;
    if (container.process !== undefined) {
      container.process = undefined;
      container.restartAtMs = nowMs + random.between(...RESTART_MS);
    }
    const { name, namespace } = pod.metadata;
    const claim = server.store.find("PersistentVolumeClaim", `data-${name}`, namespace);
    const uid = claim?.metadata.uid ?? "";
    if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return "ContainerCreating";
    if (this.lostClaims.has(uid)) return "ContainerCreating";
    if (textAt(pod, "spec", "containers", 0, "image")?.includes(BAD_IMAGE) === true) return "ImagePullBackOff";
    if (nowMs < container.restartAtMs) return "CrashLoopBackOff";
    if (this.#parts.tokens.isAwaited(pod)) return "ContainerCreating";
    if (this.#mounted(random.chance([1, 4]) ? random.below(STALE_MS) : 0) === undefined) return "ContainerCreating";
    // The process of an earlier pod of the name: it ends first.
    if (node.process !== undefined) return "ContainerCreating";
    // What the volume before it held is not gone yet.
    if (this.#claims.has(name) && this.#claims.get(name) !== uid) return "ContainerCreating";
    this.#claims.set(name, uid);
    this.#starting = node;
    cluster.start(node);
    this.#starting = undefined;
    container.process = node.process;
    container.startedMs = nowMs;
    return undefined;
  }

  /** The file as a container that starts now finds it. */
  #mounted(ageMs: number): string | undefined {
    const atMs = this.#parts.cluster.simulator.nowMs - ageMs;
    return this.#texts.findLast(({ sinceMs }) => sinceMs <= atMs)?.text ?? this.#texts.at(-1)?.text;
  }

  #settingsOf(machine: SimulatedNode) {
    const { server, random } = this.#parts;
    const pod = server.store.find("Pod", machine.name);
    assert(pod !== undefined, "only a pod's node is started");
    const environment: Record<string, string> = {};
    for (const entry of listAt(pod, "spec", "containers", 0, "env")) {
      const name = textAt(entry, "name") ?? "";
      const value = textAt(entry, "value") ?? String(at(pod, "metadata", "name"));
      environment[name] = value.replace("$(ANNULUS_NODE)", environment.ANNULUS_NODE ?? "");
    }
    const ageMs = random.chance([1, 4]) ? random.below(STALE_MS) : 0;
    return nodeSettings(loadConfig(environment, () => this.#mounted(ageMs) ?? ""));
  }

  #stop(pod: KubeObject, node: SimulatedNode, container: Container): void {
    if (container.isStopping) return;
    container.isStopping = true;
    const { cluster, machines, server } = this.#parts;
    const { simulator } = cluster;
    const { process } = container;
    const machine = machines.find(textAt(pod, "spec", "nodeName"));
    const end = () => {
      // Nobody is there to confirm it: it is tried again when the machine is back.
      if (machine === undefined || !machines.isSeen(machine)) {
        container.isStopping = false;
        return;
      }
      if (node.process !== undefined && node.process === process) cluster.crash(node, "process");
      const present = server.store.find("Pod", pod.metadata.name, pod.metadata.namespace);
      if (present !== undefined && present.metadata.uid === pod.metadata.uid) server.store.drop(present);
    };
    const running = process !== undefined && node.process === process ? node.node : undefined;
    if (running === undefined) return end();
    simulator.after(PRE_STOP_MS, () => {
      if (node.node !== running) return end();
      let isEnded = false;
      const once = () => {
        if (!isEnded) end();
        isEnded = true;
      };
      stopParts(node)?.then(once, once);
      simulator.after(GRACE_MS, once);
    });
  }

  #setStatus(pod: KubeObject, node: SimulatedNode, { ip, startedMs }: Container, waits: string | undefined): void {
    const { server, cluster } = this.#parts;
    const isReady = waits === undefined && node.node?.status.readiness().ready === true;
    const startedAt = formatInstant(server.store.nowMs - (cluster.simulator.nowMs - startedMs));
    const state = waits === undefined ? { running: { startedAt } } : { waiting: { reason: waits } };
    const status = {
      podIP: ip,
      conditions: [{ type: "Ready", status: isReady ? "True" : "False" }],
      containerStatuses: [{ name: "node", state }],
    };
    const present = server.store.find("Pod", pod.metadata.name, pod.metadata.namespace);
    if (present === undefined || present.metadata.uid !== pod.metadata.uid) return;
    if (JSON.stringify(present.status) !== JSON.stringify(status)) server.store.set({ ...present, status });
  }
}
