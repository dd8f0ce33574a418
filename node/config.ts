/**
 * All settings of a node: one schema, read once, checked, frozen.
 *
 * Settings come from the environment (`ANNULUS_...`, and some of OpenTelemetry's `OTEL_...`) and from a `.env`-style file named by `ANNULUS_CONFIG`; the
 * environment wins. A name that no setting has, a value that is out of its bounds, or values that contradict each
 * other stop the start with one message that names them all. `docs/configuration.md` holds the table that
 * `annulus node --settings` prints from this schema; a test keeps the two equal.
 *
 * Not here: what the ring document holds once there is one (N, R, W, mode, partitions): the settings of these names
 * make the first ring and are compared with the ring's afterwards, never used in its place.
 */
import { hostname } from "node:os";
import { parseEnv } from "node:util";
import { z } from "zod";
import { ACCESS_SETTINGS, accessContradictions, toAccessConfig } from "./config-access.ts";
import { contradictions } from "./config-contradictions.ts";
import { matching, oneOf, structured, whole, wholeWithoutPreset } from "./config-kinds.ts";
import { TELEMETRY_SETTINGS, telemetryContradictions, toTelemetryConfig } from "./config-telemetry.ts";
import { TLS_SETTINGS, tlsContradictions, toTlsConfig } from "./config-tls.ts";
import {
  MEMBER_NAME,
  nearestName,
  OTHER_NAMES,
  readAddress,
  readAddresses,
  readMembers,
  WEIGHT_DEFAULT,
  WEIGHT_MAX,
  ZONE_DEFAULT,
  ZONE_NAME,
} from "./config-values.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const port = (preset: number, min: 0 | 1, meaning: string) => whole({ min, max: 65_535, preset }, { meaning });

/** One entry a variable, in the order of the documentation's table. */
export const Settings = z.strictObject({
  ANNULUS_CLUSTER: matching(/^[A-Za-z0-9._-]{1,128}$/, "1 to 128 of `A-Za-z0-9._-`", {
    meaning: "Cluster id. Peers that name another one are refused.",
  }),
  ANNULUS_NODE: matching(MEMBER_NAME, "1 to 63 of `a-z0-9.-`", {
    meaning: "Member's name, unique in the cluster and stable over restarts (the pod's name).",
  }),
  ANNULUS_ZONE: matching(ZONE_NAME, "1 to 63 of `A-Za-z0-9._-`", {
    meaning: "Failure zone. Replicas of a key are spread over zones.",
  }).default(ZONE_DEFAULT),
  ANNULUS_WEIGHT: whole(
    { min: 0, max: WEIGHT_MAX, preset: WEIGHT_DEFAULT },
    {
      meaning: "Share of the data relative to the other members; 0 holds none.",
      growth: "more disk and load here, less elsewhere",
    },
  ),
  ANNULUS_DATA_DIR: matching(/^[^\0]+$/, "a directory's path", {
    meaning: "Data directory; made if it is not there. One process at a time.",
  }),
  ANNULUS_HOST: matching(/^[A-Za-z0-9_.:%-]{1,253}$/, "an address or host name", {
    meaning: "Address that the three listeners bind to.",
  }).default("0.0.0.0"),
  ANNULUS_DATA_PORT: port(7400, 0, "Port of the data API; 0 takes any free one."),
  ANNULUS_ADMIN_PORT: port(7401, 0, "Port of health, metrics and administration; 0 takes any free one."),
  ANNULUS_PEER_PORT: port(7402, 1, "Port for the other members."),
  ANNULUS_ADVERTISE: structured(readAddress, "host:port", {
    meaning:
      "Where peers reach this node's peer port. Default: its address in `ANNULUS_MEMBERS`, else `ANNULUS_HOST` if that is one address, else the machine's host name; with the peer port.",
  }).optional(),
  ANNULUS_MEMBERS: structured(readMembers, "name=host:peerPort@zone*weight,...", {
    meaning: "The first ring, the same on each node; used only while no ring is on disk or among the peers.",
  }).default([]),
  ANNULUS_SEEDS: structured(readAddresses, "host:peerPort,...", {
    meaning:
      "Peers to ask for the ring, besides the first members: they may be gone, or have lost their disks, in a cluster that has grown.",
  }).default([]),
  ANNULUS_PARTITIONS: whole(
    { min: 1, max: 65_536, preset: 512 },
    {
      meaning: "Equal parts of the hash space, a power of two, fixed when the first ring is made.",
      growth: "finer balance; a larger ring document and more bookkeeping a member",
    },
  ),
  ANNULUS_N: whole(
    { min: 1, max: 16, preset: 3 },
    {
      unit: "replicas",
      meaning: "Home replicas of each key. First ring only.",
      growth: "more disk and traffic a write",
    },
  ),
  ANNULUS_R: whole(
    { min: 1, max: 16, preset: 2 },
    { unit: "replicas", meaning: "Replies a read waits for. First ring only.", growth: "slower, less available reads" },
  ),
  ANNULUS_W: whole(
    { min: 1, max: 16, preset: 2 },
    {
      unit: "replicas",
      meaning: "Acknowledgements a write waits for. First ring only.",
      growth: "slower, less available writes",
    },
  ),
  ANNULUS_MODE: oneOf(["sloppy", "strict"], "sloppy", {
    meaning: "Whether stand-ins count towards R and W (`sloppy`) or home replicas only. First ring only.",
  }),
  ANNULUS_TIMEOUT_MS: whole(
    { min: 1, max: 600_000, preset: 1000 },
    {
      unit: "ms",
      meaning: "How long a request waits for its quorum unless it says otherwise.",
      growth: "requests that cannot succeed hold memory and their place for longer",
    },
  ),
  ANNULUS_GOSSIP_INTERVAL_MS: whole(
    { min: 10, max: 600_000, preset: 1000 },
    { unit: "ms", meaning: "Time between two exchanges of liveness.", growth: "failures are noticed later" },
  ),
  ANNULUS_PHI_THRESHOLD: whole(
    { min: 1, max: 100, preset: 8 },
    {
      meaning: "Suspicion (phi) from which a silent member is suspected.",
      growth: "fewer false alarms, failures are noticed later",
    },
  ),
  ANNULUS_HINT_WINDOW_MS: whole(
    { min: 0, max: 31_536_000_000, preset: 10_800_000 },
    { unit: "ms", meaning: "Age at which a surplus hint expires.", growth: "more disk for the hints of a lost member" },
  ),
  ANNULUS_HINT_BYTES_MAX: whole(
    { min: MIB, max: 1024 * GIB, preset: GIB },
    {
      unit: "bytes",
      meaning:
        "Hints kept here for other members; beyond it a surplus hint is dropped, and a write that needs one is refused by this stand-in.",
      growth: "more disk while members are away",
    },
  ),
  ANNULUS_TOMBSTONE_AGE_MS: whole(
    { min: 600_000, max: 31_536_000_000, preset: 86_400_000 },
    {
      unit: "ms",
      meaning:
        "How long a deletion is remembered at least; it is forgotten once all homes were found equal after that and nobody keeps anything older.",
      growth: "deleted keys take disk for longer",
    },
  ),
  ANNULUS_REPAIR_INTERVAL_MS: whole(
    { min: 100, max: 31_536_000_000, preset: 30_000 },
    { unit: "ms", meaning: "Time between two rounds of anti-entropy.", growth: "differences live longer" },
  ),
  ANNULUS_SCRUB_INTERVAL_MS: whole(
    { min: 1_000, max: 31_536_000_000, preset: 604_800_000 },
    {
      unit: "ms",
      meaning: "Time that one pass takes which reads everything and checks every checksum.",
      growth: "damage is found later, at less load",
    },
  ),
  ANNULUS_BACKGROUND_BYTES_PER_SECOND: whole(
    { min: 64 * KIB, max: 64 * GIB, preset: 16 * MIB },
    {
      unit: "bytes",
      meaning: "What repair and other background work may take a second while the clients' latencies are as usual.",
      growth: "it ends sooner, and weighs more on clients until it gives way",
    },
  ),
  ANNULUS_PAIR_BYTES_MAX: whole(
    { min: 2 * KIB, max: MIB, preset: 10 * KIB },
    {
      unit: "bytes",
      meaning: "Largest key and value together that a client may write.",
      growth: "more memory a request; large pairs delay small ones behind them",
    },
  ),
  ANNULUS_SIBLINGS_MAX: whole(
    { min: 1, max: 1000, preset: 50 },
    {
      unit: "siblings",
      meaning:
        "Concurrent values of a key, at most 2 MiB or two of the largest pairs; a write that adds past either gets 409.",
      growth: "larger records: each read and write of such a key moves all of them",
    },
  ),
  ANNULUS_CONTEXT_ENTRIES_MAX: whole(
    { min: 4, max: 1024, preset: 32 },
    {
      unit: "entries",
      meaning:
        "Entries of a version vector past which a write is counted (`annulus_context_over_limit_total`); none is pruned yet.",
      growth: "longer context tokens and records",
    },
  ),
  ANNULUS_DURABILITY: oneOf(["os", "disk"], "os", {
    meaning:
      "When a write counts as durable: its log is with the operating system (`os`: survives the process), or flushed (`disk`: survives the machine).",
  }),
  ANNULUS_CACHE_BYTES: whole(
    { min: 64 * KIB, max: 64 * GIB, preset: 8 * MIB },
    { unit: "bytes", meaning: "LevelDB's block cache.", growth: "more memory, fewer disk reads" },
  ),
  ANNULUS_WRITE_BUFFER_BYTES: whole(
    { min: 64 * KIB, max: 4 * GIB, preset: 16 * MIB },
    {
      unit: "bytes",
      meaning: "LevelDB's memtable; up to two are in memory.",
      growth: "more memory and a longer start after a crash; fewer compactions",
    },
  ),
  ANNULUS_RECORD_CACHE_BYTES: whole(
    { min: 0, max: 64 * GIB, preset: 16 * MIB },
    { unit: "bytes", meaning: "Recently used records kept in memory.", growth: "more memory, fewer disk reads" },
  ),
  ANNULUS_IN_FLIGHT_MAX: whole(
    { min: 1, max: 1_000_000, preset: 1024 },
    {
      unit: "requests",
      meaning:
        "Client requests in work at once; more are answered 429. The limits that a node finds by itself never pass it.",
      growth: "longer queues, more memory, later shedding",
    },
  ),
  ANNULUS_CONNECTIONS_MAX: whole(
    { min: 1, max: 1_000_000, preset: 4096 },
    {
      unit: "connections",
      meaning: "Clients connected to each HTTP port at once; more are closed.",
      growth: "some 20 KiB of memory each",
    },
  ),
  ANNULUS_CONNECTION_REQUESTS_MAX: whole(
    { min: 1, max: 1_000_000_000, preset: 1_000_000 },
    {
      unit: "requests",
      meaning: "Requests on one connection to an HTTP port; the answer to the last closes it.",
      growth: "connections stay longer where they are, also when there are more nodes to spread them over",
    },
  ),
  ANNULUS_DISK_RESERVE_BYTES: wholeWithoutPreset(
    { min: 0, max: 1024 * GIB },
    {
      unit: "bytes",
      meaning:
        "Free disk space below which writes are refused with 507. Default: 64 MiB or 16 write buffers, whichever is more.",
      growth: "less of the disk is used; more room to compact and to recover in",
    },
  ).optional(),
  ANNULUS_LOG_LEVEL: oneOf(["debug", "info", "warn", "error"], "info", {
    meaning: "Least severe level that is logged.",
  }),
  ANNULUS_SHUTDOWN_TIMEOUT_MS: whole(
    { min: 100, max: 600_000, preset: 10_000 },
    {
      unit: "ms",
      meaning: "How long a stop may take to answer what is in flight and to close the store.",
      growth: "a stop that hangs is given up later",
    },
  ),
  ...TLS_SETTINGS,
  ...ACCESS_SETTINGS,
  ...TELEMETRY_SETTINGS,
});

const PREFIX = "ANNULUS_";
const OPERATOR_PREFIX = "ANNULUS_OPERATOR_";

/** All settings of a node, checked and frozen; each field's unit and bounds stand at its variable in the schema. */
export type NodeConfig = Readonly<ReturnType<typeof toConfig>>;

/** Why a node cannot start with the settings it was given: one problem a line. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `Cannot start: ${problems.length === 1 ? "a setting is" : "settings are"} wrong.\n  ${problems.join("\n  ")}`,
    );
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/**
 * Reads and checks all settings.
 *
 * @param environment Variables by name; of those without the prefix `ANNULUS_` only OpenTelemetry's are looked at.
 * @param readFile Returns the text of the file that ANNULUS_CONFIG names; may throw.
 * @throws {ConfigError} Names every setting that is unknown, missing, out of bounds or in contradiction to others.
 */
export function loadConfig(
  environment: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): NodeConfig {
  const problems: string[] = [];
  const given = {
    ...readSettingsFile(environment.ANNULUS_CONFIG, readFile, problems),
    ...ownVariables(environment),
  };
  const settings = Object.entries(given).filter(([name]) => !OTHER_NAMES.includes(name));
  const [known, unknown] = [settings.filter(isKnown), settings.filter((entry) => !isKnown(entry))];
  problems.push(...unknown.map(([name]) => `${name}: there is no such setting${suggestion(name)}`));
  const parsed = Settings.safeParse(Object.fromEntries(known));
  if (!parsed.success) {
    problems.push(...parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`));
    throw new ConfigError(problems);
  }
  const config = toConfig(parsed.data);
  problems.push(...contradictions(config), ...telemetryContradictions(config.telemetry));
  problems.push(...tlsContradictions(parsed.data), ...accessContradictions(parsed.data));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

function ownVariables(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const own = Object.entries(environment).flatMap(([name, value]) => {
    if (value === undefined || name.startsWith(OPERATOR_PREFIX)) return [];
    // Of OpenTelemetry's an empty one is as good as none, as its users know it.
    return name.startsWith(PREFIX) || (value !== "" && isOfTelemetry(name)) ? [[name, value] as const] : [];
  });
  return Object.fromEntries(own);
}

function isKnown([name]: readonly [string, unknown]): boolean {
  return Object.hasOwn(Settings.shape, name);
}

function isOfTelemetry(name: string): boolean {
  return Object.hasOwn(TELEMETRY_SETTINGS, name);
}

function readSettingsFile(
  path: string | undefined,
  readFile: (path: string) => string,
  problems: string[],
): Record<string, string> {
  if (path === undefined) return {};
  try {
    return ownVariables(parseEnv(readFile(path)));
  } catch (error) {
    problems.push(`ANNULUS_CONFIG: expected a readable file, found "${path}" (${(error as Error).message})`);
    return {};
  }
}

function suggestion(name: string): string {
  const near = nearestName(name, [...Object.keys(Settings.shape), ...OTHER_NAMES]);
  return near === undefined ? "; `annulus node --settings` lists all" : `; did you mean ${near}?`;
}

function toConfig(settings: z.infer<typeof Settings>) {
  const self = settings.ANNULUS_MEMBERS.find((member) => member.name === settings.ANNULUS_NODE);
  const isAnyAddress = settings.ANNULUS_HOST === "0.0.0.0" || settings.ANNULUS_HOST === "::";
  const host = isAnyAddress ? hostname() : settings.ANNULUS_HOST;
  const ownAddress = `${host.includes(":") ? `[${host}]` : host}:${settings.ANNULUS_PEER_PORT}`;
  return {
    clusterId: settings.ANNULUS_CLUSTER,
    nodeName: settings.ANNULUS_NODE,
    zone: settings.ANNULUS_ZONE,
    weight: settings.ANNULUS_WEIGHT,
    dataDirectory: settings.ANNULUS_DATA_DIR,
    host: settings.ANNULUS_HOST,
    dataPort: settings.ANNULUS_DATA_PORT,
    adminPort: settings.ANNULUS_ADMIN_PORT,
    peerPort: settings.ANNULUS_PEER_PORT,
    advertisedAddress: settings.ANNULUS_ADVERTISE ?? self?.address ?? ownAddress,
    firstMembers: settings.ANNULUS_MEMBERS,
    seeds: settings.ANNULUS_SEEDS,
    partitionCount: settings.ANNULUS_PARTITIONS,
    replicationFactor: settings.ANNULUS_N,
    readQuorum: settings.ANNULUS_R,
    writeQuorum: settings.ANNULUS_W,
    mode: settings.ANNULUS_MODE,
    requestTimeoutMs: settings.ANNULUS_TIMEOUT_MS,
    gossipIntervalMs: settings.ANNULUS_GOSSIP_INTERVAL_MS,
    phiThreshold: settings.ANNULUS_PHI_THRESHOLD,
    hintWindowMs: settings.ANNULUS_HINT_WINDOW_MS,
    hintBytesMax: settings.ANNULUS_HINT_BYTES_MAX,
    tombstoneAgeMs: settings.ANNULUS_TOMBSTONE_AGE_MS,
    repairIntervalMs: settings.ANNULUS_REPAIR_INTERVAL_MS,
    backgroundBytesPerSecond: settings.ANNULUS_BACKGROUND_BYTES_PER_SECOND,
    scrubIntervalMs: settings.ANNULUS_SCRUB_INTERVAL_MS,
    pairBytesMax: settings.ANNULUS_PAIR_BYTES_MAX,
    siblingCountMax: settings.ANNULUS_SIBLINGS_MAX,
    contextEntriesMax: settings.ANNULUS_CONTEXT_ENTRIES_MAX,
    durability: settings.ANNULUS_DURABILITY,
    cacheBytes: settings.ANNULUS_CACHE_BYTES,
    writeBufferBytes: settings.ANNULUS_WRITE_BUFFER_BYTES,
    recordCacheBytes: settings.ANNULUS_RECORD_CACHE_BYTES,
    inFlightMax: settings.ANNULUS_IN_FLIGHT_MAX,
    connectionsMax: settings.ANNULUS_CONNECTIONS_MAX,
    requestsPerConnectionMax: settings.ANNULUS_CONNECTION_REQUESTS_MAX,
    diskReserveBytes: settings.ANNULUS_DISK_RESERVE_BYTES,
    logLevel: settings.ANNULUS_LOG_LEVEL,
    shutdownTimeoutMs: settings.ANNULUS_SHUTDOWN_TIMEOUT_MS,
    tls: toTlsConfig(settings),
    access: toAccessConfig(settings),
    telemetry: toTelemetryConfig(settings),
  };
}
