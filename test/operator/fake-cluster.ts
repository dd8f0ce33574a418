/**
 * A small Kubernetes around the fake API server and the fake nodes: StatefulSet controller, scheduler, kubelets,
 * volumes that stick to their machine, and a watchman who stops the test when something is taken away that is needed.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createCertificateMaker } from "../../operator/adapters/certificates.ts";
import type { Presets } from "../../operator/api/kvcluster.ts";
import { fileOf } from "../../operator/core/certificates.ts";
import { readPod } from "../../operator/core/facts.ts";
import { formatInstant } from "../../operator/core/instant.ts";
import { at, type KubeObject, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { createEvents } from "../../operator/services/events.ts";
import { createObserver } from "../../operator/services/observe.ts";
import { createReconciler } from "../../operator/services/reconciler.ts";
import { FakeKube } from "./fake-kube.ts";
import { type Disk, FakeNodes } from "./fake-nodes.ts";
import { manifest, PRESETS } from "./manifests.ts";

export const NAME = "sessions";
const TICK_MS = 1_000;
/** How long a kubelet takes to bring a changed Secret to the pods that mount it. */
const MOUNT_LAG_MS = 60_000;
const POLICY = { nodeImage: "annulus:good", operatorNamespace: "annulus-system" };

export class FakeCluster {
  readonly kube = new FakeKube();
  readonly nodes: FakeNodes;
  readonly machines: string[];
  readonly downMachines = new Set<string>();
  /** By claim uid: the disk itself, and where it is. */
  readonly disks = new Map<string, { readonly disk: Disk; readonly machine: string }>();
  /** Pods whose container is not running though it could: it crashed. */
  readonly crashed = new Set<string>();
  readonly story: string[] = [];
  /** What operators wrote into their log. */
  readonly logged: string[] = [];
  /** What the mounted file of tokens said, and since when. */
  readonly #tables: { readonly sinceMs: number; readonly text: string }[] = [];
  #actors = 0;
  #reconcile: () => Promise<number | undefined>;

  #presets: Presets;

  constructor(spec: Record<string, unknown> = {}, machinesPerZone = 2, presets: Presets = PRESETS) {
    this.#presets = presets;
    this.machines = ["a", "b", "c"].flatMap((zone) =>
      Array.from({ length: machinesPerZone }, (_, index) => `${zone}${index + 1}`),
    );
    for (const machine of this.machines) this.#setMachine(machine, true);
    const stored = this.kube.put(manifest(spec) as KubeObject);
    const quorum = { n: 3, r: 2, w: 2, mode: "sloppy", ...(spec.quorum as object | undefined) };
    this.nodes = new FakeNodes(stored.metadata.uid ?? "", quorum);
    this.kube.onRemove = (object) => this.#watchRemoval(object);
    this.#reconcile = this.#newOperator();
  }

  /** A process of the operator that has just been started: it remembers nothing. */
  #newOperator(): () => Promise<number | undefined> {
    const clock = () => this.kube.nowMs;
    const time = { monotonicMs: clock, wallMs: clock, after: () => assert.fail("a reconciler sets no timers") };
    let drawn = 0;
    const random = { uint32: () => ++drawn, bytes: (count: number) => new Uint8Array(count).fill(++drawn) };
    const log = (_level: string, event: string, fields?: Record<string, unknown>) =>
      void this.logged.push(`${event} ${JSON.stringify(fields ?? {})}`);
    const telemetry = { count() {}, observe() {}, gauge() {}, log };
    const ports = { kube: this.kube, admin: this.nodes, time, random, telemetry };
    const events = createEvents(ports, { instance: "operator" });
    const presets = this.#presets;
    const observe = createObserver(ports, { ...POLICY, ...presets });
    const reconciler = createReconciler({
      ...ports,
      certificates: createCertificateMaker(),
      events,
      observe,
      presets,
      mayAct: () => true,
    });
    return () => reconciler.reconcile({ namespace: "default", name: NAME });
  }

  /** The operator is started anew with other settings. */
  upgrade(presets: Presets): void {
    this.#presets = presets;
    this.#reconcile = this.#newOperator();
  }

  get cluster(): KubeObject {
    const found = this.kube.find("KVCluster", NAME);
    assert.ok(found, "the KVCluster is gone");
    return found;
  }

  condition(type: string): { status: string; reason: string; message: string } {
    const found = listAt(this.cluster, "status", "conditions").find((one) => at(one, "type") === type);
    const text = (field: string) => textAt(found, field) ?? "";
    return { status: text("status"), reason: text("reason"), message: text("message") };
  }

  get pods(): KubeObject[] {
    return this.kube.all("Pod").sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  get members(): string[] {
    return (this.nodes.ring?.members ?? []).filter(({ state }) => state !== "left").map(({ name }) => name);
  }

  edit(spec: Record<string, unknown>): void {
    const { cluster } = this;
    this.kube.put({ ...cluster, spec: { ...(cluster.spec as object), ...spec } });
  }

  annotate(kind: string, name: string, annotations: Record<string, string>): void {
    const object = this.kube.find(kind, name);
    if (object === undefined) return;
    this.kube.set({
      ...object,
      metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, ...annotations } },
    });
  }

  /**
   * One run of the operator; with `calls`, it is killed at that call and started anew.
   *
   * @returns Whether it was killed: a run may have fewer calls.
   */
  async reconcile(calls?: number): Promise<boolean> {
    this.kube.callsLeft = calls;
    let wasKilled = false;
    try {
      await this.#reconcile();
      this.kube.callsLeft = undefined;
    } catch (error) {
      wasKilled = this.kube.callsLeft === 0;
      this.kube.callsLeft = undefined;
      if (!wasKilled) throw error;
      this.#reconcile = this.#newOperator();
    }
    this.#check();
    return wasKilled;
  }

  /** A second passes in Kubernetes and in the nodes. */
  tick(): void {
    this.kube.nowMs += TICK_MS;
    this.nodes.nowMs = this.kube.nowMs;
    this.#noteTable();
    this.#endPods();
    for (const set of this.kube.all("StatefulSet")) this.#runStatefulSet(set);
    for (const pod of this.pods) this.#runPod(pod);
    this.nodes.tick();
    this.#check();
  }

  /** Runs operator and world until `done`, and fails after `seconds`. */
  async until(what: string, done: () => boolean, seconds = 300): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      await this.reconcile();
      if (done()) return;
      this.tick();
    }
    assert.fail(
      `not within ${seconds} s: ${what}; conditions ${JSON.stringify(at(this.cluster, "status", "conditions"), null, 1)}`,
    );
  }

  /** At rest, with all as the spec wants it. */
  isSettled(): boolean {
    const replicas = numberAt(this.cluster, "spec", "replicas") ?? 3;
    return (
      this.condition("Progressing").reason === "AsWanted" &&
      this.condition("Available").status === "True" &&
      this.members.length === replicas &&
      this.pods.length === replicas
    );
  }

  setMachineDown(machine: string, isDown: boolean): void {
    if (isDown === this.downMachines.has(machine)) return;
    if (isDown) this.downMachines.add(machine);
    else this.downMachines.delete(machine);
    this.#setMachine(machine, !isDown);
    if (isDown)
      for (const pod of this.pods)
        if (textAt(pod, "spec", "nodeName") === machine) this.nodes.processes.delete(pod.metadata.name);
  }

  #setMachine(name: string, isReady: boolean): void {
    this.kube.set({
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name,
        labels: { "topology.kubernetes.io/zone": name.slice(0, 1), "kubernetes.io/hostname": `host-${name}` },
      },
      status: {
        conditions: [
          { type: "Ready", status: isReady ? "True" : "Unknown", lastTransitionTime: formatInstant(this.kube.nowMs) },
        ],
      },
    });
  }

  #endPods(): void {
    for (const pod of this.pods) {
      const isHeld = this.downMachines.has(textAt(pod, "spec", "nodeName") ?? "");
      if (pod.metadata.deletionTimestamp === undefined || isHeld) continue;
      this.nodes.processes.delete(pod.metadata.name);
      this.kube.drop(pod);
    }
    for (const claim of this.kube.all("PersistentVolumeClaim")) {
      const isUsed = this.kube.find("Pod", claim.metadata.name.slice("data-".length)) !== undefined;
      if (claim.metadata.deletionTimestamp === undefined || isUsed) continue;
      this.disks.delete(claim.metadata.uid ?? "");
      this.kube.drop(claim);
    }
    for (const name of this.nodes.processes.keys())
      if (this.kube.find("Pod", name) === undefined) this.nodes.processes.delete(name);
  }

  #runStatefulSet(set: KubeObject): void {
    const replicas = numberAt(set, "spec", "replicas") ?? 0;
    const template = at(set, "spec", "template");
    const revision = createHash("sha256").update(JSON.stringify(template)).digest("hex").slice(0, 10);
    for (let ordinal = 0; ordinal < replicas; ordinal += 1) {
      const name = `${NAME}-${ordinal}`;
      const claim = this.kube.find("PersistentVolumeClaim", `data-${name}`);
      if (this.kube.find("Pod", name) !== undefined || claim?.metadata.deletionTimestamp !== undefined) continue;
      const labels = at(template, "metadata", "labels") as Record<string, string>;
      if (claim === undefined) {
        const spec = at(set, "spec", "volumeClaimTemplates", 0, "spec");
        this.kube.set({
          apiVersion: "v1",
          kind: "PersistentVolumeClaim",
          metadata: { name: `data-${name}`, namespace: "default", labels },
          spec,
        });
      }
      const image = textAt(template, "spec", "containers", 0, "image");
      this.kube.set({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default", labels: { ...labels, "controller-revision-hash": revision } },
        spec: { ...(at(template, "spec") as object), image },
        status: {},
      });
    }
    for (const pod of this.pods)
      if (Number(pod.metadata.name.slice(NAME.length + 1)) >= replicas) {
        this.#watchRemoval(pod, "scale");
        this.kube.markDeleted(pod);
      }
    const status = { observedGeneration: set.metadata.generation, updateRevision: revision };
    if (
      textAt(set, "status", "updateRevision") !== revision ||
      numberAt(set, "status", "observedGeneration") !== set.metadata.generation
    )
      this.kube.set({ ...set, status });
  }

  #runPod(pod: KubeObject): void {
    const { name } = pod.metadata;
    if (pod.metadata.deletionTimestamp !== undefined) return;
    const claim = this.kube.find("PersistentVolumeClaim", `data-${name}`);
    if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return;
    const uid = claim.metadata.uid ?? "";
    const machine = textAt(pod, "spec", "nodeName");
    if (machine === undefined) return this.#schedule(pod, claim);
    if (this.downMachines.has(machine)) return this.#setStatus(pod, false, undefined);
    const settings = textAt(this.kube.find("ConfigMap", `${NAME}-members`), "data", "members.env");
    if (settings === undefined) return;
    const image = textAt(pod, "spec", "image") ?? "";
    if (image.includes("bad")) return this.#setStatus(pod, false, "ImagePullBackOff");
    if (this.crashed.has(name)) return this.#setStatus(pod, false, "CrashLoopBackOff");
    const knowsTokens = !image.includes("old");
    const { asksForToken = false, isAdminSecure = false } = readPod(pod, NAME) ?? {};
    // A setting that it does not know, or a Secret that is not there.
    if (asksForToken && !knowsTokens) return this.#setStatus(pod, false, "CrashLoopBackOff");
    if (asksForToken && this.#tables.length === 0) return this.#setStatus(pod, false, undefined);
    const secret = this.kube.find("Secret", `${NAME}-tls`);
    assert.ok(!isAdminSecure || fileOf(secret, `${name}.crt`) !== undefined, `${name} starts without a certificate`);
    const entry = this.disks.get(uid);
    assert.ok(entry, "a bound claim has a disk");
    if (!this.nodes.processes.has(name))
      this.nodes.processes.set(name, {
        ...{ name, disk: entry.disk, zone: machine.slice(0, 1), startedMs: this.kube.nowMs },
        ...{ settings, knowsTokens, isAdminSecure, tokens: this.#mountedTable(asksForToken) },
      });
    this.#setStatus(pod, this.nodes.isReady(name), undefined);
  }

  #noteTable(): void {
    const text = fileOf(this.kube.find("Secret", `${NAME}-access`), "tokens.json");
    if (text === undefined || text === this.#tables.at(-1)?.text) return;
    this.#tables.push({ sinceMs: this.kube.nowMs, text });
  }

  /** A pod finds the file as it is when it starts; what comes later comes late. */
  #mountedTable(asksForToken: boolean): () => string | undefined {
    if (!asksForToken) return () => undefined;
    const first = this.#tables.at(-1)?.text;
    const startedMs = this.kube.nowMs;
    const isHere = ({ sinceMs }: { sinceMs: number }) =>
      sinceMs > startedMs && sinceMs <= this.kube.nowMs - MOUNT_LAG_MS;
    return () => this.#tables.findLast(isHere)?.text ?? first;
  }

  #schedule(pod: KubeObject, claim: KubeObject): void {
    const uid = claim.metadata.uid ?? "";
    const held = this.disks.get(uid)?.machine;
    const load = (machine: string) => this.pods.filter((other) => textAt(other, "spec", "nodeName") === machine).length;
    const zoneLoad = (machine: string) =>
      this.pods.filter((other) => textAt(other, "spec", "nodeName")?.[0] === machine[0]).length;
    const able = this.machines.filter(
      (machine) => !this.downMachines.has(machine) && (held === undefined || held === machine),
    );
    const [chosen] = able.sort((a, b) => zoneLoad(a) - zoneLoad(b) || load(a) - load(b) || (a < b ? -1 : 1));
    if (chosen === undefined) return;
    if (held === undefined) {
      this.#actors += 1;
      this.disks.set(uid, {
        disk: { actor: this.#actors.toString(16).padStart(32, "0"), hadRing: false, epoch: 0 },
        machine: chosen,
      });
      const volume = `pv-${uid}`;
      const affinity = { key: "kubernetes.io/hostname", operator: "In", values: [`host-${chosen}`] };
      const terms = [{ matchExpressions: [affinity] }];
      this.kube.set({
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name: volume },
        spec: { nodeAffinity: { required: { nodeSelectorTerms: terms } } },
      });
      const spec = { ...(claim.spec as object), volumeName: volume };
      this.kube.set({ ...claim, spec, status: { phase: "Bound" } });
    }
    this.kube.set({ ...pod, spec: { ...(pod.spec as object), nodeName: chosen } });
  }

  #setStatus(pod: KubeObject, isReady: boolean, trouble: string | undefined): void {
    const process = this.nodes.processes.get(pod.metadata.name);
    const state =
      process === undefined || trouble !== undefined
        ? { waiting: { reason: trouble ?? "ContainerCreating" } }
        : { running: { startedAt: formatInstant(process.startedMs) } };
    const conditions = [{ type: "Ready", status: isReady ? "True" : "False" }];
    const status = { podIP: "10.0.0.1", conditions, containerStatuses: [{ name: "node", state }] };
    if (JSON.stringify(pod.status) !== JSON.stringify(status)) this.kube.set({ ...pod, status });
  }

  /** Somebody deletes the StatefulSet; its pods and volumes stay, as with --cascade=orphan. */
  dropStatefulSet(): void {
    const set = this.kube.find("StatefulSet", NAME);
    if (set !== undefined) this.kube.drop(set);
  }

  crash(name: string, isDown: boolean): void {
    if (isDown) {
      this.crashed.add(name);
      this.nodes.processes.delete(name);
    } else this.crashed.delete(name);
  }

  /** What the whole is about: nothing that a present member still has on its disk is taken away. */
  #watchRemoval(object: KubeObject, how = "delete"): void {
    const { name, uid } = object.metadata;
    this.story.push(`${how} ${object.kind} ${name}`);
    if (object.kind === "PersistentVolumeClaim") {
      const member = name.slice("data-".length);
      const disk = this.disks.get(uid ?? "")?.disk;
      if (!this.nodes.needs(member, disk)) return;
      const isAsked = this.kube.find("Pod", member)?.metadata.annotations?.["annulus.dev/replace"] === "lost";
      const others = this.nodes.downBesides(member, isAsked && !this.nodes.isUp(member));
      assert.deepEqual(others, [], `the volume of ${member} is given up while others are down`);
    }
    if (object.kind === "Pod" && how === "scale")
      assert.ok(!this.nodes.needs(name, undefined), `${name} is scaled away while it is a member`);
    // A pod that is not in the ring yet serves nobody: a person may have it made anew at any time.
    if (object.kind === "Pod" && how === "delete" && this.members.includes(name) && this.nodes.isUp(name)) {
      assert.deepEqual(this.nodes.downBesides(name), [], `${name} is restarted while others are down`);
      assert.equal(this.nodes.running, undefined, `${name} is restarted during a change`);
    }
  }

  #check(): void {
    const members = this.nodes.ring?.members.filter(({ state }) => state !== "left") ?? [];
    assert.ok(this.nodes.ring === undefined || members.length >= this.nodes.ring.n, "fewer members than N");
  }
}

/** A cluster at rest for the first time. */
export async function settled(spec: Record<string, unknown> = {}): Promise<FakeCluster> {
  const cluster = new FakeCluster(spec);
  await cluster.until("settled at first", () => cluster.isSettled());
  return cluster;
}

/** Pods that its StatefulSet is to have. */
export const replicasOf = (cluster: FakeCluster) =>
  numberAt(cluster.kube.find("StatefulSet", NAME), "spec", "replicas");
