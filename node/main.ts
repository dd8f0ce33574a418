/**
 * One node in production: settings to adapters to node, signals to a clean stop, bugs to an end at once.
 *
 *   start:  settings, telemetry, TLS files, tokens, store, identity, transport, node, admin port, peers and ring, data port
 *   stop:   data port, node (peers, last flush, mark of the clean stop), store, admin port
 *
 * Exit codes: 0 stopped as told, 1 cannot start, lost a part of its store, or did not stop cleanly or in time, 70 a bug, 78 wrong settings. No logic of
 * its own.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createAdminServer } from "./adapters/http/admin.ts";
import { createChangesView, viewTransition } from "./adapters/http/changes-view.ts";
import { readConsoleFiles } from "./adapters/http/console-files.ts";
import { createDataServer } from "./adapters/http/data-server.ts";
import { createGate, type Gate } from "./adapters/http/gate.ts";
import { createHeldUpWatch } from "./adapters/http/held-up.ts";
import { BODY_TIMEOUT_MS, HTTP_TIMES, type HttpServer } from "./adapters/http/http-server.ts";
import { createKvHandler, createPlaces } from "./adapters/http/kv-handler.ts";
import { type FollowedTokens, followTokens } from "./adapters/http/token-file.ts";
import { createLevelEngine, type LevelEngine } from "./adapters/level/engine.ts";
import { bootId, systemRandom, systemTime } from "./adapters/system.ts";
import { createTcpTransport } from "./adapters/tcp/transport.ts";
import { createTelemetry, type ProcessTelemetry, type TelemetryOptions } from "./adapters/telemetry/telemetry.ts";
import { ConfigError, loadConfig, type NodeConfig } from "./config.ts";
import { KvError } from "./core/errors.ts";
import { createNode, type StorageNode } from "./node.ts";
import { nodeSettings } from "./node-settings.ts";
import { openIdentity } from "./services/identity.ts";
import { openTlsPorts, type TlsPorts } from "./tls-ports.ts";

const EXIT_STOPPED = 0;
const EXIT_FAILED = 1;
const EXIT_BUG = 70;
const EXIT_CONFIG = 78;

/** Where the build puts the console's page. */
const CONSOLE = join(import.meta.dirname, "console");
/** Of the time that a stop may take, the share in which clients get their answers. */
const ANSWERING_SHARE = 0.5;

/** All that a running node consists of, in the order in which it was made. */
type Running = {
  readonly config: NodeConfig;
  readonly telemetry: ProcessTelemetry;
  readonly tls: TlsPorts;
  /** Undefined where everybody may do everything. */
  readonly tokens: FollowedTokens | undefined;
  readonly engine: LevelEngine;
  readonly node: StorageNode;
  readonly adminServer: HttpServer;
  readonly dataServer: HttpServer;
};

/**
 * Runs one node until it is told to stop; then ends the process.
 *
 * @param environment The process's variables; see `config.ts`.
 * @param watchParent Starts to watch for another reason to stop than a signal, and tells it.
 */
export async function runNode(
  environment: Readonly<Record<string, string | undefined>>,
  watchParent: (tell: (why: string) => void) => void,
): Promise<void> {
  const config = configOrExit(environment);
  const telemetry = await createTelemetry({
    level: config.logLevel,
    nodeName: config.nodeName,
    isTerminal: process.stdout.isTTY === true,
    program: "node",
    isDisabled: config.telemetry.isDisabled,
    ...collectorOf(config),
    about: { "service.name": "annulus", "service.instance.id": config.nodeName, "annulus.cluster": config.clusterId },
  });
  const crash = endOnBug(telemetry);
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  // Until the node runs there is nothing to stop cleanly: what was begun is as after a crash, which is safe.
  let stop = (_why: string): void => process.exit(EXIT_STOPPED);
  watchParent((why) => stop(why));
  // From the start: the first process of a container gets no signal that it does not handle.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => stop(signal));
  let running: Running;
  try {
    running = await start(config, telemetry, crash);
  } catch (error) {
    if (!isRefusal(error)) return crash(error);
    const reason = reasonOf(error, config);
    telemetry.telemetry.log("error", "node.refused", { reason });
    process.stderr.write(`annulus: ${reason}\n`);
    process.exit(error instanceof KvError && error.code === "INVALID_REQUEST" ? EXIT_CONFIG : EXIT_FAILED);
  }
  stop = stopOnce(running, crash);
}

function collectorOf({ telemetry: { endpoint, ...rest } }: NodeConfig): Pick<TelemetryOptions, "collector"> {
  return endpoint === undefined ? {} : { collector: { endpoint, ...rest } };
}

function configOrExit(environment: Readonly<Record<string, string | undefined>>): NodeConfig {
  try {
    return loadConfig(environment, (path) => readFileSync(path, "utf8"));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`annulus: ${error.message}\n`);
    process.exit(EXIT_CONFIG);
  }
}

/** A bug: say so and end at once, before anything else is written on top of it. */
function endOnBug({ telemetry }: ProcessTelemetry): (error: unknown) => never {
  return (error) => {
    telemetry.log("error", "node.bug", { cause: error });
    process.exit(EXIT_BUG);
  };
}

/**
 * The store lost a part of its log under a running node, which holds in memory what was in it, and counted on it. The next
 * start finds the mark of that, and begins with what there is, under a new incarnation.
 */
function endOnLoss({ telemetry }: ProcessTelemetry): (lost: string) => never {
  return (lost) => {
    telemetry.log("error", "node.ended_after_loss", { reason: lost });
    process.exit(EXIT_FAILED);
  };
}

/** Why a healthy program may not start, or not stop cleanly: the store, the peers' port, a taken address. */
function isRefusal(error: unknown): error is Error {
  return error instanceof KvError || (error instanceof Error && "syscall" in error);
}

/** The error's own words; of an address that cannot be listened on, with the settings that say where. */
function reasonOf(error: Error, { host, dataPort, adminPort, peerPort }: NodeConfig): string {
  const cause = (error.cause ?? error) as NodeJS.ErrnoException & { readonly port?: number };
  if (cause.syscall !== "listen") return error.message;
  const names = { ANNULUS_DATA_PORT: dataPort, ANNULUS_ADMIN_PORT: adminPort, ANNULUS_PEER_PORT: peerPort };
  const name = Object.entries(names).find(([, port]) => port === cause.port)?.[0] ?? "its port";
  const why = cause.code === "EADDRINUSE" ? "another process listens there" : cause.message;
  return `Cannot listen on ${host}:${cause.port}: ${why}. ANNULUS_HOST and ${name} say where to listen.`;
}

async function start(
  config: NodeConfig,
  telemetry: ProcessTelemetry,
  crash: (error: unknown) => never,
): Promise<Running> {
  const ports = { time: systemTime, random: systemRandom(), telemetry: telemetry.telemetry };
  const tls = await openTlsPorts(ports, config);
  const { access } = config;
  const tokens = access === undefined ? undefined : await followTokens(ports, access.file);
  const engine = await createLevelEngine(ports, {
    directory: join(config.dataDirectory, "store"),
    cacheBytes: config.cacheBytes,
    writeBufferBytes: config.writeBufferBytes,
    reserveBytes: config.diskReserveBytes,
    onLoss: endOnLoss(telemetry),
  });
  const opener = { clusterId: config.clusterId, member: config.nodeName, bootId: bootId() };
  const identity = await openIdentity({ ...ports, engine }, opener);
  const own = {
    clusterId: config.clusterId,
    member: config.nodeName,
    identity: () => ({
      actor: identity.actor,
      incarnation: identity.incarnation(),
      durability: config.durability,
    }),
    listen: { host: config.host, port: config.peerPort },
  };
  const transport = createTcpTransport(ports, own, tls.peer);
  const node = createNode(nodeSettings(config), { ...ports, engine, transport }, identity);
  const servers = createServers(config, { telemetry, node, crash, tls, gate: gateOf(config, tokens) });
  const adminPort = await servers.adminServer.start();
  await node.start();
  const dataPort = await servers.dataServer.start();
  const { host, peerPort, advertisedAddress } = config;
  const { pid } = process;
  ports.telemetry.log("info", "node.started", { pid, host, dataPort, adminPort, peerPort, advertisedAddress });
  return { config, telemetry, tls, tokens, engine, node, ...servers };
}

/** Who gets in; undefined where no file of tokens is set. */
function gateOf({ access }: NodeConfig, tokens: FollowedTokens | undefined): Gate | undefined {
  if (access === undefined || tokens === undefined) return undefined;
  return createGate(tokens, { name: "anonymous", prefixes: undefined, ...access.anonymous });
}

function createServers(
  config: NodeConfig,
  parts: {
    telemetry: ProcessTelemetry;
    node: StorageNode;
    crash: (error: unknown) => never;
    tls: TlsPorts;
    gate: Gate | undefined;
  },
): { adminServer: HttpServer; dataServer: HttpServer } {
  const { node, gate } = parts;
  const { telemetry, metricsText } = parts.telemetry;
  const listen = {
    host: config.host,
    connectionsMax: config.connectionsMax,
    requestsPerConnectionMax: config.requestsPerConnectionMax,
    ...HTTP_TIMES,
  };
  const admin = {
    readiness: () => node.status.readiness(),
    cluster: async () => {
      const { transition, ...cluster } = node.status.cluster();
      const access = gate === undefined ? ("open" as const) : ("tokens" as const);
      const running = transition === null ? null : await viewTransition(node.changes, transition.id);
      return { ...cluster, access, transition: running };
    },
    changes: createChangesView(node.changes),
    ring: () => node.status.ring(),
    repair: () => node.repair.passNow(),
    locate: (key: Uint8Array) => node.status.locate(key),
    versions: (key: Uint8Array) => node.keyVersions(key),
    exportPage: node.exporter.page,
    backupPage: node.exporter.records,
    backupTree: node.backupDifference.tree,
    backupDifference: node.backupDifference.records,
    restore: node.restorer.restore,
    metricsText,
  };
  const shared = { telemetry, time: systemTime, onBug: parts.crash, gate };
  const data = {
    ...shared,
    coordinator: node.coordinator,
    bounds: node.bounds,
    isWaking: createHeldUpWatch(systemTime).isWaking,
    places: createPlaces(telemetry),
  };
  const pairs = {
    member: config.nodeName,
    durability: config.durability,
    pairBytesMax: config.pairBytesMax,
    inFlightMax: config.inFlightMax,
    bodyTimeoutMs: BODY_TIMEOUT_MS,
  };
  const kv = (draining: () => boolean) => createKvHandler({ ...data, draining }, pairs);
  return {
    adminServer: createAdminServer(
      { ...shared, admin, consoleFiles: readConsoleFiles(CONSOLE), kv },
      { ...listen, ...pairs, port: config.adminPort, tls: parts.tls.admin },
    ),
    dataServer: createDataServer(
      { ...data, ring: node.status.clientRing },
      { ...listen, ...pairs, port: config.dataPort, tls: parts.tls.data },
    ),
  };
}

/** Gives what ends the process cleanly. Called again, it does nothing. */
function stopOnce(running: Running, crash: (error: unknown) => never): (why: string) => void {
  const { log } = running.telemetry.telemetry;
  let isStopping = false;
  return (why) => {
    if (isStopping) return;
    isStopping = true;
    log("info", "node.stopping", { why });
    setTimeout(() => {
      log("error", "node.stop_gave_up", { afterMs: running.config.shutdownTimeoutMs });
      process.exit(EXIT_FAILED);
    }, running.config.shutdownTimeoutMs);
    stopParts(running).then(
      () => {
        log("info", "node.stopped");
        process.exit(EXIT_STOPPED);
      },
      (error: unknown) => {
        if (!isRefusal(error)) crash(error);
        // The next start takes it for one after a crash, which is safe.
        log("error", "node.stop_failed", { reason: error.message });
        process.exit(EXIT_FAILED);
      },
    );
  };
}

async function stopParts(running: Running): Promise<void> {
  const { config, telemetry, tls, tokens, engine, node, adminServer, dataServer } = running;
  tokens?.stop();
  // First of all: whoever asks whether this node serves is not sent to a port that is closed.
  node.status.drain();
  await dataServer.stop(config.shutdownTimeoutMs * ANSWERING_SHARE);
  await node.stop();
  await engine.close();
  await adminServer.stop(0);
  tls.stop();
  await telemetry.close();
}
