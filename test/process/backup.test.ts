/**
 * Backups of three nodes while clients write: killed in the middle and taken up again, restored to five nodes in two zones,
 * added to by what changed since, and merged into the cluster that it came from, where nothing deleted since may come back.
 *
 * `ANNULUS_BACKUP_PAIRS` scales it; docs/benchmarks.md has the figures of 200,000.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory, sleep } from "../bench/processes.ts";
import { startS3 } from "../cli/s3.ts";
import { type Answered, ask } from "./http.ts";

const PROGRAM = join(checkoutDirectory(), "dist/node/cli/main.js");
const PAIRS = Number(process.env.ANNULUS_BACKUP_PAIRS ?? 4_000);
const AT_ONCE = 16;
const SETTINGS = { ANNULUS_PARTITIONS: "32" };
const PLACES = ["a", "b", "a", "b", "a"].map((zone) => ({ host: "127.0.0.1", zone }));
/** The first backup of all pairs would take a minute: it is killed long before its end, however slow this machine is. */
const RATE_MIB = (PAIRS * 1_400) / 60 / 1_048_576;
const TEST_TIMEOUT_MS = 240_000 + PAIRS * 3;

type Layer = { readonly name: string; readonly bytes: number };
type Manifest = { readonly parts: readonly { readonly layers: readonly Layer[] }[] };

let folder: string;
let backup: string;
let source: LocalCluster;
let target: LocalCluster;

const keyOf = (index: number): string => `pair-${index}`;
const textOf = (index: number): string => `${index}:${"v".repeat(512 + ((index * 7) % 1_024))}`;

function environment({ nodes }: LocalCluster) {
  return { ANNULUS_ADMIN_URL: nodes.map(({ host, adminPort }) => `http://${host}:${adminPort}`).join(",") };
}

function run(cluster: LocalCluster, ...args: readonly string[]) {
  return runWith(environment(cluster), ...args);
}

function runWith(env: Readonly<Record<string, string>>, ...args: readonly string[]) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const options = { env: { PATH: process.env.PATH, ...env } };
    const child = execFile(process.execPath, [PROGRAM, ...args], options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** The newest backup's. */
function manifest(place = backup): Manifest {
  const newest = readdirSync(join(place, "backups")).sort().at(-1) ?? assert.fail("there is a backup");
  return JSON.parse(readFileSync(join(place, "backups", newest), "utf8")) as Manifest;
}

/** Files with their sizes; those of unfinished backups are left out. */
function filesOf(place: string): Map<string, number> {
  const names = ["backups", "layers"].flatMap((folder) =>
    existsSync(join(place, folder)) ? readdirSync(join(place, folder)).map((name) => `${folder}/${name}`) : [],
  );
  return new Map(names.map((name) => [name, statSync(join(place, name)).size]));
}

/** Runs a backup through a proxy that counts every byte on the wire, and those that the place has more. */
async function countedBackup(cluster: LocalCluster, place: string) {
  const before = filesOf(place);
  let wireBytes = 0;
  const proxy = createServer((client) => {
    const node = connect(nodeOf(cluster, 0).adminPort, nodeOf(cluster, 0).host);
    client.on("data", (bytes) => {
      wireBytes += bytes.length;
    });
    node.on("data", (bytes) => {
      wireBytes += bytes.length;
    });
    for (const [from, to] of [
      [client, node],
      [node, client],
    ] as const) {
      from.pipe(to);
      from.on("error", () => to.destroy());
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const { port } = proxy.address() as { readonly port: number };
  const { code, stderr } = await runWith({ ANNULUS_ADMIN_URL: `http://127.0.0.1:${port}` }, "backup", place);
  proxy.close();
  assert.equal(code, 0, stderr);
  let placeBytes = 0;
  for (const [name, size] of filesOf(place)) if (!before.has(name)) placeBytes += size;
  return { wireBytes, placeBytes };
}

/** Asks until the answer is not that the cluster has no time: on a busy machine some requests take too long. */
async function surely(...[node, method, path, asked = {}]: Parameters<typeof ask>): Promise<Answered> {
  const headers = { ...asked.headers, ...(method === "GET" ? {} : { "Idempotency-Key": randomUUID() }) };
  for (let time = 0; ; time += 1) {
    const answer = await ask(node, method, path, { ...asked, headers });
    if (answer.status < 429 || time === 20) return answer;
    await sleep(100);
  }
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
        const { status } = await surely(nodeOf(source, index), "PUT", keyOf(index), { body: textOf(index) });
        assert.equal(status, 204);
      });
      const empty = { "If-None-Match": "*" };
      assert.equal((await surely(nodeOf(source, 0), "PUT", "gone", { headers: empty, body: "x" })).status, 204);
      assert.equal((await surely(nodeOf(source, 0), "DELETE", "gone")).status, 204);
      let isWriting = true;
      const writing = (async () => {
        for (let index = 0; isWriting; index += 1) {
          // Whether each of these is acknowledged is another test's question.
          await ask(nodeOf(source, index), "PUT", `later-${index % 50}`, { body: String(index) });
        }
      })();
      try {
        const slow = spawn(process.execPath, [PROGRAM, "backup", backup, "--rate", String(RATE_MIB)], {
          env: { PATH: process.env.PATH, ...environment(source) },
          stdio: "ignore",
        });
        const ended = once(slow, "exit");
        const layers = () => [...filesOf(backup).keys()];
        while (layers().length < 2) await sleep(20);
        slow.kill("SIGKILL");
        await ended;
        const kept = layers();
        assert.ok(kept.length < 32);
        const { code: none, stderr: why } = await run(source, "backup", "verify", backup);
        assert.equal(none, 1);
        assert.match(why, /no whole backup/);
        const { code, stderr } = await run(source, "backup", backup);
        assert.equal(code, 0, stderr);
        const used = new Set(manifest().parts.flatMap((part) => part.layers.map(({ name }) => name)));
        for (const name of kept) assert.ok(used.has(name), `${name} was read again`);
        assert.equal(readdirSync(join(backup, "unfinished")).length, 0);
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
      const restored = await run(target, "restore", backup);
      assert.equal(restored.code, 0, restored.stderr);
      await each(PAIRS, async (index) => {
        const { status, body } = await surely(nodeOf(target, index), "GET", keyOf(index));
        assert.equal(`${status} ${body}`, `200 ${textOf(index)}`);
      });
      assert.equal((await surely(nodeOf(target, 0), "GET", "gone")).status, 404);
      // What was restored can be replaced like any other pair: its context covers what was read.
      const headers = {
        "KV-Context": (await surely(nodeOf(target, 0), "GET", keyOf(0))).headers.get("kv-context") ?? "",
      };
      assert.equal((await surely(nodeOf(target, 1), "PUT", keyOf(0), { headers, body: "new" })).status, 204);
      assert.equal((await run(target, "restore", backup)).code, 0);
      const { status, body } = await surely(nodeOf(target, 2), "GET", keyOf(0));
      assert.equal(`${status} ${body}`, "200 new");
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "is added to by what changed: of 1 % changed, at most 3 % of the bytes move, and what was deleted stays so",
    async () => {
      assert.equal((await run(source, "backup", backup)).code, 0);
      const whole = await countedBackup(source, join(folder, "another"));
      assert.ok((await countedBackup(source, backup)).placeBytes < whole.placeBytes / 100);
      const changed = Array.from({ length: PAIRS / 100 }, (_, index) => PAIRS - 1 - index * 90);
      const newTextOf = (index: number) => textOf(index).replaceAll("v", "w");
      await each(changed.length, async (at) => {
        const index = changed[at] ?? assert.fail();
        const headers = {
          "KV-Context": (await surely(nodeOf(source, at), "GET", keyOf(index))).headers.get("kv-context") ?? "",
        };
        const { status } = isDeleted(at)
          ? await surely(nodeOf(source, at), "DELETE", keyOf(index), { headers })
          : await surely(nodeOf(source, at), "PUT", keyOf(index), { headers, body: newTextOf(index) });
        assert.equal(status, 204);
      });
      const added = await countedBackup(source, backup);
      const [wire, place] = [added.wireBytes / whole.wireBytes, added.placeBytes / whole.placeBytes];
      process.stderr.write(
        `${PAIRS} pairs, 1 % changed: ${added.wireBytes} of ${whole.wireBytes} bytes from the cluster (${(100 * wire).toFixed(2)} %), ` +
          `${added.placeBytes} of ${whole.placeBytes} bytes written (${(100 * place).toFixed(2)} %)\n`,
      );
      assert.ok(wire <= 0.03 && place <= 0.03);
      const { code, stderr } = await run(target, "restore", backup);
      assert.equal(code, 0, stderr);
      await each(changed.length, async (at) => {
        const index = changed[at] ?? assert.fail();
        const { status, body } = await surely(nodeOf(target, at), "GET", keyOf(index));
        if (isDeleted(at)) assert.equal(status, 404);
        else assert.equal(`${status} ${body}`, `200 ${newTextOf(index)}`);
      });
      const untouched = await surely(nodeOf(target, 0), "GET", keyOf(3));
      assert.equal(untouched.body.toString(), textOf(3));
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "is shown and pruned, and what stays is whole",
    async () => {
      const shown = await run(source, "backup", "list", backup);
      assert.equal(shown.stdout.trim().split("\n").length, 1 + readdirSync(join(backup, "backups")).length);
      const before = filesOf(backup).size;
      assert.equal((await run(source, "backup", "prune", backup)).code, 2);
      const planned = await run(source, "backup", "prune", backup, "--keep-last", "1", "--dry-run");
      assert.match(planned.stdout, /would go/);
      assert.equal(filesOf(backup).size, before);
      const { code, stdout, stderr } = await run(source, "backup", "prune", backup, "--keep-last", "1");
      assert.equal(code, 0, stderr);
      assert.match(stdout, /\n\S+Z +removed\n(.*\n)*\S+Z +last\n$/);
      assert.equal(readdirSync(join(backup, "backups")).length, 1);
      assert.equal((await run(source, "backup", "verify", backup)).code, 0);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "prunes in the same run when it is told what to keep, and leaves a report of both",
    async () => {
      const report = join(folder, "report.json");
      const options = ["--keep-last", "1", "--report", report];
      const wrong = await run(source, "backup", backup, "--keep-last", "all");
      assert.equal(wrong.code, 2);
      assert.match(wrong.stderr, /Cannot keep "all" backups/);
      const [before] = readdirSync(join(backup, "backups"));
      const { code, stderr } = await run(source, "backup", backup, ...options);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /annulus: pruned 1 backup, 1 kept, /);
      const [name, ...more] = readdirSync(join(backup, "backups"));
      assert.ok(name !== before && more.length === 0);
      const told = JSON.parse(readFileSync(report, "utf8")) as Record<string, unknown>;
      assert.equal(`${told.backup}.json`, name);
      assert.equal(told.bytes, bytesOf(manifest()));
      assert.deepEqual([told.kept, told.removed], [1, 1]);
      const late = await run(source, "backup", backup, "--report", join(folder, "none", "report.json"));
      assert.equal(late.code, 1);
      assert.match(late.stderr, /all is done, but cannot write the report/);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "goes to a bucket too, and comes back from there",
    async () => {
      const s3 = await startS3();
      const place = `s3://${s3.bucket}/${Date.now()}`;
      const command = (cluster: LocalCluster, ...args: readonly string[]) =>
        runWith({ ...environment(cluster), ...s3.environment }, ...args);
      try {
        for (const text of [/backup \S+: (\d+) keys, \S+ \S+, 32 partitions, [1-9]/, /, 0 B of it new/]) {
          const { code, stderr } = await command(source, "backup", place);
          assert.equal(code, 0, stderr);
          assert.match(stderr, text);
        }
        const shown = await command(source, "backup", "list", place);
        assert.equal(shown.stdout.trim().split("\n").length, 3);
        assert.equal((await command(source, "backup", "prune", place, "--keep-last", "1")).code, 0);
        assert.match((await command(source, "backup", "verify", place)).stdout, /^backup .*, whole and undamaged\n$/);
        const { code, stderr } = await command(target, "restore", place);
        assert.equal(code, 0, stderr);
        assert.match(stderr, /0 left out/);
      } finally {
        await s3.stop();
      }
      // Nothing listens there any more.
      const AWS_ENDPOINT_URL_S3 = "http://127.0.0.1:9";
      const away = await runWith(
        { ...environment(source), ...s3.environment, AWS_ENDPOINT_URL_S3 },
        "backup",
        "list",
        place,
      );
      assert.equal(away.code, 5, away.stderr);
      assert.match(away.stderr, /cannot use s3:/);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "merged into the cluster that it came from undoes nothing that was written or deleted since",
    async () => {
      const node = nodeOf(source, 0);
      assert.equal((await surely(node, "DELETE", keyOf(1))).status, 204);
      assert.equal((await surely(node, "PUT", keyOf(2), { body: "since" })).status, 204);
      const { code, stderr } = await run(source, "restore", backup);
      assert.equal(code, 0, stderr);
      assert.equal((await surely(node, "GET", keyOf(1))).status, 404);
      const answer = await surely(node, "GET", keyOf(2));
      assert.equal(`${answer.status} ${answer.body}`, "200 since");
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "that is damaged is not restored",
    async () => {
      const { name = "" } = manifest().parts[0]?.layers[0] ?? {};
      const path = join(backup, name);
      const { size } = statSync(path);
      appendFileSync(path, "\n");
      const { code, stderr } = await run(target, "restore", backup);
      assert.equal(code, 1);
      assert.match(stderr, /damaged: layers\/00000-/);
      truncateSync(path, size);
      assert.equal((await run(target, "backup", "verify", backup)).code, 0);
    },
    TEST_TIMEOUT_MS,
  );
});

function bytesOf({ parts }: Manifest): number {
  return parts.flatMap(({ layers }) => layers).reduce((sum, { bytes }) => sum + bytes, 0);
}

function isDeleted(at: number): boolean {
  return at % 4 === 0;
}
