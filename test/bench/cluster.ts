/**
 * A cluster of real `annulus node` processes for benches and process tests: on loopback, one zone each, unless the test
 * says in which places they run. Further nodes may be added: they know of the first ones, and are no members yet.
 *
 * Free ports and a directory of its own under the system's temporary directory, removed at `stop`. Nothing here knows
 * more of a node than its environment and its two HTTP listeners.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClientTls, Endpoint } from "../../node/client/http.ts";
import { NoAnswerError } from "../../node/client/no-answer-error.ts";
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
  /** How to reach the HTTP ports where the settings make them speak TLS: all of them, or the admin ports. */
  readonly tls?: ClientTls;
  /** More of them for the node of this name, asked at each of its starts. */
  readonly settingsOf?: (name: string) => Readonly<Record<string, string>>;
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
  /** The checkout whose build it is started from next; this one when undefined. */
  checkout: string | undefined;
};

const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 10;

export class LocalCluster {
  /** The nodes that there are; added and removed ones come and go. */
  readonly nodes: readonly ClusterNode[];
  /** Holds `<name>/` for each node that was given no other place. */
  readonly directory: string;
  readonly #options: ClusterOptions;
  /** The same array as `nodes`. */
  readonly #nodes: ClusterNode[];
  readonly #first: readonly ClusterNode[];
  #nextIndex: number;

  private constructor(directory: string, nodes: readonly ClusterNode[], options: ClusterOptions) {
    this.directory = directory;
    this.#nodes = [...nodes];
    this.nodes = this.#nodes;
    this.#first = nodes;
    this.#nextIndex = nodes.length;
    this.#options = options;
  }

  /** Starts the nodes (three, if nothing else is said) and waits until each is ready. */
  static async start(options: ClusterOptions = {}): Promise<LocalCluster> {
    const count = options.places?.length ?? options.nodeCount ?? 3;
    const ports = await freePorts(count * 3);
    const directory = options.directory ?? mkdtempSync(join(tmpdir(), "annulus-cluster-"));
    const nodes = Array.from({ length: count }, (_, index) =>
      nodeAt(index, { directory, place: options.places?.[index], ports: ports.slice(index * 3, index * 3 + 3) }),
    );
    const cluster = new LocalCluster(directory, nodes, options);
    try {
      await cluster.startAll();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Starts one more node, with an empty directory, and waits until it says that it is ready. It joins nothing. */
  async add(place?: Place): Promise<ClusterNode> {
    const index = this.#nextIndex++;
    const node = nodeAt(index, { directory: this.directory, place, ports: await freePorts(3) });
    this.#nodes.push(node);
    await this.startNode(node);
    return node;
  }

  /** Takes a node off the list, stopped as it is told to; its data stays until `stop`. Gives whether it stopped. */
  async remove(node: ClusterNode): Promise<boolean> {
    this.#nodes.splice(this.#nodes.indexOf(node), 1);
    return (await node.server?.stop()) ?? true;
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

  /**
   * Starts one node and waits until it says that it is ready. Gives the ms that took.
   *
   * @param until What to wait for: one that has left the ring is alive and never ready.
   */
  async startNode(
    node: ClusterNode,
    nodeOptions: readonly string[] = [],
    until: "ready" | "alive" = "ready",
  ): Promise<number> {
    const startedAt = performance.now();
    const program = join(node.checkout ?? checkoutDirectory(), "dist/node/cli/main.js");
    const server = new ServerProcess([...nodeOptions, program, "node"], this.#environment(node), node.namespace);
    node.server = server;
    while (!(await isWell(node, until === "ready" ? "/readyz" : "/healthz", this.#options.tls))) {
      const waitedMs = performance.now() - startedAt;
      if (server.hasEnded || waitedMs > READY_TIMEOUT_MS) {
        const how = server.hasEnded ? await server.ended : `not ${until} after ${Math.round(waitedMs)} ms`;
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
    const addresses = this.#first.map(({ host, peerPort }) => `${host}:${peerPort}`);
    const members = this.#first.map(({ name, zone }, index) => `${name}=${addresses[index]}@${zone}*100`);
    const known = this.#first.includes(node)
      ? { ANNULUS_MEMBERS: members.join(",") }
      : { ANNULUS_SEEDS: addresses.join(",") };
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
      ...known,
      ...this.#options.settings,
      ...this.#options.settingsOf?.(node.name),
    };
  }
}

function nodeAt(
  index: number,
  parts: { readonly directory: string; readonly place: Place | undefined; readonly ports: readonly number[] },
): ClusterNode {
  const place: Place = parts.place ?? { host: "127.0.0.1", zone: `zone-${index}` };
  const [dataPort = 0, adminPort = 0, peerPort = 0] = parts.ports;
  const name = `node-${index}`;
  const dataDirectory = place.dataDirectory ?? join(parts.directory, name);
  const { host, zone, namespace } = place;
  return {
    name,
    host,
    zone,
    namespace,
    dataDirectory,
    dataPort,
    adminPort,
    peerPort,
    server: undefined,
    checkout: undefined,
  };
}

/** Whether the node's admin listener says that it is well. Nobody listening yet is the usual "no". */
async function isWell(
  { host, adminPort }: ClusterNode,
  path: "/readyz" | "/healthz",
  tls: ClientTls | undefined,
): Promise<boolean> {
  const url = `${tls === undefined ? "http" : "https"}://${host}:${adminPort}`;
  const endpoint = new Endpoint(url, { connectionsMax: 1, timeoutMs: 1_000, tls });
  try {
    return (await endpoint.exchange({ method: "GET", path })).status === 200;
  } catch (error) {
    if (error instanceof NoAnswerError) return false;
    throw error;
  } finally {
    endpoint.close();
  }
}
