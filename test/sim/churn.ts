/**
 * Changes of the ring while everything else goes wrong: members join, leave, are replaced and weighted anew, by
 * administrators who ask any node, sometimes two at once, and sometimes take it back.
 */
import assert from "node:assert/strict";
import { partitionRange } from "../../node/core/keyspace.ts";
import { type ChangeRequest, NO_CHANGE } from "../../node/core/ring/change.ts";
import type { MemberStatus } from "../../node/services/status.ts";
import { addressOf, type SimulatedCluster, type SimulatedNode } from "./cluster.ts";
import type { Faults } from "./faults.ts";
import type { SeededRandom } from "./random.ts";

/** Changes that are counted once they have begun. */
export const CHANGES = ["join", "leave", "swap", "replace", "weights", "two at once"] as const;
const KINDS = [...CHANGES, "cancel"] as const;
type Kind = (typeof KINDS)[number] | "quorums";

/** Members that a run has at most: each costs the simulation time. */
const MEMBERS_MAX = 8;
/** A change that runs when the faults end has ended, clean-up included, within this much virtual time. */
const END_WITHIN_MS = 120_000;
/** Between two changes of R and W that are asked for. */
const QUORUM_MS = [1_000, 10_000] as const;
/** How long an administrator waits after the process of a lost member went, before its replacement is asked for. */
const GIVE_UP_MS = 12_000;

/** From a newcomer's start until it is in the ring, if it is taken. */
const ASKED_WITHIN_MS = 5_000;

export class Churn {
  readonly met = new Map<string, number>();
  readonly #cluster: SimulatedCluster;
  readonly #faults: Faults;
  readonly #random: SeededRandom;
  readonly #kinds: readonly Kind[];
  readonly #pauseMsMax: number;
  #on = true;
  /** Until when a machine that is no member may be about to become one. */
  readonly #busyUntilMs = new Map<string, number>();
  /** The member that was lost for good and is not replaced yet. */
  #lost: string | undefined;

  constructor(cluster: SimulatedCluster, faults: Faults) {
    this.#cluster = cluster;
    cluster.isElastic = true;
    this.#faults = faults;
    this.#random = cluster.random.stream("churn");
    this.#kinds = ["join", "leave", ...KINDS.filter(() => this.#random.chance([2, 3]))];
    this.#pauseMsMax = this.#random.between(500, 5_000);
    faults.mayLoseDisk = () => this.#allListed();
    this.#later();
    this.#quorumsLater(cluster.random.stream("changes of quorums"));
  }

  /** R and W change, too, in runs that were given others to choose from; now and then together with something else. */
  #quorumsLater(random: SeededRandom): void {
    const { quorumsToBe, readQuorum, writeQuorum } = this.#cluster.options;
    if (quorumsToBe === undefined) return;
    this.#cluster.simulator.after(random.between(...QUORUM_MS), () => {
      if (!this.#on) return;
      const quorum = random.pick([...quorumsToBe, { readQuorum, writeQuorum }]);
      const active = this.#members().filter(({ state }) => state === "active");
      const isMore = random.chance([1, 3]) && active.length > 0;
      const more = isMore ? { weights: { [random.pick(active).name]: random.pick([50, 100, 200]) } } : {};
      this.#ask("quorums", { quorum, ...more });
      this.#quorumsLater(random);
    });
  }

  /** Whether the ring lists the directory of every member as it is: a majority that lost its votes chooses no ring any more. */
  #allListed(): boolean {
    if (this.#lost !== undefined) return false;
    return this.#cluster.living.every(({ name, node }) => {
      if (node === undefined || node.status.cluster().ringEpoch === 0) return false;
      const member = node.status.ring().members.find((one) => one.name === name);
      return member === undefined || member.actor === node.progress().actor;
    });
  }

  #later(): void {
    this.#cluster.simulator.after(this.#random.between(100, this.#pauseMsMax), () => {
      if (!this.#on) return;
      this.#strike(this.#random.pick(this.#kinds));
      this.#later();
    });
  }

  #members(): readonly MemberStatus[] {
    for (const { node } of this.#cluster.living) {
      const members = node?.status.cluster().members ?? [];
      if (members.length > 0) return members;
    }
    return [];
  }

  #count(what: string): void {
    this.met.set(what, (this.met.get(what) ?? 0) + 1);
  }

  #strike(kind: Kind): void {
    const active = this.#members().filter(({ state }) => state === "active");
    const { replicationFactor } = this.#cluster.options;
    const one = active.length > replicationFactor ? this.#random.pick(active).name : undefined;
    switch (kind) {
      case "join":
        if (active.length < MEMBERS_MAX) this.#ask(kind, { join: [this.#newcomer()] });
        return;
      case "leave":
        if (one !== undefined) this.#ask(kind, { leave: [one] });
        return;
      case "swap":
        if (active.length > 0) this.#ask(kind, { join: [this.#newcomer()], leave: [this.#random.pick(active).name] });
        return;
      case "replace":
        return this.#replace(active);
      case "weights":
        if (active.length === 0) return;
        return this.#ask(kind, { weights: { [this.#random.pick(active).name]: this.#random.pick([0, 50, 100, 300]) } });
      case "two at once":
        if (one !== undefined) this.#ask(kind, { leave: [one] });
        if (active.length < MEMBERS_MAX) this.#ask(kind, { join: [this.#newcomer()] });
        return;
      case "cancel":
        return this.#cancel();
    }
  }

  /** A machine that is up and no member: one that was refused before, or a new one. */
  #newcomer(): ChangeRequest["join"][number] {
    const members = new Set(this.#members().map(({ name, state }) => (state === "left" ? "" : name)));
    const idle = this.#cluster.living.find(({ name, isFirst }) => !isFirst && !members.has(name));
    const zones = this.#cluster.options.zones;
    const { name, zone } = idle ?? this.#cluster.addMachine(`z${this.#random.below(zones + 1)}`);
    this.#busyUntilMs.set(name, this.#cluster.simulator.nowMs + ASKED_WITHIN_MS);
    return { name, address: addressOf(name), zone, weight: this.#random.pick([50, 100, 100, 200]) };
  }

  /** Some node that is up is asked; a new machine first has a moment to find the ring. */
  #ask(kind: Kind, change: Partial<ChangeRequest>): void {
    const { simulator } = this.#cluster;
    simulator.after(change.join === undefined ? 0 : 1_000, () => {
      const through = this.#anyNode();
      if (through?.node === undefined) return;
      simulator.tell(`change ${kind} ${JSON.stringify(change)} through ${through.name}`);
      through.node.changes.begin({ ...NO_CHANGE, ...change }, { dryRun: false }).then(
        () => this.#count(`change: ${kind}`),
        (error: unknown) => this.#refused(error),
      );
    });
  }

  #refused(error: unknown): void {
    if (error instanceof assert.AssertionError) this.#cluster.bug ??= error;
    this.#cluster.simulator.tell(`change refused: ${error instanceof Error ? error.message : String(error)}`);
    this.#count("change: refused");
  }

  #anyNode(): SimulatedNode | undefined {
    const running = this.#cluster.living.filter(({ node }) => node !== undefined);
    return running.length === 0 ? undefined : this.#random.pick(running);
  }

  /** A machine dies with its disk, for good; an administrator puts another in its place. */
  #replace(active: readonly MemberStatus[]): void {
    const { simulator, living, options } = this.#cluster;
    // One at a time: a ring that lost most of its voters for good can be changed by nobody.
    if (active.length < options.replicationFactor || this.#lost !== undefined) return;
    const { name } = this.#random.pick(active);
    const victim = living.find((machine) => machine.name === name);
    if (victim?.process === undefined || !this.#faults.takeDisk()) return;
    this.#lost = name;
    this.#cluster.loseDisk(victim);
    victim.isRetired = true;
    simulator.tell(`lost for good ${name}`);
    this.#count("change: member lost for good");
    this.#replaceUntilDone(name);
  }

  #replaceUntilDone(name: string): void {
    this.#cluster.simulator.after(this.#random.between(GIVE_UP_MS / 2, GIVE_UP_MS), () => {
      const member = this.#members().find((one) => one.name === name);
      if (member?.state === "left") {
        this.#lost = undefined;
        return;
      }
      if (member?.state === "active") {
        this.#ask("replace", { replace: [name], join: [this.#newcomer()], force: true });
      } else if (member !== undefined) this.#ask("replace", { leave: [name], force: true });
      this.#replaceUntilDone(name);
    });
  }

  #cancel(): void {
    const through = this.#anyNode();
    const id = through?.node?.status.cluster().transition?.id;
    if (through?.node === undefined || id === undefined) return;
    through.node.changes.cancel(id).then(
      () => this.#count("change: cancelled"),
      (error: unknown) => this.#refused(error),
    );
  }

  /** Changes that were brought to their end, of the last ones that the ring remembers. */
  get done(): number {
    const past = this.#cluster.living[0]?.node?.status.past() ?? [];
    return past.filter(({ outcome }) => outcome === "done").length;
  }

  /** Begins nothing new. */
  heal(): void {
    this.#on = false;
  }

  /** Every change ends, who left is taken away, and nobody holds what is not its own. */
  async settle(): Promise<void> {
    const { simulator } = this.#cluster;
    const ended = await simulator.runWhile(() => {
      this.#retire();
      return !this.#isSettled();
    }, END_WITHIN_MS);
    assert(ended, `every change ends within ${END_WITHIN_MS} ms: ${this.#describe()}`);
    this.met.set("change: done", this.done);
    this.#checkNothingLeft();
  }

  /**
   * Takes away the machines whose members have left, by the latest ring that anybody has, and those that are in nobody's.
   * What one node does not know of says nothing.
   */
  #retire(): void {
    const running = this.#cluster.living.filter(({ node }) => node !== undefined);
    if (running.length < this.#cluster.living.length) return;
    const views = running.map(({ node }) => node?.status.cluster()).filter((view) => view !== undefined);
    const latest = views.toSorted((a, b) => b.ringEpoch - a.ringEpoch)[0];
    const states = new Map(latest?.members.map((member) => [member.name, member.state]));
    for (const machine of running) {
      if ((this.#busyUntilMs.get(machine.name) ?? 0) > this.#cluster.simulator.nowMs) continue;
      const isListed = views.some(({ members }) => members.some(({ name }) => name === machine.name));
      if (states.get(machine.name) !== "left" && isListed) continue;
      this.#cluster.crash(machine, "process");
      machine.isRetired = true;
    }
  }

  /** Nothing runs, by every node. */
  #isSettled(): boolean {
    for (const machine of this.#cluster.living) if (machine.process === undefined) this.#cluster.start(machine);
    const epochs = new Set<number>();
    for (const { node } of this.#cluster.living) {
      if (node === undefined) return false;
      const { ringEpoch, members } = node.status.cluster();
      epochs.add(ringEpoch);
      if (ringEpoch === 0 || node.status.ring().transition !== undefined) return false;
      if (members.some(({ state }) => state === "leaving" || state === "joining")) return false;
      if (!node.progress().isEmptied) return false;
    }
    return epochs.size === 1;
  }

  #describe(): string {
    return this.#cluster.living
      .map(({ name, node }) => {
        const status = node?.status.cluster();
        const members = status?.members.map((member) => `${member.name} ${member.state} ${member.health}`).join(", ");
        const { isEmptied, completeFor } = node?.progress() ?? {};
        const hints = status?.hints.waiting.map(({ target, count }) => `${count} for ${target}`).join(", ");
        return `${name} at ${status?.ringEpoch} (${status?.transition?.phase ?? "quiet"}): ${members}; emptied ${isEmptied}, complete for ${completeFor}, hints ${hints}`;
      })
      .join("; ");
  }

  #checkNothingLeft(): void {
    const ring = this.#cluster.living[0]?.node?.status.ring();
    assert(ring !== undefined, "there is a ring");
    for (const { name, disk } of this.#cluster.living) {
      ring.preferenceLists.forEach((homes, partition) => {
        if (homes.includes(name)) return;
        const left = disk.entries({ ...partitionRange(partition), limit: 1 });
        assert.equal(left.length, 0, `${name} holds nothing of partition ${partition}, which is not its own`);
      });
    }
  }
}
