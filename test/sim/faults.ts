/**
 * What goes wrong during a run: drawn from the seed, one thing after the other, and counted when it really happened. Of cuts, noise
 * and slow disks that is the moment from which on the world is so, whoever meets it.
 *
 * Each strike draws from a stream of its own, so that a run in which some are left out meets the others as before: that is
 * how a failing run is made small (shrink.ts).
 */
import { stopCleanly } from "./clean-stop.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import { hintsOf, rot } from "./damage.ts";
import type { DiskCounters } from "./disk-faults.ts";
import { breakLinks, slowLinks } from "./link-faults.ts";
import { saysItIsWhole } from "./own-word.ts";
import type { FaultPlan } from "./profiles.ts";
import type { Ratio, SeededRandom } from "./random.ts";
import { WAKINGS } from "./simulator.ts";

/** What a seed may choose from. A swarm of runs that each leave some out meets more than runs that have all. */
export const FAULT_KINDS = [
  "process crash",
  "crash in a batch",
  "clean stop",
  "machine crash",
  "power cut",
  "cut",
  "one-way cut",
  "zone cut",
  "slow link",
  "broken link",
  "pause",
  "noise",
  "disk errors",
  "slow disk",
  "full disk",
  "bit rot",
  "rotten hint",
  "clock jump",
  "lost disk",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** What of a run's faults is to be left out. */
export type FaultLimits = {
  /** Strikes by their number, from 0. */
  readonly without?: ReadonlySet<number>;
};

/** Between two strikes, in ms. */
const EVERY_MS = [200, 3_000] as const;
/** Once all disks that were lost are filled, the next may be lost after this. */
const REFILLED_MS = 2_000;

/** Of slow disks, those that hang: all calls wait until it is over, for so long at most, in ms. */
const HANGS = [1, 5] as const;
const HANG_MS_MAX = 10_000;
/** How long a node that stops answers what it took before, at most, in ms. */
const ANSWERING_MS_MAX = 1_500;

/** Clocks that somebody looks after are no further from the true time than this. */
const CLOCK_SKEW_MS = 2_000;

const HEALTHY = { writeErrors: [0, 1], readErrors: [0, 1], latencyMs: [0, 2] } as const;
/** Faults that have happened once the disk refused something; the others have from the moment on in which the world is so. */
const REFUSALS: { readonly [kind in FaultKind]?: (met: DiskCounters) => number } = {
  "disk errors": ({ writeErrors, readErrors }) => writeErrors + readErrors,
  "full disk": ({ fullDiskRefusals }) => fullDiskRefusals,
};
const QUIET = { loss: [0, 1], duplication: [0, 1], reordering: [0, 1] } as const;

export class Faults {
  readonly met = new Map<FaultKind, number>();
  /** Strikes drawn so far, those that were left out or met nobody among them. */
  drawn = 0;
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #kinds: readonly FaultKind[];
  readonly #keys: readonly Uint8Array[];
  readonly #without: ReadonlySet<number>;
  readonly #plan: FaultPlan | undefined;
  #diskTakenMs = 0;
  /** Disks that may still be lost: always fewer than acknowledged any one write. */
  #disksToLose: number;
  /** Machines that are down and will be started. */
  readonly #away = new Set<SimulatedNode>();
  #on = true;
  /** Whether a disk may be lost now, beside the count: for changes of the ring, which need a majority of known disks. */
  mayLoseDisk: () => boolean = () => true;

  /** @param keys Those that records of may rot. @param plan Undefined: two thirds of all kinds. */
  constructor(cluster: SimulatedCluster, keys: readonly Uint8Array[], limits: FaultLimits = {}, plan?: FaultPlan) {
    this.#plan = plan;
    this.#cluster = cluster;
    this.#keys = keys;
    this.#without = limits.without ?? new Set();
    this.#random = cluster.random.stream("faults");
    this.#disksToLose = cluster.leastQuorums.writeQuorum - 1;
    this.#kinds = plan?.kinds ?? FAULT_KINDS.filter(() => this.#random.chance([2, 3]));
  }

  /** From here on things go wrong. */
  begin(): void {
    this.#later();
  }

  /** Takes one of the disks that may still be lost; false when there is none. */
  takeDisk(): boolean {
    const { leastQuorums, simulator } = this.#cluster;
    if (this.#plan?.refills === true && this.#isFilled()) this.#disksToLose = leastQuorums.writeQuorum - 1;
    if (this.#disksToLose === 0 || !this.mayLoseDisk()) return false;
    this.#disksToLose -= 1;
    this.#diskTakenMs = simulator.nowMs;
    return true;
  }

  /** Whether everybody serves, and says that it holds all that it should. */
  #isFilled(): boolean {
    const { living, simulator } = this.#cluster;
    return simulator.nowMs - this.#diskTakenMs >= REFILLED_MS && living.every(saysItIsWhole);
  }

  /** How many faults happened. */
  get count(): number {
    return [...this.met.values()].reduce((sum, times) => sum + times, 0);
  }

  /** Ends all faults: the world is quiet from here on. */
  heal(): void {
    this.#on = false;
    const { network, nodes, options, simulator } = this.#cluster;
    simulator.tell("everything is mended, and clients begin nothing new");
    network.heal();
    // By clocks that are minutes apart, values end their lives minutes apart: no two homes would be equal so long.
    if (options.requests?.lifeSpans === true)
      for (const node of nodes) this.#cluster.setClock(node, node.clock.wallSkewMs % CLOCK_SKEW_MS);
    network.faults = { ...network.faults, ...QUIET };
    for (const { disk } of nodes) {
      disk.setFaults(HEALTHY);
      disk.setCapacityBytes(undefined);
      disk.goOn();
    }
    // A long absence ends here, too, or what was kept for the absent would still be on its way when all is to be at rest.
    for (const machine of this.#away) this.#startAgain(machine);
  }

  #later(): void {
    const [fromMs, untilMs] = this.#plan?.everyMs ?? EVERY_MS;
    this.#cluster.simulator.after(this.#random.between(fromMs, untilMs), () => {
      if (!this.#on) return;
      if (this.#kinds.length > 0 && this.#cluster.living.length > 0) this.#strike();
      this.#later();
    });
  }

  #strike(): void {
    const number = this.drawn++;
    const random = this.#random.stream(`strike ${number}`);
    const kind = random.pick(this.#kinds);
    const victim = random.pick(this.#cluster.living);
    if (this.#without.has(number)) return;
    const what = this.#happen(kind, victim, random);
    if (what !== undefined) this.#note(kind, `${what} (strike ${number})`);
  }

  #note(kind: FaultKind, what: string): void {
    if (!(kind in REFUSALS)) this.#count(kind);
    this.#cluster.simulator.tell(`fault: ${kind}, ${what}`);
  }

  #count(kind: FaultKind): void {
    this.met.set(kind, (this.met.get(kind) ?? 0) + 1);
  }

  /** Lets it happen. Returns what did, for people; undefined where it could not. */
  #happen(kind: FaultKind, victim: SimulatedNode, random: SeededRandom): string | undefined {
    const { simulator, nodes, options } = this.#cluster;
    switch (kind) {
      case "lost disk":
        return this.#loseDisk(victim, random);
      case "process crash":
      case "machine crash":
        return this.#crash(victim, random, kind === "machine crash" ? "machine" : "process");
      case "power cut":
        return this.#powerCut(victim, random);
      case "clean stop":
        return this.#stop(victim, random);
      case "crash in a batch":
        return this.#crashInBatch(victim, random);
      case "cut":
      case "one-way cut": {
        const others = nodes.filter((node) => node !== victim && random.chance([2, 3]));
        return this.#cut([victim], others, { random, oneWay: kind === "one-way cut" });
      }
      case "zone cut": {
        if (options.zones < 2) return undefined;
        const zone = victim.zone;
        const inside = nodes.filter((node) => node.zone === zone);
        return this.#cut(
          inside,
          nodes.filter((node) => !inside.includes(node)),
          { random, oneWay: false },
        );
      }
      case "slow link": {
        const spell = slowLinks(this.#cluster, victim, random);
        if (spell !== undefined)
          this.#afterwards(this.#spell(random, 500, 8_000), spell.mend, `slow link, ${spell.what}`);
        return spell?.what;
      }
      case "broken link":
        return breakLinks(this.#cluster, victim, random);
      case "pause": {
        if (victim.process === undefined) return undefined;
        const forMs = random.between(100, 5_000);
        const wakes = random.pick(WAKINGS);
        simulator.pause(victim.process, forMs, wakes);
        return `${victim.name} for ${forMs} ms, then ${wakes}`;
      }
      case "noise":
        return this.#noise(random);
      case "clock jump":
        // Names of writes are remembered for ten minutes of wall clock: clocks are assumed to agree to within some.
        this.#cluster.setClock(victim, random.between(-240_000, 240_000));
        return `${victim.name} by ${victim.clock.wallSkewMs} ms`;
      default:
        return this.#spoilDisk(kind, victim, random);
    }
  }

  #spoilDisk(kind: FaultKind, victim: SimulatedNode, random: SeededRandom): string | undefined {
    const { disk, name } = victim;
    if (victim.process === undefined) return undefined;
    if (kind === "bit rot" || kind === "rotten hint") return this.#rot(victim, random, kind === "rotten hint");
    const refusals = () => REFUSALS[kind]?.(disk.counters) ?? 0;
    const before = refusals();
    this.#afterwards(
      random.between(500, 5_000),
      () => {
        disk.setFaults(HEALTHY);
        disk.setCapacityBytes(undefined);
        if (refusals() > before) this.#count(kind);
      },
      `${kind}, ${name}`,
    );
    if (kind === "full disk") {
      const roomBytes = random.between(0, 2_000);
      disk.setCapacityBytes(disk.usedBytes() + roomBytes);
      return `${name}, with room for ${roomBytes} bytes`;
    }
    if (kind === "slow disk" && random.chance(HANGS)) {
      const forMs = random.between(500, HANG_MS_MAX);
      disk.hang();
      this.#afterwards(forMs, () => disk.goOn(), `hanging disk, ${name}`);
      return `${name}, which answers nothing for ${forMs} ms`;
    }
    if (kind === "slow disk") {
      const latencyMs = [random.between(0, 50), random.between(50, 400)] as const;
      disk.setFaults({ latencyMs });
      return `${name}, ${latencyMs.join(" to ")} ms a call`;
    }
    const [writes, reads] = [random.between(20, 200), random.between(20, 200)];
    disk.setFaults({ writeErrors: [1, writes], readErrors: [1, reads] });
    return `${name}, one write of ${writes}, one read of ${reads}`;
  }

  /** One bit of one record, or of one hint, where fewer than W copies of that key were destroyed so far. */
  #rot(victim: SimulatedNode, random: SeededRandom, isHint: boolean): string | undefined {
    const { losses, leastQuorums } = this.#cluster;
    for (const key of random.shuffle(this.#keys)) {
      const span = { key: new TextDecoder().decode(key), startedMs: 0, endedMs: Number.POSITIVE_INFINITY };
      const hit = losses.disksOf(span);
      if (!hit.has(victim.name) && hit.size + 1 >= leastQuorums.writeQuorum) continue;
      const at = isHint ? hintsOf(victim, key)[0] : undefined;
      if (isHint && at === undefined) continue;
      if (rot(this.#cluster, victim, key, at)) return `${span.key} at ${victim.name}`;
    }
    return undefined;
  }

  /** A machine also dies under a process that is down, with what that one left unsynced. */
  #crash(victim: SimulatedNode, random: SeededRandom, kind: "process" | "machine"): string | undefined {
    const isDown = victim.process === undefined;
    if (isDown && kind === "process") return undefined;
    this.#cluster.crash(victim, kind);
    this.#startLater(victim, random);
    return isDown ? `${victim.name}, which was down` : victim.name;
  }

  /** All machines of a zone, or all there are, lose their power in the same moment. */
  #powerCut(victim: SimulatedNode, random: SeededRandom): string | undefined {
    const isEverywhere = random.chance([1, 3]);
    const struck = this.#cluster.living.filter(({ zone }) => isEverywhere || zone === victim.zone);
    const names = struck.flatMap((node) => this.#crash(node, random, "machine") ?? []);
    return names.length === 0 ? undefined : names.join();
  }

  /** The process dies while the next batch is being written: nobody knows whether it was. */
  #crashInBatch(victim: SimulatedNode, random: SeededRandom): undefined {
    const { process } = victim;
    if (process === undefined) return;
    victim.disk.inNextBatch(() => {
      if (!this.#on || victim.process !== process) return;
      this.#crash(victim, random, "process");
      this.#note("crash in a batch", victim.name);
    });
  }

  /** It is told to stop, and started again later; now and then its machine loses power in between. */
  #stop(victim: SimulatedNode, random: SeededRandom): string | undefined {
    if (victim.node === undefined) return undefined;
    const answeringMs = random.chance([1, 2]) ? 0 : random.between(1, ANSWERING_MS_MAX);
    stopCleanly(this.#cluster, victim, answeringMs, () => {
      if (!this.#on) return this.#startAgain(victim);
      this.#startLater(victim, random);
      if (!random.chance([1, 3])) return;
      this.#afterwards(random.between(0, ANSWERING_MS_MAX), () => {
        if (this.#on && victim.process === undefined) this.#crash(victim, random, "machine");
      });
    });
    return `${victim.name}, after ${answeringMs} ms`;
  }

  #startLater(victim: SimulatedNode, random: SeededRandom): void {
    this.#away.add(victim);
    this.#afterwards(this.#spell(random, 100, 6_000), () => this.#startAgain(victim));
  }

  #startAgain(victim: SimulatedNode): void {
    this.#away.delete(victim);
    if (victim.process === undefined && !victim.isRetired) this.#cluster.start(victim);
  }

  /**
   * The machine dies and comes back with an empty disk, under the same name. Where clients ask for zones, all of its zone do
   * now and then, if so many may.
   */
  #loseDisk(victim: SimulatedNode, random: SeededRandom): string | undefined {
    const { options, living, isElastic } = this.#cluster;
    const inZone = living.filter(({ zone }) => zone === victim.zone);
    const isZone = options.requests?.zones === true && !isElastic && inZone.length <= this.#disksToLose;
    const struck = isZone ? inZone : [victim];
    const lost = struck.filter(() => this.takeDisk());
    for (const machine of lost) {
      this.#cluster.loseDisk(machine);
      this.#startLater(machine, random);
    }
    return lost.length === 0 ? undefined : lost.map(({ name }) => name).join();
  }

  #cut(
    these: readonly SimulatedNode[],
    others: readonly SimulatedNode[],
    { random, oneWay }: { readonly random: SeededRandom; readonly oneWay: boolean },
  ): string | undefined {
    if (others.length === 0) return undefined;
    const { network } = this.#cluster;
    const pairs = these.flatMap((one) => others.map((other) => [one.name, other.name] as const));
    for (const [one, other] of pairs) {
      network.cut(one, other);
      if (!oneWay) network.cut(other, one);
    }
    const what = `${these.map(({ name }) => name)} ${oneWay ? "to" : "|"} ${others.map(({ name }) => name)}`;
    const mend = () => {
      for (const [one, other] of pairs) {
        network.heal(one, other);
        network.heal(other, one);
      }
    };
    this.#afterwards(this.#spell(random, 500, 8_000), mend, `cut, ${what}`);
    return what;
  }

  #noise(random: SeededRandom): string {
    const { network } = this.#cluster;
    const ofHundred = [random.below(4), random.below(4), random.below(4)];
    // Noise of which nothing is heard is none.
    if (ofHundred.every((frames) => frames < 1)) ofHundred[random.below(3)] = random.between(1, 3);
    const [loss, duplication, reordering] = ofHundred.map((frames): Ratio => [frames, 100]) as [Ratio, Ratio, Ratio];
    network.faults = { ...network.faults, loss, duplication, reordering };
    const mend = () => {
      network.faults = { ...network.faults, ...QUIET };
    };
    this.#afterwards(random.between(1_000, 10_000), mend, "noise");
    return `of 100 frames ${loss[0]} lost, ${duplication[0]} doubled, ${reordering[0]} late`;
  }

  /** How long something stays away: now and then longer than hints are kept and tombstones grow old. */
  #spell(random: SeededRandom, fromMs: number, untilMs: number): number {
    if (this.#plan !== undefined) return random.between(...this.#plan.awayMs);
    return random.chance([1, 10]) ? random.between(15_000, 40_000) : random.between(fromMs, untilMs);
  }

  /** What mends a fault happens even when no new ones begin any more. @param what Is told then. */
  #afterwards(delayMs: number, mend: () => void, what?: string): void {
    const { simulator } = this.#cluster;
    simulator.after(delayMs, () => {
      mend();
      if (what !== undefined) simulator.tell(`mended: ${what}`);
    });
  }
}
