/**
 * A cluster of real `annulus node` processes for benches and process tests: on loopback, one zone each, unless the test
 * says in which places they run.
 *
 * Free ports and a directory of its own under the system's temporary directory, removed at `stop`. Nothing here knows
 * more of a node than its environment and its two HTTP listeners.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkoutDirectory, freePorts, ServerProcess, sleep } from "./processes.ts";

/** Where one node runs. */
export type Place = {
  readonly host: string;
  readonly zone: string;
  /** The network namespace that has the address. */
  readonly namespace?: string;
  /** Its data directory; one under the cluster's own directory when absent. */
  readonly dataDirectory?: string;
};

export type ClusterOptions = {
  readonly nodeCount?: number;
  /** One for each node; on loopback, in zones of their own, when absent. */
  readonly places?: readonly Place[];
  /** Holds the data of nodes that are given no other place, and is removed at `stop`; a fresh one when absent. */
  readonly directory?: string;
  /** `ANNULUS_…` settings for every node, over those that the cluster needs. */
  readonly settings?: Readonly<Record<string, string>>;
};

export type ClusterNode = {
  readonly name: string;
  readonly host: string;
  readonly zone: string;
  readonly namespace: string | undefined;
  readonly dataDirectory: string;
  readonly dataPort: number;
  readonly adminPort: number;
  readonly peerPort: number;
  /** The process that runs or ran last. */
  server: ServerProcess | undefined;
};

const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 10;

export class LocalCluster {
  readonly nodes: readonly ClusterNode[];
  /** Holds `<name>/` for each node that was given no other place. */
  readonly directory: string;
  readonly #options: ClusterOptions;

  private constructor(directory: string, nodes: readonly ClusterNode[], options: ClusterOptions) {
    this.directory = directory;
    this.nodes = nodes;
    this.#options = options;
  }

  /** Starts the nodes (three, if nothing else is said) and waits until each is ready. */
  static async start(options: ClusterOptions = {}): Promise<LocalCluster> {
    const count = options.places?.length ?? options.nodeCount ?? 3;
    const ports = await freePorts(count * 3);
    const directory = options.directory ?? mkdtempSync(join(tmpdir(), "annulus-cluster-"));
    const nodes = Array.from({ length: count }, (_, index) => {
      const place: Place = options.places?.[index] ?? { host: "127.0.0.1", zone: `zone-${index}` };
      const name = `node-${index}`;
      return {
        name,
        host: place.host,
        zone: place.zone,
        namespace: place.namespace,
        dataDirectory: place.dataDirectory ?? join(directory, name),
        dataPort: ports[index * 3] ?? 0,
        adminPort: ports[index * 3 + 1] ?? 0,
        peerPort: ports[index * 3 + 2] ?? 0,
        server: undefined,
      };
    });
    const cluster = new LocalCluster(directory, nodes, options);
    try {
      await cluster.startAll();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get dataPorts(): number[] {
    return this.nodes.map((node) => node.dataPort);
  }

  /** The ids of the processes that run. */
  get pids(): number[] {
    return this.nodes.flatMap(({ server }) => (server === undefined || server.hasEnded ? [] : [server.pid]));
  }

  /**
   * Starts every node that does not run; gives the ms from start to ready of each that it started.
   *
   * @param nodeOptions Options of the `node` program itself, for example `--cpu-prof`.
   */
  async startAll(nodeOptions: readonly string[] = []): Promise<number[]> {
    const stopped = this.nodes.filter(({ server }) => server === undefined || server.hasEnded);
    return await Promise.all(stopped.map((node) => this.startNode(node, nodeOptions)));
  }

  /** Starts one node and waits until it says that it is ready. Gives the ms that took. */
  async startNode(node: ClusterNode, nodeOptions: readonly string[] = []): Promise<number> {
    const startedAt = performance.now();
    const program = join(checkoutDirectory(), "dist/node/cli/main.js");
    const server = new ServerProcess([...nodeOptions, program, "node"], this.#environment(node), node.namespace);
    node.server = server;
    while (!(await isReady(node))) {
      const waitedMs = performance.now() - startedAt;
      if (server.hasEnded || waitedMs > READY_TIMEOUT_MS) {
        const how = server.hasEnded ? await server.ended : `not ready after ${Math.round(waitedMs)} ms`;
        throw new Error(`Cannot start ${node.name}: ${how}\n${server.output}`);
      }
      await sleep(READY_POLL_MS);
    }
    return performance.now() - startedAt;
  }

  /** `kill -9`, and waits until the process is gone. */
  async killNode(node: ClusterNode): Promise<void> {
    node.server?.kill();
    await node.server?.ended;
  }

  /** `kill -9` of every node at once. */
  async killAll(): Promise<void> {
    for (const node of this.nodes) node.server?.kill();
    await Promise.all(this.nodes.map((node) => node.server?.ended));
  }

  /** Stops the processes, keeps the data. Gives the names of those that hung and were killed. */
  async stopProcesses(): Promise<string[]> {
    const clean = await Promise.all(this.nodes.map(({ server }) => server?.stop() ?? true));
    return this.nodes.flatMap(({ name }, index) => (clean[index] === true ? [] : [name]));
  }

  /** Stops the processes and removes their data. Gives the names of those that hung and were killed. */
  async stop(): Promise<string[]> {
    const hung = await this.stopProcesses();
    rmSync(this.directory, { recursive: true, force: true });
    return hung;
  }

  #environment(node: ClusterNode): Record<string, string> {
    const members = this.nodes.map(({ name, host, peerPort, zone }) => `${name}=${host}:${peerPort}@${zone}*100`);
    return {
      ANNULUS_CLUSTER: "local-test",
      ANNULUS_NODE: node.name,
      ANNULUS_ZONE: node.zone,
      ANNULUS_DATA_DIR: node.dataDirectory,
      ANNULUS_HOST: node.host,
      ANNULUS_DATA_PORT: String(node.dataPort),
      ANNULUS_ADMIN_PORT: String(node.adminPort),
      ANNULUS_PEER_PORT: String(node.peerPort),
      ANNULUS_ADVERTISE: `${node.host}:${node.peerPort}`,
      ANNULUS_MEMBERS: members.join(","),
      ...this.#options.settings,
    };
  }
}

/** Whether the node's admin listener says that it may serve. Nobody listening yet is the usual "no". */
async function isReady({ host, adminPort }: ClusterNode): Promise<boolean> {
  try {
    const response = await fetch(`http://${host}:${adminPort}/readyz`, { signal: AbortSignal.timeout(1000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
