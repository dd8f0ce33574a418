/**
 * `annulus local`, the cluster of `npm start`: one process per node on this machine.
 *
 * Starts the nodes, waits until each is ready, says what to try, and stays until it is told to stop. A node that dies
 * is started again, unless that was not wanted. All data lies under one directory and is found again by the next start.
 */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import { Endpoint } from "../client/http.ts";
import { NoAnswerError } from "../client/no-answer-error.ts";
import { ZONE_NAME } from "../config-values.ts";
import { CommandError, EXIT } from "./exit.ts";
import { positive } from "./key-value.ts";
import { isFounded, noteFounded, notePid, prepareDirectories } from "./local/directories.ts";
import { createLineWriter } from "./local/log-lines.ts";
import { environmentOf, type LocalNode, PORTS_APART, planLocalCluster } from "./local/plan.ts";
import { NodeProcess } from "./local/process.ts";
import { watchParent } from "./parent.ts";

type LocalCommandOptions = {
  readonly nodes: number;
  readonly zones: readonly string[];
  readonly data: string;
  readonly fresh?: boolean;
  readonly basePort: number;
  readonly restart: boolean;
};

const NODES_MAX = 50;
const READY_WITHIN_MS = 30_000;
const READY_POLL_MS = 50;
/** Longer than a node's own bound, ANNULUS_SHUTDOWN_TIMEOUT_MS. */
const STOP_PATIENCE_MS = 12_000;
/** A log line that tells of no error. */
const WARNING = /^\{"level":"(debug|info|warn)"/;

/** `annulus local`. */
export function localCommand(): Command {
  return new Command("local")
    .description("Run a cluster on this machine, one process per node")
    .option("--nodes <n>", "how many nodes", nodeCount, 3)
    .addOption(
      new Option("--zones <names>", "zones, comma-separated, given out in turn")
        .argParser(zoneNames)
        .default(["a", "b", "c"], "a,b,c"),
    )
    .option("--data <directory>", "where the nodes keep their data", ".annulus")
    .option("--fresh", "delete the data of earlier runs first")
    .option("--base-port <port>", "data port of the first node; the next node's is ten further", basePort, 7400)
    .option("--no-restart", "let a node that dies stay down, until the cluster is started again")
    .action(runLocal);
}

function nodeCount(text: string): number {
  const count = positive(text);
  if (count > NODES_MAX) throw new InvalidArgumentError(`Expected at most ${NODES_MAX}.`);
  return count;
}

function zoneNames(text: string): readonly string[] {
  const zones = text.split(",").map((zone) => zone.trim());
  if (!zones.every((zone) => ZONE_NAME.test(zone))) throw new InvalidArgumentError("Expected names, comma-separated.");
  return zones;
}

function basePort(text: string): number {
  const port = positive(text);
  if (port + NODES_MAX * PORTS_APART > 65_535) throw new InvalidArgumentError("Expected a port below 65000.");
  return port;
}

async function runLocal(options: LocalCommandOptions): Promise<void> {
  const plan = planLocalCluster({ ...options, dataDirectory: options.data });
  await refuseTakenPorts(plan);
  const clusterId = prepareDirectories(options, plan);
  // Asked at each start: the ring may have come since the last.
  const environment = (node: LocalNode) =>
    environmentOf(node, { id: clusterId, isFounded: isFounded(options.data, plan) }, process.env);
  const told = toldToStop();
  const write = createLineWriter(
    plan.map((node) => node.name),
    process.stdout.isTTY === true,
  );
  const refused = Promise.withResolvers<string>();
  const isQuiet = process.env.ANNULUS_LOG_LEVEL === undefined;
  const onLine = (name: string, line: string) => {
    // That members go is what was asked for.
    if (!isQuiet || !told.signal.aborted || !WARNING.test(line)) write(name, line);
  };
  const processes = plan.map((node) =>
    watch(node, { onLine, write, onRefusal: refused.resolve, environment, ...options }),
  );
  try {
    for (const nodeProcess of processes) nodeProcess.start();
    const outcome = await Promise.race([allReady(plan, told.signal), refused.promise]);
    if (outcome === true) {
      noteFounded(options.data);
      process.stdout.write(
        introduction(
          plan,
          processes.map(({ pid }) => pid),
        ),
      );
    }
    const refuser = await Promise.race([refused.promise, told.promise]);
    if (refuser !== undefined) throw refusal(refuser);
    process.stdout.write("\nannulus: stopping\n");
  } finally {
    await Promise.all(processes.map((nodeProcess) => nodeProcess.stop(STOP_PATIENCE_MS)));
    told.end();
  }
  process.stdout.write("annulus: stopped\n");
}

const refusal = (name: string) => new CommandError(`${name} refused to start; its reason stands above`, EXIT.failed);

type Watch = {
  /** Takes what the node writes. */
  readonly onLine: (name: string, line: string) => void;
  /** Takes what there is to say of it. */
  readonly write: (name: string, line: string) => void;
  readonly onRefusal: (name: string) => void;
  readonly environment: (node: LocalNode) => Record<string, string | undefined>;
  readonly restart: boolean;
};

function watch(node: LocalNode, { onLine, write, onRefusal, environment, restart }: Watch): NodeProcess {
  let starts = 0;
  return new NodeProcess({
    program: fileURLToPath(import.meta.resolve("./main.js")),
    arguments: ["node"],
    environment: () => environment(node),
    isRestarted: restart,
    onLine: (line) => onLine(node.name, line),
    onStart(pid) {
      notePid(node, pid);
      if (starts > 0) write(node.name, `started again, process ${pid}`);
      starts += 1;
    },
    onEnd: () => rmSync(node.pidFile, { force: true }),
    onDeath(how, pauseMs) {
      const next = pauseMs === undefined ? "staying down (--no-restart)" : `starting again in ${pauseMs} ms`;
      write(node.name, `died (${how}); ${next}`);
    },
    onRefusal: () => onRefusal(node.name),
  });
}

/** Says which port is taken before any node is started: a cluster of which one node cannot listen is no cluster. */
async function refuseTakenPorts(plan: readonly LocalNode[]): Promise<void> {
  const taken: number[] = [];
  for (const { dataPort, adminPort, peerPort } of plan) {
    for (const port of [dataPort, adminPort, peerPort]) if (await isTaken(port)) taken.push(port);
  }
  if (taken.length === 0) return;
  throw new CommandError(
    `these ports of 127.0.0.1 are in use: ${taken.join(", ")}. Is a cluster running already? ` +
      "Another one can be started with --base-port and --data.",
    EXIT.failed,
  );
}

async function isTaken(port: number): Promise<boolean> {
  const server = createServer();
  const listening = once(server, "listening");
  server.listen(port, "127.0.0.1");
  try {
    await listening;
  } catch {
    return true;
  }
  server.close();
  await once(server, "close");
  return false;
}

/** Waits until each node says that it may serve; false when told to stop meanwhile. */
async function allReady(plan: readonly LocalNode[], signal: AbortSignal): Promise<boolean> {
  const untilMs = performance.now() + READY_WITHIN_MS;
  for (const node of plan) {
    while (!signal.aborted && !(await isReady(node))) {
      if (performance.now() > untilMs) {
        throw new CommandError(
          `${node.name} is not ready after ${READY_WITHIN_MS / 1000} s; its log stands above`,
          EXIT.failed,
        );
      }
      await sleep(READY_POLL_MS);
    }
  }
  return !signal.aborted;
}

async function isReady({ adminUrl }: LocalNode): Promise<boolean> {
  const endpoint = new Endpoint(adminUrl, { connectionsMax: 1, timeoutMs: 2_000 });
  try {
    return (await endpoint.exchange({ method: "GET", path: "/readyz" })).status === 200;
  } catch (error) {
    if (error instanceof NoAnswerError) return false;
    throw error;
  } finally {
    endpoint.close();
  }
}

/** What a person sees when the cluster is up. The commands work as they stand, with a token in ANNULUS_TOKEN where one is asked for. */
function introduction(plan: readonly LocalNode[], pids: readonly (number | undefined)[]): string {
  const { ANNULUS_ACCESS_FILE: access, ANNULUS_LOG_LEVEL: level } = process.env;
  const token = access === undefined ? "" : ' -H "Authorization: Bearer $ANNULUS_TOKEN"';
  const first = plan[0] as LocalNode;
  const last = plan[plan.length - 1] as LocalNode;
  const nodes = plan.map(
    ({ name, zone, dataUrl, adminUrl }, index) =>
      `  ${name}  zone ${zone}  data ${dataUrl}  admin ${adminUrl}  process ${pids[index] ?? "-"}`,
  );
  const asked = access === undefined ? "" : `, with a token of ${access} in ANNULUS_TOKEN`;
  const quiet = level === undefined ? "Only warnings are logged; ANNULUS_LOG_LEVEL=info logs more.\n" : "";
  return `
annulus: ${plan.length} nodes are ready
${nodes.join("\n")}

Console: ${first.adminUrl}/console/
For npx annulus put, get, status, top, doctor:
  export ANNULUS_URL=${plan.map(({ dataUrl }) => dataUrl).join(",")}
  export ANNULUS_ADMIN_URL=${plan.map(({ adminUrl }) => adminUrl).join(",")}

Try${asked}:
  curl -i${token} -X PUT -H 'Content-Type: text/plain' -d 'hello' ${first.dataUrl}/v1/kv/greeting
  curl -i${token} ${last.dataUrl}/v1/kv/greeting
  curl -s${token} ${first.adminUrl}/v1/ring/greeting

${quiet}Ctrl-C stops the cluster; the data stays for the next start.

`;
}

/**
 * Resolves when somebody wants the cluster to stop: a signal, or the npm that started this process is gone (killed
 * in a way that it could not pass on).
 */
function toldToStop(): { promise: Promise<void>; signal: AbortSignal; end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const controller = new AbortController();
  const stop = () => {
    controller.abort();
    resolve();
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  const endWatch = watchParent(stop);
  const end = () => {
    controller.abort();
    endWatch();
    for (const signal of signals) process.removeListener(signal, stop);
  };
  return { promise, signal: controller.signal, end };
}
