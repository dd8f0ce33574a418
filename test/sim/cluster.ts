/**
 * A whole cluster of the node that ships, in virtual time: disks that outlive processes, machines with a boot id,
 * a network between them.
 */
import assert from "node:assert/strict";
import type { TransportLimits } from "../../node/adapters/tcp/limits.ts";
import { createTransport } from "../../node/adapters/tcp/transport.ts";
import type { Durability } from "../../node/core/errors.ts";
import type { MemberId, Mode, RingDocument } from "../../node/core/ring/document.ts";
import { firstRing } from "../../node/core/ring/first-members.ts";
import { createRing, type Ring } from "../../node/core/ring/ring.ts";
import type { Dot, KvRecord } from "../../node/core/version/record.ts";
import { createNode, type NodeSettings, type StorageNode } from "../../node/node.ts";
import type { Engine, Telemetry } from "../../node/ports.ts";
import { openIdentity } from "../../node/services/identity.ts";
import { AdoptedRings } from "./adopted-rings.ts";
import { Clocks } from "./clocks.ts";
import { endDisk, wipeDisk } from "./destruction.ts";
import { createSimulatedDisk, type SimulatedDisk } from "./disk.ts";
import { Losses } from "./losses.ts";
import { SimulatedNetwork } from "./network.ts";
import { createSeededRandom, type SeededRandom } from "./random.ts";
import type { RequestVariety } from "./request-choices.ts";
import { settingsOf } from "./settings.ts";
import { type ClockFaults, drawMonotonicMs, type Process, Simulator } from "./simulator.ts";
import type { Writer } from "./stamp-bounds.ts";

/** R and W, as a ring document has them. */
export type Quorums = { readonly readQuorum: number; readonly writeQuorum: number };

export type ClusterOptions = {
  readonly seed: number;
  readonly nodes: number;
  readonly zones: number;
  readonly replicationFactor: number;
  readonly readQuorum: number;
  readonly writeQuorum: number;
  /** What changes of the ring may make of R and W; nothing when left out. */
  readonly quorumsToBe?: readonly Quorums[];
  /** Whether changes of the ring may set the mode to sloppy, and back. */
  readonly mayBeSloppy?: boolean;
  readonly mode: Mode;
  readonly durability: Durability;
  readonly partitions?: number;
  readonly siblingsMax?: number;
  readonly pairBytesMax?: number;
  /** What a member's transport allows, where that is not what ships: as another release had it. */
  readonly transportLimitsOf?: (member: MemberId) => Partial<TransportLimits>;
  readonly contextEntriesMax?: number;
  readonly recordCacheBytes?: number;
  readonly repairIntervalMs?: number;
  readonly scrubIntervalMs?: number;
  readonly hintWindowMs?: number;
  readonly hintBytesMax?: number;
  /** Names of the first members by their number, from 0; "n1" and so on where it is left out. */
  readonly memberName?: (index: number) => MemberId;
  /** The least age at which a tombstone is collected, in virtual ms. */
  readonly tombstoneAgeMs?: number;
  /** What clients may ask for beyond what the ring says; nothing when left out. */
  readonly requests?: RequestVariety;
  readonly trace?: boolean;
};

export type SimulatedNode = {
  readonly name: MemberId;
  zone: string;
  /** Whether it is listed among the first members; others look for the ring at those. */
  readonly isFirst: boolean;
  /** It has left the ring and is not started any more. */
  isRetired: boolean;
  disk: SimulatedDisk;
  readonly clock: ClockFaults;
  /** Changes with every boot of the machine. */
  bootId: string;
  process: Process | undefined;
  /** The running node; undefined while it is down or still starting. */
  node: StorageNode | undefined;
  engine: Engine | undefined;
  /** When its disk was last exchanged for an empty one. */
  diskLostMs: number;
};

const STAMP_RETRIES = "annulus.write.stamp_retries";

export class SimulatedCluster {
  readonly simulator: Simulator;
  readonly network: SimulatedNetwork;
  readonly random: SeededRandom;
  readonly nodes: SimulatedNode[];
  /** What runs on, on a disk of its own, under a name that another has by now. */
  readonly ghosts: SimulatedNode[] = [];
  readonly options: ClusterOptions;
  readonly counters = new Map<string, number>();
  /** Of each member: how often somebody else had to be asked to stamp a write. */
  readonly stampRetries = new Map<MemberId, number>();
  /** By member and name; of the last start of each. */
  readonly gauges = new Map<string, () => number>();
  /** What faults destroyed so far. */
  readonly losses = new Losses((member) => this.machines.find(({ name }) => name === member)?.zone ?? member);
  readonly clocks = new Clocks();
  /** Of each data directory that ever was: its newest incarnation so far. */
  readonly incarnations = new Map<string, () => number>();
  readonly #document: RingDocument;
  /** Whether the ring changes in this run: then who is home to what is not known beforehand. */
  isElastic = false;
  /** Whether a node may be started now; whoever runs pods is asked, where there is one. */
  mayStart: (machine: SimulatedNode) => boolean = () => true;
  /** Is shown each record that lay on a disk right before a loss struck it. */
  onDestroyed: (key: string, record: KvRecord) => void = () => undefined;
  /** Is told of each value when it is first handed to a disk. */
  onStamped: (key: string, dot: Dot) => void = () => undefined;
  /** Is told when a machine's disk may have lost something: with its power, by rot, or all of it. */
  onStruck: (machine: SimulatedNode) => void = () => undefined;
  /** Is told when a node adopts a ring, just before it is in force. */
  onRingAdopted: (name: MemberId) => void = () => undefined;
  /** Puts something between a node and its disk: for checkers, who look at what is written. */
  watchEngine: (engine: Engine, writer: Writer) => Engine = (engine) => engine;
  /** What a node is started with, where it is not the cluster's options that say so. */
  settingsOf: ((machine: SimulatedNode) => NodeSettings) | undefined;
  /** The ring that the cluster begins with. */
  readonly ring: Ring;
  readonly #adopted = new AdoptedRings();
  /** The first broken invariant, which in production would have stopped its process. */
  bug: unknown;

  constructor(options: ClusterOptions) {
    this.options = options;
    this.random = createSeededRandom(options.seed);
    this.simulator = new Simulator({ trace: options.trace === true });
    this.network = new SimulatedNetwork(this.simulator, this.random.stream("network"));
    this.nodes = Array.from({ length: options.nodes }, (_, i) =>
      this.#createMachine(options.memberName?.(i) ?? `n${i + 1}`, `z${i % options.zones}`, true),
    );
    this.#document = firstRing({
      members: this.nodes.map(({ name, zone }) => ({
        name,
        address: addressOf(name),
        zone,
        weight: 100,
        state: "active" as const,
      })),
      partitions: options.partitions ?? 16,
      replicationFactor: options.replicationFactor,
      readQuorum: options.readQuorum,
      writeQuorum: options.writeQuorum,
      mode: options.mode,
    });
    this.ring = createRing(this.#document);
  }

  /** The least that R and W are by any ring of the run: what a request that names none may count on. */
  get leastQuorums(): Quorums {
    const all = [this.options, ...(this.options.quorumsToBe ?? [])];
    return {
      readQuorum: Math.min(...all.map(({ readQuorum }) => readQuorum)),
      writeQuorum: Math.min(...all.map(({ writeQuorum }) => writeQuorum)),
    };
  }

  /** Whether every ring of the run is strict. */
  get isStrict(): boolean {
    return this.options.mode === "strict" && this.options.mayBeSloppy !== true;
  }

  /** Whether R + W > N by every ring of the run: a request that names neither meets what others wrote that named neither. */
  get isOverlapping(): boolean {
    const { replicationFactor, quorumsToBe = [] } = this.options;
    return [this.options, ...quorumsToBe].every(
      ({ readQuorum, writeQuorum }) => readQuorum + writeQuorum > replicationFactor,
    );
  }

  /** Whatever may run or hold a disk. */
  get machines(): readonly SimulatedNode[] {
    return this.ghosts.length === 0 ? this.nodes : [...this.nodes, ...this.ghosts];
  }

  /** Lets what runs under a name go on by itself; whoever is started under it next begins with an empty disk. */
  abandon(machine: SimulatedNode): SimulatedNode {
    const ghost = { ...machine };
    this.ghosts.push(ghost);
    const { disk, bootId } = this.#createMachine(machine.name, machine.zone, false);
    Object.assign(machine, { disk, bootId: `${bootId} after ${machine.bootId}` });
    Object.assign(machine, { process: undefined, node: undefined, engine: undefined });
    this.simulator.tell(`${machine.name} runs on by itself`);
    return ghost;
  }

  /** Machines that have not left the ring for good. */
  get living(): readonly SimulatedNode[] {
    return this.nodes.filter(({ isRetired }) => !isRetired);
  }

  /** Puts up a machine of that name, which nobody starts. */
  addNamed(name: MemberId, zone: string): SimulatedNode {
    const machine = this.#createMachine(name, zone, false);
    this.nodes.push(machine);
    return machine;
  }

  /** Puts up a machine whose node is no member yet, and starts it. */
  addMachine(zone: string): SimulatedNode {
    const machine = this.#createMachine(`n${this.nodes.length + 1}`, zone, false);
    this.nodes.push(machine);
    this.start(machine);
    return machine;
  }

  #createMachine(name: MemberId, zone: string, isFirst: boolean): SimulatedNode {
    const random = this.random.stream(`disk of ${name}`);
    // The disk's own clock is the simulator's: it goes on when the process dies.
    const disk = createSimulatedDisk({
      time: this.simulator.timeOf(this.simulator.createProcess(`disk of ${name}`)),
      random,
    });
    const skew = this.random.stream(`clock of ${name}`);
    const wallSkewMs = skew.between(-2_000, 2_000);
    const clock = { wallSkewMs, driftPpm: skew.between(-200, 200) };
    this.setClock({ clock }, wallSkewMs);
    return {
      name,
      zone,
      isFirst,
      isRetired: false,
      disk,
      clock,
      bootId: `${name} boot 1`,
      process: undefined,
      node: undefined,
      engine: undefined,
      diskLostMs: Number.NEGATIVE_INFINITY,
    };
  }

  byName(name: MemberId): SimulatedNode {
    const found = this.nodes.find((node) => node.name === name);
    assert(found !== undefined, `a node named ${name}`);
    return found;
  }

  /**
   * The zones in which rings list a member, or did. Nodes know no other: a pod that is made anew in another zone stays
   * listed in the old one until it has left and joined again.
   */
  zonesOf({ name, zone }: SimulatedNode): ReadonlySet<string> {
    return this.#adopted.zonesOf(name, this.nodes) ?? new Set([zone]);
  }

  /** Starts the process of a node; it serves some virtual ms later. */
  start(machine: SimulatedNode): void {
    if (!this.mayStart(machine)) return;
    assert(machine.process === undefined, "a machine runs one node");
    const process = this.simulator.createProcess(machine.name);
    machine.process = process;
    this.simulator.tell(`start ${machine.name}`);
    this.simulator.after(
      0,
      () => this.#boot(machine, process).catch((error: unknown) => this.#startFailed(machine, process, error)),
      process,
    );
  }

  async #boot(machine: SimulatedNode, process: Process): Promise<void> {
    const settings = this.settingsOf?.(machine) ?? settingsOf(machine, this.#document, this.options);
    const random = this.random.stream(`${machine.name} ${machine.bootId} at ${this.simulator.nowMs}`);
    const time = this.simulator.timeOf(process, machine.clock, drawMonotonicMs(random.stream("monotonic clock")));
    const telemetry = this.#telemetryOf(machine.name);
    const engine = machine.disk.open(this.simulator.arrivalsOf(process));
    machine.engine = engine;
    const identity = await openIdentity(
      { engine, random, telemetry },
      { clusterId: settings.clusterId, member: machine.name, bootId: machine.bootId },
    );
    this.incarnations.set(identity.actor, () => identity.incarnation());
    const transport = createTransport({ time, random, telemetry }, this.network.of(process), {
      clusterId: settings.clusterId,
      member: machine.name,
      identity: () => ({
        actor: identity.actor,
        incarnation: identity.incarnation(),
        durability: settings.durability,
      }),
      listen: { host: machine.name, port: 7402 },
      limits: this.options.transportLimitsOf?.(machine.name) ?? {},
    });
    const watched = this.watchEngine(engine, { machine, actor: identity.actor });
    const node = createNode(settings, { time, random, telemetry, engine: watched, transport }, identity);
    await node.start();
    machine.node = node;
  }

  /** A node that cannot start (its disk fails, say) ends, as its process would; somebody may start it again. */
  #startFailed(machine: SimulatedNode, process: Process, error: unknown): void {
    if (machine.process !== process) return;
    this.simulator.tell(`start of ${machine.name} failed: ${error instanceof Error ? error.message : String(error)}`);
    if (error instanceof assert.AssertionError) this.bug ??= error;
    this.crash(machine, "process");
  }

  /**
   * Ends a node at once: its process, or with "machine" the machine under it, which takes what was not synced, also of a
   * process that had ended before.
   */
  crash(machine: SimulatedNode, kind: "process" | "machine"): void {
    if (machine.process === undefined && kind === "process") return;
    this.#end(machine, kind, () => endDisk(this, machine, kind));
    if (kind === "machine") this.onStruck(machine);
  }

  /** @param endsDisk Takes what the disk loses with it. */
  #end(machine: SimulatedNode, kind: "process" | "machine", endsDisk: () => void): void {
    const { process } = machine;
    this.simulator.tell(`crash ${machine.name} ${kind}${process === undefined ? ", whose process was down" : ""}`);
    if (process !== undefined) {
      process.alive = false;
      this.network.crash(process, kind);
    }
    endsDisk();
    if (kind === "machine") machine.bootId = `${machine.name} booted at ${this.simulator.nowMs}`;
    machine.process = undefined;
    machine.node = undefined;
    machine.engine = undefined;
  }

  /** Somebody sets the clock of a machine. */
  setClock({ clock }: Pick<SimulatedNode, "clock">, wallSkewMs: number): void {
    clock.wallSkewMs = wallSkewMs;
    this.clocks.note(clock, wallSkewMs, this.simulator.nowMs);
  }

  /** The machine dies, and will come back with an empty disk under the same name. */
  loseDisk(machine: SimulatedNode): void {
    machine.diskLostMs = this.simulator.nowMs;
    wipeDisk(this, machine, () => this.#end(machine, "machine", () => machine.disk.crash("machine")));
  }

  /** Starts every node that is down, and waits until all serve and are linked to each other. */
  async startAll(withinMs = 30_000): Promise<void> {
    for (const machine of this.living) if (machine.process === undefined) this.start(machine);
    const ready = await this.simulator.runWhile(() => !this.#allReady(), withinMs);
    assert(ready, `every node serves within ${withinMs} ms of a quiet world`);
  }

  #allReady(): boolean {
    // A node whose disk failed while it started has ended: whoever watches over processes starts it again.
    for (const machine of this.living) if (machine.process === undefined) this.start(machine);
    return this.living.every(({ node }) => {
      const members = node?.status.cluster().members.filter(({ state }) => state !== "left") ?? [];
      // A node that has no ring yet knows of no member that could be down.
      return members.length > 0 && members.every((member) => member.health === "up");
    });
  }

  #telemetryOf(name: MemberId): Telemetry {
    return {
      count: (metric, amount = 1) => {
        this.counters.set(metric, (this.counters.get(metric) ?? 0) + amount);
        if (metric === STAMP_RETRIES) this.stampRetries.set(name, (this.stampRetries.get(name) ?? 0) + amount);
      },
      observe() {},
      // Of one for each member or level no test asks yet.
      gauge: (metric, read) => this.gauges.set(`${name} ${metric}`, () => Number(read())),
      log: (_level, event, fields) => {
        const other = fields?.name ?? fields?.peer ?? fields?.other ?? fields?.member;
        const of = other === undefined ? "" : `, ${other}`;
        const why = fields?.reason ?? fields?.why;
        this.simulator.tell(`${name} ${event}${of}${why === undefined ? "" : `: ${why}`}`);
        if (event !== "ring.adopted") return;
        this.onRingAdopted(name);
        this.bug ??= this.#adopted.note(name, Number(fields?.epoch), String(fields?.digest));
      },
    };
  }
}

/** Where the node of a machine listens to its peers. */
export function addressOf(name: MemberId): string {
  return `${name}:7402`;
}
