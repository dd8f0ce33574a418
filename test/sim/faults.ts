/** What goes wrong during a run: drawn from the seed, one thing after the other, counted. */
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import type { SeededRandom } from "./random.ts";

/** What a seed may choose from. A swarm of runs that each leave some out meets more than runs that have all. */
const KINDS = [
  "process crash",
  "machine crash",
  "cut",
  "one-way cut",
  "pause",
  "noise",
  "disk errors",
  "clock jump",
  "lost disk",
] as const;
type Kind = (typeof KINDS)[number];

export class Faults {
  readonly met = new Map<Kind, number>();
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #kinds: readonly Kind[];
  /** Disks that may still be lost: always fewer than acknowledged any one write. */
  #disksToLose: number;
  #on = true;

  constructor(cluster: SimulatedCluster) {
    this.#cluster = cluster;
    this.#random = cluster.random.stream("faults");
    // Losing what was not synced is within what `os` durability promises, so only `disk` runs crash machines.
    const possible = KINDS.filter((kind) => kind !== "machine crash" || cluster.options.durability === "disk");
    this.#disksToLose = cluster.options.writeQuorum - 1;
    this.#kinds = possible.filter(() => this.#random.chance([2, 3]));
    this.#later();
  }

  /** Ends all faults: the world is quiet from here on. */
  heal(): void {
    this.#on = false;
    const { network, nodes } = this.#cluster;
    network.heal();
    network.faults = { ...network.faults, loss: [0, 1], duplication: [0, 1], reordering: [0, 1] };
    for (const { disk, process } of nodes) {
      disk.setFaults({ writeErrors: [0, 1], readErrors: [0, 1] });
      if (process !== undefined) process.pausedUntilMs = 0;
    }
  }

  #later(): void {
    this.#cluster.simulator.after(this.#random.between(200, 3_000), () => {
      if (!this.#on) return;
      if (this.#kinds.length > 0) this.#strike(this.#random.pick(this.#kinds));
      this.#later();
    });
  }

  #strike(kind: Kind): void {
    const { simulator, nodes } = this.#cluster;
    const random = this.#random;
    const victim = random.pick(nodes);
    this.met.set(kind, (this.met.get(kind) ?? 0) + 1);
    simulator.tell(`fault ${kind} ${victim.name}`);
    switch (kind) {
      case "lost disk":
        return this.#loseDisk(victim);
      case "process crash":
      case "machine crash":
        return this.#crash(victim, kind === "machine crash" ? "machine" : "process");
      case "cut":
      case "one-way cut":
        return this.#cut(victim, kind === "one-way cut");
      case "pause":
        if (victim.process !== undefined) victim.process.pausedUntilMs = simulator.nowMs + random.between(100, 5_000);
        return;
      case "noise":
        return this.#noise();
      case "disk errors":
        victim.disk.setFaults({ writeErrors: [1, random.between(20, 200)], readErrors: [1, random.between(20, 200)] });
        this.#afterwards(random.between(500, 5_000), () =>
          victim.disk.setFaults({ writeErrors: [0, 1], readErrors: [0, 1] }),
        );
        return;
      case "clock jump":
        // Names of writes are remembered for ten minutes of wall clock: clocks are assumed to agree to within some.
        victim.clock.wallSkewMs = random.between(-240_000, 240_000);
        return;
    }
  }

  #crash(victim: SimulatedNode, kind: "process" | "machine"): void {
    if (victim.process === undefined) return;
    this.#cluster.crash(victim, kind);
    this.#startLater(victim);
  }

  #startLater(victim: SimulatedNode): void {
    this.#afterwards(this.#random.between(100, 6_000), () => {
      if (victim.process === undefined) this.#cluster.start(victim);
    });
  }

  /** The machine dies and comes back with an empty disk, under the same name. */
  #loseDisk(victim: SimulatedNode): void {
    if (this.#disksToLose === 0 || victim.process === undefined) return;
    this.#disksToLose -= 1;
    this.#cluster.loseDisk(victim);
    this.#startLater(victim);
  }

  #cut(victim: SimulatedNode, oneWay: boolean): void {
    const { network, nodes } = this.#cluster;
    const others = nodes.filter((node) => node !== victim && this.#random.chance([2, 3]));
    for (const other of others) {
      network.cut(victim.name, other.name);
      if (!oneWay) network.cut(other.name, victim.name);
    }
    this.#afterwards(this.#random.between(500, 8_000), () => {
      for (const other of others) {
        network.heal(victim.name, other.name);
        network.heal(other.name, victim.name);
      }
    });
  }

  #noise(): void {
    const { network } = this.#cluster;
    const ratio = () => [this.#random.below(4), 100] as const;
    network.faults = { ...network.faults, loss: ratio(), duplication: ratio(), reordering: ratio() };
    this.#afterwards(this.#random.between(1_000, 10_000), () => {
      network.faults = { ...network.faults, loss: [0, 1], duplication: [0, 1], reordering: [0, 1] };
    });
  }

  /** What mends a fault happens even when no new ones begin any more. */
  #afterwards(delayMs: number, mend: () => void): void {
    this.#cluster.simulator.after(delayMs, mend);
  }
}
