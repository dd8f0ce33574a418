/**
 * What a local cluster consists of: for each node its name, zone, ports, directory and settings.
 *
 * Pure: the same options give the same plan, so that a cluster that is started again finds its data.
 */
import { join, resolve } from "node:path";

export type LocalOptions = {
  readonly nodes: number;
  readonly zones: readonly string[];
  /** Directory under which each node has its own. */
  readonly dataDirectory: string;
  /** Data port of the first node; admin is the next, peer the one after; the next node's are ten further. */
  readonly basePort: number;
};

export type LocalNode = {
  readonly name: string;
  readonly zone: string;
  readonly dataPort: number;
  readonly adminPort: number;
  readonly peerPort: number;
  readonly dataUrl: string;
  readonly adminUrl: string;
  readonly directory: string;
  /** Holds its process id while it runs. */
  readonly pidFile: string;
  /** Peer addresses of the others, as `ANNULUS_SEEDS` takes them. */
  readonly seeds: string;
  /** The node's `ANNULUS_...` variables for a cluster that is new, all but its id. */
  readonly settings: Readonly<Record<string, string>>;
};

export const PORTS_APART = 10;
const HOST = "127.0.0.1";
const REPLICATION_FACTOR = 3;
const QUORUM = 2;

/** Plans the nodes; zones are given out in turn. */
export function planLocalCluster(options: LocalOptions): readonly LocalNode[] {
  const places = Array.from({ length: options.nodes }, (_, index) => ({
    name: `n${index + 1}`,
    zone: options.zones[index % options.zones.length] as string,
    dataPort: options.basePort + index * PORTS_APART,
  }));
  const members = places.map(({ name, zone, dataPort }) => `${name}=${HOST}:${dataPort + 2}@${zone}`).join(",");
  return places.map(({ name, zone, dataPort }) => {
    const directory = join(resolve(options.dataDirectory), name);
    const settings = {
      ANNULUS_NODE: name,
      ANNULUS_ZONE: zone,
      ANNULUS_DATA_DIR: directory,
      ANNULUS_HOST: HOST,
      ANNULUS_DATA_PORT: String(dataPort),
      ANNULUS_ADMIN_PORT: String(dataPort + 1),
      ANNULUS_PEER_PORT: String(dataPort + 2),
      ANNULUS_ADVERTISE: `${HOST}:${dataPort + 2}`,
      ANNULUS_MEMBERS: members,
      ANNULUS_SEEDS: "",
      ANNULUS_N: String(Math.min(REPLICATION_FACTOR, options.nodes)),
      ANNULUS_R: String(Math.min(QUORUM, options.nodes)),
      ANNULUS_W: String(Math.min(QUORUM, options.nodes)),
    };
    return {
      name,
      zone,
      dataPort,
      adminPort: dataPort + 1,
      peerPort: dataPort + 2,
      dataUrl: `http://${HOST}:${dataPort}`,
      adminUrl: `http://${HOST}:${dataPort + 1}`,
      directory,
      pidFile: join(directory, "pid"),
      seeds: places
        .filter((place) => place.name !== name)
        .map((place) => `${HOST}:${place.dataPort + 2}`)
        .join(","),
      settings,
    };
  });
}

/**
 * The environment of a node: this process's own, the node's place in the cluster over it. Tuning such as
 * ANNULUS_CACHE_BYTES passes through; the command line's own variables are none of a node's. Three nodes log much at their
 * start that says nothing to who just wants a cluster: without a level they log warnings.
 *
 * @param cluster `isFounded`: its ring is there, to be asked for and not to be made anew; a single node has nobody to ask.
 */
export function environmentOf(
  node: LocalNode,
  cluster: { readonly id: string; readonly isFounded: boolean },
  inherited: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const mayAsk = cluster.isFounded && node.seeds !== "";
  const ring = mayAsk ? { ANNULUS_MEMBERS: "", ANNULUS_SEEDS: node.seeds } : {};
  return { ANNULUS_LOG_LEVEL: "warn", ...inherited, ...node.settings, ...ring, ANNULUS_CLUSTER: cluster.id };
}
