/**
 * What goes wrong around an operator, and what people and autoscalers want meanwhile: scaling up, down and back, weights,
 * images; operators that die between any two actions; an API server that is slow, forgetful, silent or away; machines,
 * volumes and whole clusters that lose power.
 */
import assert from "node:assert/strict";
import { textAt } from "../../../operator/core/objects.ts";
import { NodeSilentError } from "../../../operator/ports.ts";
import type { Faults } from "../faults.ts";
import type { Ratio, SeededRandom } from "../random.ts";
import { REQUEST_MS_MAX } from "./api-server.ts";
import { type KubeWorld, NAME } from "./kube-world.ts";
import type { Machine } from "./machines.ts";
import { whyNotAtRest } from "./rest.ts";
import { disturbTokens } from "./token-upheaval.ts";
import { Watchman } from "./watchman.ts";
import { loseZone } from "./zone-upheaval.ts";

export const UPHEAVALS = [
  "scale",
  "scale and back",
  "size below N",
  "weights",
  "image",
  "orphaned pods",
  "member asked out",
  "operator killed",
  "operator held up",
  "operator killed between actions",
  "API server away",
  "API server unreliable",
  "watches broken",
  "watches silent",
  "nodes unreachable",
  "machine off",
  "machine off for long",
  "machine lost",
  "machine mute",
  "machine cut off",
  "volume lost",
  "replacement asked",
  "volume deleted",
  "cold start",
] as const;
export type UpheavalKind = (typeof UPHEAVALS)[number];

/** These change how many members there are; a run has them all, and often. */
const ALWAYS: readonly UpheavalKind[] = ["scale", "scale and back", "operator killed between actions"];
const OFTEN: Ratio = [1, 3];
/** Members that a run has at most: each costs the simulation time. */
const MEMBERS_MAX = 7;
/** Once nothing goes wrong any more, all is as the spec wants it within this much virtual time. */
const SETTLED_WITHIN_MS = 400_000;
/** For so long all stays as wanted before it is held to be at rest. */
const STEADY_MS = 1_000;
/** A machine that is away for less is never given up: the spec waits for 10 s. */
const SHORT_MS = [500, 7_000] as const;
const QUORUM_MS = [3_000, 15_000] as const;
/** Long enough for what runs on it to be made anew elsewhere while it runs on. */
const CUT_OFF_MS = [20_000, 60_000] as const;
const LONG_MS = [12_000, 30_000] as const;
/** Of the requests that change something, and of the others, so many are an operator's last. */
const LAST_WRITE: Ratio = [1, 40];
const LAST_READ: Ratio = [1, 2_000];

export class Upheaval {
  readonly met = new Map<string, number>();
  readonly #world: KubeWorld;
  readonly #faults: Faults;
  readonly #random: SeededRandom;
  readonly #kinds: readonly UpheavalKind[];
  readonly #watchman: Watchman;
  #on = true;

  constructor(world: KubeWorld, faults: Faults) {
    this.#world = world;
    this.#faults = faults;
    this.#random = world.random.stream("upheaval");
    this.#kinds = UPHEAVALS.filter((kind) => ALWAYS.includes(kind) || this.#random.chance([1, 2]));
    this.#watchman = new Watchman(world);
    world.kubelets.onGhost = () => this.#count("kube: node ran on beside its successor");
    this.#watchman.onRoomless = () => this.#count("kube: member joined as its pod was taken away");
    faults.mayLoseDisk = () => this.#watchman.isWhole();
    const killing = this.#random.stream("last actions");
    world.server.onCall = (process, { isWrite }) => {
      if (this.#on && killing.chance(isWrite ? LAST_WRITE : LAST_READ)) this.#killBetween(process);
    };
    world.admin.onRequest = (process, { method }) => {
      if (method !== "GET" && this.#on && killing.chance([1, 8])) this.#killBetween(process);
    };
    this.#later();
    this.#quorumsLater(this.#random.stream("changes of quorums"));
    const during = { isOn: () => this.#on, count: (what: string) => this.#count(what) };
    disturbTokens(world, this.#random.stream("changes of tokens"), during);
    loseZone({ world, faults, watchman: this.#watchman }, this.#random.stream("loss of a zone"), during);
  }

  /** R, W and the mode are edited, too, in runs that were given others to choose from. */
  #quorumsLater(random: SeededRandom): void {
    const { simulator, options } = this.#world.cluster;
    const { replicationFactor: n, readQuorum, writeQuorum, quorumsToBe, mayBeSloppy, mode } = options;
    if (quorumsToBe === undefined) return;
    simulator.after(random.between(...QUORUM_MS), () => {
      if (!this.#on) return;
      const { readQuorum: r, writeQuorum: w } = random.pick([...quorumsToBe, { readQuorum, writeQuorum }]);
      const modeToBe = mayBeSloppy === true ? random.pick(["strict", "sloppy"] as const) : mode;
      const quorum = { n, r, w, mode: modeToBe };
      this.#world.edit({ quorum });
      this.#count(modeToBe === mode ? "kube: quorums" : "kube: quorums and mode");
      simulator.tell(`upheaval: quorums, ${JSON.stringify(quorum)}`);
      this.#quorumsLater(random);
    });
  }

  /** Ring changes that were brought to their end, of the last ones that the ring remembers. */
  get done(): number {
    const past = this.#world.cluster.living.find(({ node }) => node !== undefined)?.node?.status.past() ?? [];
    return past.filter(({ outcome }) => outcome === "done").length;
  }

  /** How often the number of replicas was changed. */
  get scales(): number {
    return this.#world.scales;
  }

  #count(what: string): void {
    this.met.set(what, (this.met.get(what) ?? 0) + 1);
  }

  #later(): void {
    this.#world.cluster.simulator.after(this.#random.between(500, 6_000), () => {
      if (!this.#on) return;
      const kind = this.#random.pick(this.#random.chance(OFTEN) ? ALWAYS : this.#kinds);
      const what = this.#happen(kind);
      if (what !== undefined) {
        this.#count(`kube: ${kind}`);
        this.#world.cluster.simulator.tell(`upheaval: ${kind}, ${what}`);
      }
      this.#later();
    });
  }

  /** Lets it happen. Returns what did, for people; undefined where it could not. */
  #happen(kind: UpheavalKind): string | undefined {
    switch (kind) {
      case "scale":
      case "scale and back":
      case "size below N":
      case "weights":
      case "image":
      case "orphaned pods":
        return this.#want(kind);
      case "member asked out":
        return this.#askOut();
      case "operator killed":
      case "operator held up":
      case "operator killed between actions":
        return this.#troubleOperator(kind);
      case "API server away":
      case "API server unreliable":
      case "watches broken":
      case "watches silent":
      case "nodes unreachable":
        return this.#troubleApi(kind);
      default:
        return this.#troubleMachine(kind);
    }
  }

  #want(kind: UpheavalKind): string | undefined {
    const world = this.#world;
    const { replicationFactor } = world.cluster.options;
    const before = world.replicas;
    switch (kind) {
      case "scale":
      case "scale and back": {
        const replicas = this.#random.between(replicationFactor, MEMBERS_MAX);
        if (replicas === before) return undefined;
        world.scale(replicas);
        if (kind === "scale") return `to ${replicas}`;
        this.#afterwards([200, 8_000], () => world.scale(before));
        return `to ${replicas}, and then back`;
      }
      case "size below N": {
        const replicas = this.#random.pick([0, 1, replicationFactor - 1]);
        if (replicas >= replicationFactor) return undefined;
        assert(world.refuses(replicas), `${replicas} replicas are refused where N is ${replicationFactor}`);
        return `${replicas} was refused`;
      }
      case "weights": {
        const byNode = { [`${NAME}-${this.#random.below(MEMBERS_MAX)}`]: this.#random.pick([50, 100, 200]) };
        world.edit({ weights: { byNode } });
        return JSON.stringify(byNode);
      }
      case "image": {
        const image = this.#random.pick(["annulus:good", "annulus:other", "annulus:bad"]);
        world.edit({ image });
        return image;
      }
      default: {
        const set = world.server.store.find("StatefulSet", NAME);
        if (set !== undefined) world.server.store.drop(set);
        return "somebody deletes the StatefulSet";
      }
    }
  }

  /** A person lets a member leave by hand, as with the command line; the operator wants it back. */
  #askOut(): string | undefined {
    const { admin, pods, cluster } = this.#world;
    const [through, victim] = this.#random.shuffle([...pods]);
    if (through === undefined || victim === undefined) return undefined;
    const target = { pod: through.metadata.name, ip: textAt(through, "status", "podIP") ?? "" };
    const body = { leave: [victim.metadata.name] };
    admin
      .of(cluster.simulator.createProcess("a person"))(target, { method: "POST", path: "/v1/cluster/changes", body })
      .catch((error: unknown) => {
        if (!(error instanceof NodeSilentError)) cluster.bug ??= error;
      });
    return `${victim.metadata.name}, through ${target.pod}`;
  }

  #troubleOperator(kind: UpheavalKind): string | undefined {
    const { operators, cluster } = this.#world;
    if (operators.processes.length === 0 || kind === "operator killed between actions") return undefined;
    const victim = this.#random.pick(operators.processes);
    if (kind === "operator held up") {
      const forMs = this.#random.between(500, 15_000);
      victim.pausedUntilMs = cluster.simulator.nowMs + forMs;
      return `${victim.name} for ${forMs} ms`;
    }
    this.#kill(victim);
    return victim.name;
  }

  #killBetween(process: Parameters<KubeWorld["operators"]["kill"]>[0]): void {
    if (!process.alive) return;
    this.#count("kube: operator killed between actions");
    this.#kill(process);
  }

  #kill(process: Parameters<KubeWorld["operators"]["kill"]>[0]): void {
    const { operators } = this.#world;
    const index = operators.kill(process);
    if (index !== undefined) this.#afterwards([100, 10_000], () => operators.start(index));
  }

  #troubleApi(kind: UpheavalKind): string {
    const { server, admin, cluster, pods } = this.#world;
    const forMs = this.#random.between(500, 15_000);
    const untilMs = cluster.simulator.nowMs + forMs;
    switch (kind) {
      case "API server away":
        server.awayUntilMs = untilMs;
        break;
      case "watches broken":
        server.severWatches();
        break;
      case "watches silent":
        server.silentUntilMs = untilMs;
        break;
      case "nodes unreachable":
        for (const { metadata } of pods) if (this.#random.chance([1, 2])) admin.unreachable.add(metadata.name);
        admin.loss = [this.#random.below(4), 10];
        this.#afterwards([500, 15_000], () => admin.heal());
        break;
      default:
        server.faults = {
          latencyMs: [1, this.#random.pick([20, 300, REQUEST_MS_MAX])],
          refused: [this.#random.below(3), 20],
          answersLost: [this.#random.below(3), 20],
          watchLagMs: [1, this.#random.pick([100, 3_000])],
          watchBreaks: [this.#random.below(2), 20],
        };
        this.#afterwards([1_000, 15_000], () => {
          server.faults = { ...server.faults, latencyMs: [1, 5], refused: [0, 1], answersLost: [0, 1] };
        });
    }
    return `for ${forMs} ms`;
  }

  #troubleMachine(kind: UpheavalKind): string | undefined {
    const world = this.#world;
    const { machines, cluster } = world;
    if (kind === "cold start") {
      const off = machines.all.filter(({ isUp }) => isUp);
      for (const machine of off) world.powerOff(machine);
      this.#afterwards(SHORT_MS, () => {
        for (const machine of off) world.powerOn(machine);
      });
      return "all machines at once";
    }
    if (kind === "volume lost" || kind === "replacement asked" || kind === "volume deleted")
      return this.#spoilVolume(kind);
    // One that was away before has been away for longer than it seems.
    const able = machines.all.filter(
      (machine) =>
        machines.isSeen(machine) &&
        machines.isReady(machine) &&
        (kind !== "machine cut off" || world.volumesOn(machine).length === 1),
    );
    if (able.length === 0) return undefined;
    const victim = this.#random.pick(able);
    if (kind === "machine mute") {
      victim.muteUntilMs = cluster.simulator.nowMs + this.#random.between(...SHORT_MS);
      return victim.name;
    }
    if (kind === "machine off") {
      world.powerOff(victim);
      this.#afterwards(SHORT_MS, () => world.powerOn(victim));
      return victim.name;
    }
    return this.#losePower(victim, kind);
  }

  /** For so long that its members are made anew elsewhere: each disk on it counts as one that may be lost. */
  #losePower(victim: Machine, kind: UpheavalKind): string | undefined {
    const world = this.#world;
    const held = world.volumesOn(victim);
    if (held.length > 1 || (held.length === 1 && !this.#faults.takeDisk())) return undefined;
    if (kind === "machine cut off") {
      victim.muteUntilMs = world.cluster.simulator.nowMs + this.#random.between(...CUT_OFF_MS);
      victim.cutOffUntilMs = victim.muteUntilMs;
      return `${victim.name}, with ${held.join()}`;
    }
    world.powerOff(victim);
    if (kind === "machine off for long") {
      this.#afterwards(LONG_MS, () => world.powerOn(victim));
      return victim.name;
    }
    world.lose(victim);
    this.#afterwards([1_000, 10_000], () => world.machines.add(victim.zone));
    return `${victim.name}, with ${held.join()}`;
  }

  #spoilVolume(kind: UpheavalKind): string | undefined {
    const { kubelets, server, cluster } = this.#world;
    const running = cluster.living.filter(({ node }) => node !== undefined);
    if (running.length === 0) return undefined;
    const victim = this.#random.pick(running);
    const claim = server.store.find("PersistentVolumeClaim", `data-${victim.name}`);
    const pod = server.store.find("Pod", victim.name);
    if (claim?.metadata.uid === undefined || pod === undefined || !this.#faults.takeDisk()) return undefined;
    if (kind === "volume lost") {
      kubelets.lostClaims.add(claim.metadata.uid);
      server.store.set({ ...claim, status: { phase: "Lost" } });
      cluster.loseDisk(victim);
      return victim.name;
    }
    if (kind === "volume deleted") {
      this.#watchman.noteGivenUp(claim.metadata.uid);
      server.store.markDeleted(claim);
      return victim.name;
    }
    this.#world.askReplacement(victim.name);
    return victim.name;
  }

  /** What mends a fault, or takes a wish back, happens even when nothing new begins any more. */
  #afterwards(rangeMs: readonly [number, number], mend: () => void): void {
    this.#world.cluster.simulator.after(this.#random.between(...rangeMs), mend);
  }

  /** Nothing new goes wrong, and everything that can comes back. */
  heal(): void {
    this.#on = false;
    const world = this.#world;
    world.server.heal();
    world.admin.heal();
    world.autoscaler?.settle();
    for (const machine of world.machines.all) {
      machine.muteUntilMs = 0;
      machine.cutOffUntilMs = 0;
      world.powerOn(machine);
    }
    for (const process of world.operators.processes) process.pausedUntilMs = 0;
    world.operators.startAll();
    if (textAt(world.object, "spec", "image")?.includes("bad") === true) world.edit({ image: "annulus:good" });
  }

  /** All becomes as the spec wants it, and the status says so. */
  async settle(): Promise<void> {
    const world = this.#world;
    const { cluster } = world;
    const { simulator } = cluster;
    // What was found last, a token that is gone for example, may begin a roll at once: it is at rest when it stays so.
    let restedMs: number | undefined;
    const isPending = () => {
      if (whyNotAtRest(world) !== undefined) restedMs = undefined;
      else restedMs ??= simulator.nowMs;
      return cluster.bug === undefined && (restedMs === undefined || simulator.nowMs - restedMs < STEADY_MS);
    };
    const settled = await simulator.runWhile(isPending, SETTLED_WITHIN_MS);
    if (cluster.bug !== undefined) throw cluster.bug;
    assert(settled, `all is as wanted within ${SETTLED_WITHIN_MS} ms: ${whyNotAtRest(world)}; ${world.describe()}`);
    this.met.set("kube: ring change done", this.done);
    this.met.set("kube: operator started", world.operators.starts);
    for (const [name, times] of world.server.counters) this.met.set(name, times);
  }
}
