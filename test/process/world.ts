/**
 * A cluster of real nodes on machines of its own, with clients, faults, and the checks after them: what each test of
 * faults has in common.
 */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClusterNode, LocalCluster, type Place } from "../bench/cluster.ts";
import { History } from "../sim/history.ts";
import { Clients, type ClientsOptions } from "./clients.ts";
import { LoopDisk } from "./loop-disk.ts";
import { type Host, Namespaces } from "./namespaces.ts";
import { checkDisks, checkHistory, comeToRest } from "./rest.ts";
import { quoted, Undo } from "./undo.ts";

export type WorldOptions = {
  /** The zone of each node. */
  readonly zones: readonly string[];
  readonly mode: "strict" | "sloppy";
  /** Over those that all worlds have. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Gives a node a disk of its own, of so many MiB. */
  readonly disk?: { readonly node: number; readonly mebibytes: number };
};

/** N, R and W of every world. */
const REPLICAS = 3;
const QUORUM = 2;

/**
 * Within this time after the faults every member is up, every hint delivered, and all homes were found equal: links are
 * dialled anew within 2 s, members heard of within two intervals of gossip, trees are begun 3 s after a start and rounds of repair
 * are 2 s apart.
 */
export const REST_WITHIN_MS = 20_000;

const SETTINGS = {
  ANNULUS_N: String(REPLICAS),
  ANNULUS_R: String(QUORUM),
  ANNULUS_W: String(QUORUM),
  ANNULUS_PARTITIONS: "64",
  ANNULUS_REPAIR_INTERVAL_MS: "2000",
  ANNULUS_LOG_LEVEL: "warn",
};

/** A seed of its own for each run, printed with it; `FAULT_SEED` repeats one. It draws what clients do, not when. */
export const SEED = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000);

export class World {
  readonly cluster: LocalCluster;
  readonly machines: Namespaces;
  readonly disk: LoopDisk | undefined;
  readonly history = new History();
  readonly #undo: Undo;
  readonly #mode: WorldOptions["mode"];
  #clients: Clients | undefined;

  private constructor(parts: {
    readonly cluster: LocalCluster;
    readonly machines: Namespaces;
    readonly disk: LoopDisk | undefined;
    readonly undo: Undo;
    readonly mode: WorldOptions["mode"];
  }) {
    this.cluster = parts.cluster;
    this.machines = parts.machines;
    this.disk = parts.disk;
    this.#undo = parts.undo;
    this.#mode = parts.mode;
  }

  /** Makes the machines and starts a node on each. Leaves nothing behind when it fails. */
  static async create(options: WorldOptions): Promise<World> {
    const undo = new Undo();
    try {
      const directory = mkdtempSync(join(tmpdir(), "annulus-world-"));
      undo.with(`rm -rf ${quoted(directory)}`);
      const own = options.disk;
      // Before the machines, so that it is unmounted after whoever writes to it is gone.
      const disk = own === undefined ? undefined : await LoopDisk.create(undo, join(directory, "disk"), own.mebibytes);
      const machines = await Namespaces.create(undo, options.zones.length);
      const places = machines.hosts.map(({ address, namespace }, index): Place => {
        const dataDirectory = join(disk !== undefined && own?.node === index ? disk.directory : directory, `${index}`);
        return { host: address, namespace, zone: options.zones[index] as string, dataDirectory };
      });
      const settings = { ...SETTINGS, ANNULUS_MODE: options.mode, ...options.settings };
      const cluster = await LocalCluster.start({ places, settings, directory: join(directory, "cluster") });
      return new World({ cluster, machines, disk, undo, mode: options.mode });
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  node(index: number): ClusterNode {
    const node = this.cluster.nodes[index];
    assert(node !== undefined, `there is a node ${index}`);
    return node;
  }

  machine(index: number): Host {
    const host = this.machines.hosts[index];
    assert(host !== undefined, `there is a machine ${index}`);
    return host;
  }

  /** The machines of a zone. */
  zone(name: string): readonly Host[] {
    return this.machines.hosts.filter((_, index) => this.node(index).zone === name);
  }

  /** Lets clients loose on all nodes, until `rest`. */
  load(options: Partial<ClientsOptions> = {}): Clients {
    assert(this.#clients === undefined, "there is one load at a time");
    this.#clients = new Clients(this.cluster.nodes, this.history, {
      seed: SEED,
      clients: 8,
      keys: 48,
      thinkMsMax: 40,
      mix: ["read", "read", "context", "context", "overwrite", "sibling", "remove"],
      isFresh: this.#mode === "strict",
      ...options,
    });
    return this.#clients;
  }

  /** Ends the load and makes all the checks. The faults have ended. Prints the figures. */
  async rest(title: string): Promise<void> {
    const clients = this.#clients;
    assert(clients !== undefined, "there was a load");
    await clients.stop();
    const { calmMs, equalMs } = await comeToRest(this.cluster, REST_WITHIN_MS);
    const { records } = await checkDisks(this.cluster);
    await checkHistory(this.cluster, this.history, clients.keys, REPLICAS);
    process.stdout.write(`${title} (seed ${SEED})\n${describe(clients)}${restLine({ calmMs, equalMs, records })}`);
  }

  /** Kills what runs and takes everything away, whatever happened. */
  async remove(): Promise<void> {
    const stopped = this.#clients?.stop();
    // Clients that saw what they may not see have said so in the test; here they only have to end.
    await Promise.allSettled([stopped]);
    await this.cluster.killAll();
    await this.cluster.stop();
    await this.#undo.run();
  }
}

function describe({ counters }: Clients): string {
  const { operations, acknowledged, retries, readsFailed, writesRefused, writesUnknown, reasons } = counters;
  const told = [...reasons].sort(([, a], [, b]) => b - a).map(([reason, count]) => `${count} × ${reason}`);
  return [
    `  ${operations} operations, ${acknowledged} acknowledged, ${retries} tries more`,
    `  failed for good: ${readsFailed} reads, ${writesRefused} writes refused, ${writesUnknown} of unknown outcome`,
    ...(told.length === 0 ? [] : [`  told: ${told.join("; ")}`]),
    "",
  ].join("\n");
}

function restLine({ calmMs, equalMs, records }: { calmMs: number; equalMs: number; records: number }): string {
  return `  at rest: all up and no hint after ${calmMs.toFixed(0)} ms, all found equal after ${equalMs.toFixed(0)} ms; ${records} records the same on all their disks, 0 lost\n`;
}
