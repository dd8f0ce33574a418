/**
 * A backup of three nodes while clients write: killed in the middle and taken up again, restored to five nodes in two zones,
 * and merged into the cluster that it came from, where nothing deleted since may come back.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory, sleep } from "../bench/processes.ts";
import { ask } from "./http.ts";

const PROGRAM = join(checkoutDirectory(), "dist/node/cli/main.js");
const PAIRS = 400;
const AT_ONCE = 16;
const SETTINGS = { ANNULUS_PARTITIONS: "32" };
const PLACES = ["a", "b", "a", "b", "a"].map((zone) => ({ host: "127.0.0.1", zone }));
const TEST_TIMEOUT_MS = 240_000;

type Manifest = { readonly completedAt: string | null; readonly parts: readonly { readonly partition: number }[] };

let folder: string;
let backup: string;
let source: LocalCluster;
let target: LocalCluster;

const keyOf = (index: number): string => `pair-${index}`;
const textOf = (index: number): string => `${index}:${"v".repeat(index % 97)}`;

function environment({ nodes }: LocalCluster) {
  const urls = nodes.map(({ host, adminPort }) => `http://${host}:${adminPort}`);
  return { PATH: process.env.PATH, ANNULUS_ADMIN_URL: urls.join(",") };
}

function run(cluster: LocalCluster, ...args: readonly string[]) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(process.execPath, [PROGRAM, ...args], { env: environment(cluster) }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(join(backup, "manifest.json"), "utf8")) as Manifest;
}

/** Runs one thing after the other for each number below `count`, some at a time. */
async function each(count: number, run: (index: number) => Promise<void>): Promise<void> {
  const rest = Array.from({ length: count }, (_, index) => index).values();
  const work = async () => {
    for (const index of rest) await run(index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

function nodeOf({ nodes }: LocalCluster, index: number) {
  const node = nodes[index % nodes.length];
  assert.ok(node !== undefined);
  return node;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "annulus-backup-"));
  backup = join(folder, "backup");
  source = await LocalCluster.start({ settings: SETTINGS });
  target = await LocalCluster.start({ places: PLACES, settings: { ANNULUS_PARTITIONS: "64" } });
}, 120_000);
afterAll(async () => {
  const complaints = [...(await source.stop()), ...(await target.stop())];
  rmSync(folder, { recursive: true });
  assert.deepEqual(complaints, []);
}, 120_000);

describe("a backup", () => {
  it(
    "is taken while clients write, and goes on where it was killed",
    async () => {
      await each(PAIRS, async (index) => {
        const { status } = await ask(nodeOf(source, index), "PUT", keyOf(index), { body: textOf(index) });
        assert.equal(status, 204);
      });
      const empty = { "If-None-Match": "*" };
      assert.equal((await ask(nodeOf(source, 0), "PUT", "gone", { headers: empty, body: "x" })).status, 204);
      assert.equal((await ask(nodeOf(source, 0), "DELETE", "gone")).status, 204);
      let isWriting = true;
      const writing = (async () => {
        for (let index = 0; isWriting; index += 1) {
          // Whether each of these is acknowledged is another test's question.
          await ask(nodeOf(source, index), "PUT", `later-${index % 50}`, { body: String(index) });
        }
      })();
      try {
        // At 2 KiB a second it would take a minute: it is killed long before its end, however slow this machine is.
        const slow = spawn(process.execPath, [PROGRAM, "backup", backup, "--rate", "0.002"], {
          env: environment(source),
          stdio: "ignore",
        });
        const ended = once(slow, "exit");
        while (!existsSync(join(backup, "manifest.json")) || manifest().parts.length < 2) await sleep(20);
        slow.kill("SIGKILL");
        await ended;
        const { parts: kept, completedAt } = manifest();
        assert.equal(completedAt, null);
        assert.ok(kept.length < 32);
        assert.equal((await run(source, "backup", "verify", backup)).code, 1);
        const written = kept.map(({ partition }) => statSync(partPath(partition)).mtimeMs);
        const { code, stderr } = await run(source, "backup", backup);
        assert.equal(code, 0, stderr);
        assert.deepEqual(
          kept.map(({ partition }) => statSync(partPath(partition)).mtimeMs),
          written,
        );
        assert.notEqual(manifest().completedAt, null);
      } finally {
        isWriting = false;
        await writing;
      }
      const { code, stdout } = await run(source, "backup", "verify", backup);
      assert.equal(code, 0);
      assert.match(stdout, /32 partitions, whole and undamaged/);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "is restored to five nodes in two zones, every byte of it, and twice is as once",
    async () => {
      for (let time = 0; time < 2; time += 1) {
        const { code, stderr } = await run(target, "restore", backup);
        assert.equal(code, 0, stderr);
      }
      await each(PAIRS, async (index) => {
        const { status, body } = await ask(nodeOf(target, index), "GET", keyOf(index));
        assert.equal(`${status} ${body}`, `200 ${textOf(index)}`);
      });
      assert.equal((await ask(nodeOf(target, 0), "GET", "gone")).status, 404);
      // What was restored can be replaced like any other pair: its context covers what was read.
      const headers = { "KV-Context": (await ask(nodeOf(target, 0), "GET", keyOf(0))).headers.get("kv-context") ?? "" };
      assert.equal((await ask(nodeOf(target, 1), "PUT", keyOf(0), { headers, body: "new" })).status, 204);
      assert.equal((await run(target, "restore", backup)).code, 0);
      const { status, body } = await ask(nodeOf(target, 2), "GET", keyOf(0));
      assert.equal(`${status} ${body}`, "200 new");
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "merged into the cluster that it came from undoes nothing that was written or deleted since",
    async () => {
      const node = nodeOf(source, 0);
      assert.equal((await ask(node, "DELETE", keyOf(1))).status, 204);
      assert.equal((await ask(node, "PUT", keyOf(2), { body: "since" })).status, 204);
      const { code, stderr } = await run(source, "restore", backup);
      assert.equal(code, 0, stderr);
      assert.equal((await ask(node, "GET", keyOf(1))).status, 404);
      const answer = await ask(node, "GET", keyOf(2));
      assert.equal(`${answer.status} ${answer.body}`, "200 since");
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "that is damaged is not restored",
    async () => {
      const path = partPath(manifest().parts[0]?.partition ?? 0);
      const { size } = statSync(path);
      appendFileSync(path, "\n");
      const { code, stderr } = await run(target, "restore", backup);
      assert.equal(code, 1);
      assert.match(stderr, /damaged: part-00000/);
      truncateSync(path, size);
      assert.equal((await run(target, "backup", "verify", backup)).code, 0);
    },
    TEST_TIMEOUT_MS,
  );
});

function partPath(partition: number): string {
  return join(backup, `part-${String(partition).padStart(5, "0")}.jsonl`);
}
