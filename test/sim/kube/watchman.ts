/**
 * Watches over what an operator must never do, whatever it saw: two ring changes at once; a StatefulSet without room for a
 * member; a volume of a member given up that is not lost, or while others are not whole; a pod restarted while others are
 * away. It judges by the rings that nodes adopted and by what really runs, not by what anybody is told.
 */
import assert from "node:assert/strict";
import type { RingView } from "../../../node/core/ring/document.ts";
import { ordinalOf } from "../../../operator/core/names.ts";
import { at, type KubeObject, numberAt, textAt } from "../../../operator/core/objects.ts";
import type { SimulatedNode } from "../cluster.ts";
import { REQUEST_MS_MAX } from "./api-server.ts";
import { type KubeWorld, NAME } from "./kube-world.ts";

/** What an operator saw is at most so old when it acts by it. */
const SEEN_MS = 15_000;
/** What is true is noticed within so long, by those who look once a second. */
const SLACK_MS = 2_000;
const LOOK_MS = 500;
/**
 * A machine may be told to be back, or a member join, between an operator's last look and the arrival of its request: the
 * API knows no precondition on another object, nor on the ring. The look is at most 2 s old when the request is sent
 * (operator/services/last-look.ts), which is on its way for as long as the faults of the API server let it be.
 */
const LAST_LOOK_MS = 2_000 + REQUEST_MS_MAX;

export class Watchman {
  readonly #world: KubeWorld;
  #newest: RingView | undefined;
  /** Change under way in the ring of each epoch that was seen; undefined: none. */
  readonly #changes = new Map<number, string | undefined>();
  /** When the change under way was first seen. */
  #changingSinceMs = Number.POSITIVE_INFINITY;
  /** Since when each member has been one. */
  readonly #memberSinceMs = new Map<string, number>();
  /** Pods that each StatefulSet, by uid, was to have. */
  readonly #replicas = new Map<string, number>();
  /** Claims of members that were given up. */
  readonly #givenUp = new Set<string>();
  /** When each member was last seen to run, and since when it has. */
  readonly #upMs = new Map<string, number>();
  readonly #upSinceMs = new Map<string, number>();

  /** Is told of a member that joined between the last look and the request that leaves it no pod: it gets it back. */
  onRoomless: (name: string) => void = () => undefined;

  constructor(world: KubeWorld) {
    this.#world = world;
    const { cluster, server, kubelets } = world;
    kubelets.onWipe = (node, claim) => this.#noteLoss(node, claim);
    cluster.onRingAdopted = (name) => {
      // Once it is in force.
      cluster.simulator.after(0, () => this.#guard(() => this.#readRing(cluster.byName(name))));
    };
    server.store.onRemove = (object) => this.#guard(() => this.#judgeRemoval(object));
    server.store.watch({ kind: "StatefulSet", apiVersion: "apps/v1", plural: "", isNamespaced: true }, {}, (set) =>
      this.#guard(() => this.#judgeSet(set)),
    );
    this.#look();
  }

  /** The members of the newest ring that any node adopted, without those that left. */
  get members(): readonly string[] {
    return (this.#newest?.members ?? []).flatMap(({ name, state }) => (state === "left" ? [] : [name]));
  }

  /** A person gives a volume up: it goes with its pod, whenever that does. */
  noteGivenUp(claim: string): void {
    this.#givenUp.add(claim);
  }

  /** Whether every member runs, on the disk that the ring lists, and none is about to go: only then may another be lost. */
  isWhole(): boolean {
    const claims = this.#world.server.store.all("PersistentVolumeClaim");
    if (claims.some(({ metadata }) => this.#givenUp.has(metadata.uid ?? ""))) return false;
    return this.members.every((name) => this.#runsAsListed(name)) && this.members.length > 0;
  }

  /** Zones with several members that may all be lost at once: each partition has its other homes elsewhere. */
  zonesToLose(): readonly string[] {
    const { members = [], preferenceLists = [], transition } = this.#newest ?? {};
    const isSpread = preferenceLists.every(
      (homes) => new Set(homes.map((home) => this.#zoneOf(home))).size === homes.length,
    );
    // A change that has begun goes on, and may leave fewer members of other zones than of that one.
    if (!isSpread || transition !== undefined || !this.isWhole()) return [];
    return [...new Set(members.map(({ zone }) => zone))].filter((zone) => {
      const listed = this.members.filter((name) => this.#zoneOf(name) === zone);
      const present = this.#world.machines.all.filter((machine) => machine.zone === zone);
      const held = present.flatMap((machine) => this.#world.volumesOn(machine));
      // One that was made anew in another zone stays listed in its first.
      const isMinority = listed.length * 2 < this.members.length;
      return isMinority && listed.length > 1 && held.every((name) => this.#zoneOf(name) === zone);
    });
  }

  #look(): void {
    const { simulator, nodes } = this.#world.cluster;
    simulator.after(LOOK_MS, () => {
      for (const node of nodes) {
        if (node.node === undefined) {
          this.#upSinceMs.delete(node.name);
          continue;
        }
        this.#upMs.set(node.name, simulator.nowMs);
        if (!this.#upSinceMs.has(node.name)) this.#upSinceMs.set(node.name, simulator.nowMs);
        this.#guard(() => this.#readRing(node));
      }
      this.#look();
    });
  }

  /** What it finds ends the run, also where it is found in the middle of an operator's call. */
  #guard(judge: () => void): void {
    try {
      judge();
    } catch (error) {
      this.#world.cluster.bug ??= error;
    }
  }

  #readRing({ node }: SimulatedNode): void {
    if (node === undefined || node.bounds().replicationFactor === 0) return;
    const ring = node.status.ring();
    if (this.#newest !== undefined && ring.epoch <= this.#newest.epoch) return;
    const { epoch, transition } = ring;
    const before = this.#changes.get(epoch - 1);
    const id = transition?.id;
    assert(
      before === undefined || id === undefined || before === id,
      `one change at a time: ${id} begins with epoch ${epoch} while ${before} runs`,
    );
    this.#changes.set(epoch, id);
    const isSame = id !== undefined && this.#newest?.transition?.id === id;
    if (id === undefined) this.#changingSinceMs = Number.POSITIVE_INFINITY;
    else if (!isSame) this.#changingSinceMs = this.#world.cluster.simulator.nowMs;
    this.#newest = ring;
    for (const { name, state } of ring.members) {
      if (state === "left") this.#memberSinceMs.delete(name);
      else if (!this.#memberSinceMs.has(name)) this.#memberSinceMs.set(name, this.#world.cluster.simulator.nowMs);
    }
  }

  /** A StatefulSet that shrinks, or is made, has room for every member: it takes away the highest ordinals. */
  #judgeSet(set: KubeObject): void {
    const present = this.#world.server.store.find("StatefulSet", set.metadata.name);
    if (present?.metadata.uid !== set.metadata.uid) return;
    const replicas = numberAt(set, "spec", "replicas") ?? 0;
    const before = this.#replicas.get(present?.metadata.uid ?? "") ?? Number.POSITIVE_INFINITY;
    this.#replicas.set(present?.metadata.uid ?? "", replicas);
    if (replicas >= before) return;
    const { simulator } = this.#world.cluster;
    for (const { name, state } of this.#newest?.members ?? []) {
      const ordinal = ordinalOf(NAME, name);
      if (ordinal === undefined || ordinal < replicas) continue;
      if (simulator.nowMs - (this.#memberSinceMs.get(name) ?? Number.NEGATIVE_INFINITY) <= LAST_LOOK_MS) {
        this.onRoomless(name);
        continue;
      }
      assert.equal(state, "left", `${name} is ${state}, and no pod of ${replicas} is left for it`);
      assert.equal(this.#owned(name), 0, `${name} is home to no partition when its pod goes`);
    }
  }

  #owned(name: string): number {
    const { preferenceLists = [], transition } = this.#newest ?? {};
    return [...preferenceLists, ...(transition?.preferenceLists ?? [])].filter((homes) => homes.includes(name)).length;
  }

  #judgeRemoval(object: KubeObject): void {
    const { name } = object.metadata;
    this.#world.cluster.simulator.tell(`removed: ${object.kind} ${name}`);
    if (object.kind === "PersistentVolumeClaim") this.#judgeClaim(object);
    if (object.kind === "Pod") this.#judgePod(name);
  }

  #judgeClaim(claim: KubeObject): void {
    const { kubelets } = this.#world;
    const { name, uid } = claim.metadata;
    const pod = name.slice("data-".length);
    const isMember = this.members.includes(pod);
    // A disk that never ran holds nothing.
    if (!isMember || kubelets.claimOf(pod) !== uid) return;
    assert(this.#isLost(pod, claim), `the volume of member ${pod} is given up, though it is not lost`);
    this.#othersPresent(pod, `the volume of ${pod} is given up`, this.#mayMiss(pod));
    // Not lost yet: a node that is still stopping goes on acknowledging.
    this.#givenUp.add(uid ?? "");
  }

  /** What a member still had on a volume that was given up is lost. */
  #noteLoss(node: SimulatedNode, claim: string): void {
    const { losses, simulator } = this.#world.cluster;
    if (!this.#givenUp.has(claim)) return;
    const atMs = simulator.nowMs;
    node.diskLostMs = atMs;
    losses.note({ kind: "disk", member: node.name, key: undefined, fromMs: Number.NEGATIVE_INFINITY, atMs });
  }

  /** Lost: its machine has been away for as long as the spec says, its volume is gone, or a person says so. */
  #isLost(name: string, claim: KubeObject): boolean {
    const { machines, server, kubelets, cluster, options } = this.#world;
    if (kubelets.lostClaims.has(claim.metadata.uid ?? "")) return true;
    if (this.#world.isReplacementAsked(name)) return true;
    const volume = server.store.find("PersistentVolume", textAt(claim, "spec", "volumeName") ?? "", "");
    const terms = at(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms", 0, "matchExpressions", 0);
    const machine = machines.find(textAt(terms, "values", 0));
    if (machine === undefined || machine.isLost) return true;
    const { nowMs } = cluster.simulator;
    const awayMs = options.replaceAfterSeconds * 1_000 - SLACK_MS;
    if (nowMs - machine.beatMs >= awayMs) return true;
    return machine.silenceMs >= awayMs && nowMs - machine.backMs <= LAST_LOOK_MS;
  }

  /** One that was seen not to start may have started since: it is taken for what it was a moment ago. */
  #judgePod(name: string): void {
    const { nowMs } = this.#world.cluster.simulator;
    const sinceMs = this.#upSinceMs.get(name);
    if (!this.members.includes(name) || sinceMs === undefined || nowMs - sinceMs < SEEN_MS) return;
    this.#othersPresent(name, `${name} is restarted`);
    assert(nowMs - this.#changingSinceMs <= SEEN_MS, `${name} is restarted while the ring has been changing`);
  }

  /** As the ring lists it. */
  #zoneOf(member: string): string | undefined {
    return this.#newest?.members.find(({ name }) => name === member)?.zone;
  }

  /** Those of its zone, where that is lost, a person says so, and no partition has another home in it. */
  #mayMiss(pod: string): readonly string[] {
    const { preferenceLists = [] } = this.#newest ?? {};
    const mates = this.members.filter((name) => name !== pod && this.#zoneOf(name) === this.#zoneOf(pod));
    const isShared = preferenceLists.some((homes) => homes.includes(pod) && homes.some((home) => mates.includes(home)));
    const isMinority = mates.length + 1 < this.members.length / 2;
    return isShared || !isMinority || !this.#world.isReplacementAsked(pod) ? [] : mates;
  }

  /** All others were up a moment ago, but for those that may be away. */
  #othersPresent(name: string, what: string, mayMiss: readonly string[] = []): void {
    const { nowMs } = this.#world.cluster.simulator;
    const away = this.members.filter(
      (other) =>
        other !== name &&
        !mayMiss.includes(other) &&
        nowMs - (this.#upMs.get(other) ?? Number.NEGATIVE_INFINITY) > SEEN_MS,
    );
    assert.deepEqual(away, [], `${what} while others have been away`);
  }

  #runsAsListed(name: string): boolean {
    const node = this.#world.cluster.nodes.find((one) => one.name === name)?.node;
    const listed = this.#newest?.members.find((member) => member.name === name)?.actor;
    return node !== undefined && (listed === undefined || listed === node.progress().actor);
  }
}
