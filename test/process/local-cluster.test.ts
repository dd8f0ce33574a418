/** `annulus local`, as a person meets it: what it prints is tried literally, a node is killed, Ctrl-C ends it. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { checkoutDirectory } from "../bench/processes.ts";
import { isFree } from "./ports.ts";

const PROGRAM = join(checkoutDirectory(), "dist/node/cli/main.js");
const PATIENCE_MS = 30_000;
const POLL_MS = 20;
const shell = promisify(execFile);

/** One run of `annulus local`. */
class LocalRun {
  output = "";
  readonly child: ChildProcess;

  constructor(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [PROGRAM, "local", ...args], {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
    }
  }

  /** Waits until the output holds the text, from the given place on. */
  async says(text: string, from = 0): Promise<void> {
    await until(
      () => this.output.includes(text, from),
      () => `it did not say "${text}":\n${this.output}`,
    );
  }

  /** The process ids of the nodes, the newest of each. */
  pids(): Map<string, number> {
    const started = this.output.matchAll(/"node":"(n\d+)","pid":(\d+)/g);
    return new Map([...started].map(([, name = "", pid]) => [name, Number(pid)]));
  }

  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "close");
    return this.child.exitCode;
  }
}

async function until(isTrue: () => boolean | Promise<boolean>, complaint: () => string): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    assert.ok(performance.now() < untilMs, complaint());
    await sleep(POLL_MS);
  }
}

/** What a promise gives, or undefined where it fails: of something that may not be there yet. */
async function tried<T>(promise: Promise<T>): Promise<T | undefined> {
  const [result] = await Promise.allSettled([promise]);
  return result.status === "fulfilled" ? result.value : undefined;
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A base port such that the ports of three nodes are free. */
async function freeBasePort(): Promise<number> {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 4_000) * 10;
    const ports = [0, 10, 20].flatMap((step) => [base + step, base + step + 1, base + step + 2]);
    const free = await Promise.all(ports.map(isFree));
    if (free.every(Boolean)) return base;
  }
}

describe("the local cluster", () => {
  let directory: string;
  let args: readonly string[];
  let base: number;
  let local: LocalRun;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "annulus-local-"));
    base = await freeBasePort();
    args = ["--data", directory, "--base-port", String(base)];
    local = new LocalRun(args);
    await local.says("Ctrl-C stops the cluster");
  });
  afterEach(async () => {
    local.child.kill("SIGTERM");
    await local.ended();
    rmSync(directory, { recursive: true, force: true });
  });

  it("prints three curl lines that work as they stand", async () => {
    const lines = [...local.output.matchAll(/^ {2}(curl .*)$/gm)].map(([, line = ""]) => line);
    assert.equal(lines.length, 3);
    const [put = "", get = "", locate = ""] = lines;
    assert.match((await shell("sh", ["-c", put])).stdout, /^HTTP\/1.1 204 /);
    assert.match((await shell("sh", ["-c", get])).stdout, /^HTTP\/1.1 200 [\s\S]*\r\n\r\nhello$/);
    const place = JSON.parse((await shell("sh", ["-c", locate])).stdout) as { homes: { zone: string }[] };
    assert.deepEqual(place.homes.map(({ zone }) => zone).sort(), ["a", "b", "c"]);
  });

  it("starts a node again that was killed, with its data", async () => {
    const url = `http://127.0.0.1:${base + 10}/v1/kv/kept`;
    assert.equal((await fetch(`${url}?w=3`, { method: "PUT", body: "safe" })).status, 204);
    const pid = local.pids().get("n2");
    assert.ok(pid !== undefined);
    process.kill(pid, "SIGKILL");
    await local.says("n2 | died (SIGKILL); starting again in 500 ms");
    await until(
      () => local.pids().get("n2") !== pid,
      () => `n2 did not come back:\n${local.output}`,
    );
    const answer = async () => (await tried(fetch(`${url}?r=3`)))?.text();
    await until(
      async () => (await answer()) === "safe",
      () => `n2 does not serve:\n${local.output}`,
    );
  });

  it("stops all nodes on Ctrl-C and keeps their data for the next start", async () => {
    const url = `http://127.0.0.1:${base}/v1/kv/kept`;
    await fetch(url, { method: "PUT", body: "safe" });
    const pids = [...local.pids().values()];
    assert.equal(pids.length, 3);
    local.child.kill("SIGINT");
    assert.equal(await local.ended(), 0, local.output);
    assert.deepEqual(pids.filter(runs), []);
    assert.match(local.output, /node\.stopped[\s\S]*annulus: stopped\n$/);
    local = new LocalRun(args);
    await local.says("Ctrl-C stops the cluster");
    assert.equal(await (await fetch(url)).text(), "safe");
  });

  it("leaves no node behind when it is killed itself", async () => {
    const pids = [...local.pids().values()];
    local.child.kill("SIGKILL");
    await local.ended();
    await until(
      () => !pids.some(runs),
      () => `still running: ${pids.filter(runs)}`,
    );
  });

  it("says which ports are in use, and refuses data of a cluster of another shape", async () => {
    const second = new LocalRun(["--data", `${directory}/other`, "--base-port", String(base)]);
    assert.equal(await second.ended(), 1);
    assert.match(second.output, new RegExp(`these ports of 127.0.0.1 are in use: ${base}, ${base + 1}, `));
    local.child.kill("SIGINT");
    await local.ended();
    const wider = new LocalRun([...args, "--nodes", "4"]);
    assert.equal(await wider.ended(), 1);
    assert.match(wider.output, /holds the data of a cluster with other nodes/);
  });

  it("ends when a node refuses to start, and shows the reason", async () => {
    local.child.kill("SIGINT");
    await local.ended();
    const refused = new LocalRun(args, { ANNULUS_CACHE_BYTES: "much" });
    assert.equal(await refused.ended(), 1);
    assert.match(refused.output, /ANNULUS_CACHE_BYTES: expected a whole number/);
    assert.match(refused.output, /annulus: n\d refused to start; its reason stands above/);
  });

  it("tells a second process on a node's directory why it may not start", async () => {
    const [dataPort, adminPort, peerPort] = [base + 5, base + 6, base + 7].map(String);
    const second = spawn(process.execPath, [PROGRAM, "node"], {
      env: {
        PATH: process.env.PATH,
        ANNULUS_CLUSTER: "local",
        ANNULUS_NODE: "n1",
        ANNULUS_DATA_DIR: join(directory, "n1"),
        ANNULUS_HOST: "127.0.0.1",
        ANNULUS_DATA_PORT: dataPort,
        ANNULUS_ADMIN_PORT: adminPort,
        ANNULUS_PEER_PORT: peerPort,
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaint = "";
    second.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaint += text;
    });
    const [exitCode] = await once(second, "close");
    assert.equal(exitCode, 1);
    assert.match(complaint, /annulus: Cannot open the store in .*n1.*: another process holds it/);
  });
});
