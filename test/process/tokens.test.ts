/** Tokens on real nodes, by the program `annulus`: rights, a changed file without a restart, and no token in any output. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory, sleep } from "../bench/processes.ts";
import { ask, problemOf } from "./http.ts";

type Made = { readonly token: string; readonly entry: { readonly name: string } };

const PROGRAM = join(checkoutDirectory(), "dist/node/cli/main.js");
/** A changed file holds within 5 s; the rest is for a busy machine. */
const TAKEN_OVER_WITHIN_MS = 30_000;

let folder: string;
let cluster: LocalCluster;
let tokens: Record<"shop" | "reader" | "operator", Made>;

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      [PROGRAM, ...args],
      { env: { PATH: process.env.PATH, ...env } },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
    child.stdin?.end();
  });
}

async function make(name: string, ...rights: string[]): Promise<Made> {
  const { code, stdout, stderr } = await run(["token", name, ...rights]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Made;
}

/** As a mounted Secret changes: the new file is there at once and whole. */
function write(...made: readonly Made[]): void {
  const path = join(folder, "tokens.json");
  writeFileSync(`${path}.new`, JSON.stringify({ tokens: made.map(({ entry }) => entry) }));
  renameSync(`${path}.new`, path);
}

/** Waits until a node's metrics, which need no token, show something. */
async function shows({ host, adminPort }: ClusterNode, figure: RegExp): Promise<void> {
  const untilMs = performance.now() + TAKEN_OVER_WITHIN_MS;
  for (;;) {
    const page = await (await fetch(`http://${host}:${adminPort}/metrics`)).text();
    if (figure.test(page)) return;
    assert.ok(performance.now() < untilMs, `${String(figure)} is not in the metrics`);
    await sleep(100);
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "annulus-tokens-"));
  tokens = {
    shop: await make("shop", "--data", "read-write", "--prefix", "cart%2F", "--cluster", "monitor"),
    reader: await make("reader", "--data", "read"),
    operator: await make("operator", "--cluster", "admin"),
  };
  write(tokens.shop, tokens.reader, tokens.operator);
  cluster = await LocalCluster.start({
    settings: { ANNULUS_ACCESS_FILE: join(folder, "tokens.json"), ANNULUS_LOG_LEVEL: "debug" },
  });
}, 60_000);

afterAll(async () => {
  assert.deepEqual(await cluster.stop(), []);
  rmSync(folder, { recursive: true });
}, 60_000);

describe("nodes with a file of tokens", () => {
  const env = (token?: string) => {
    const urls = cluster.nodes.map(({ host, dataPort }) => `http://${host}:${dataPort}`);
    const adminUrls = cluster.nodes.map(({ host, adminPort }) => `http://${host}:${adminPort}`);
    const address = { ANNULUS_URL: urls.join(","), ANNULUS_ADMIN_URL: adminUrls.join(",") };
    return token === undefined ? address : { ...address, ANNULUS_TOKEN: token };
  };

  it("serve each caller what its token is for, over every node, and write to each other without one", async () => {
    const shop = env(tokens.shop.token);
    assert.deepEqual(await run(["put", "cart/1", "one", "-w", "3"], shop), { code: 0, stdout: "", stderr: "" });
    assert.equal((await run(["get", "cart/1", "-r", "3"], shop)).stdout, "one");
    assert.match((await run(["put", "other", "x"], shop)).stderr, /^annulus: 403: /);
    assert.match((await run(["get", "cart/1"], env())).stderr, /^annulus: 401: /);
    assert.match((await run(["put", "cart/1", "two"], env(tokens.reader.token))).stderr, /^annulus: 403: /);
    assert.equal((await run(["get", "cart/1"], env(tokens.reader.token))).stdout, "one");
    assert.equal((await run(["status"], shop)).code, 0);
    assert.match((await run(["status"], env(tokens.reader.token))).stderr, /^annulus: 403: /);
    const weight = ["weight", "node-0", "120", "--dry-run"];
    assert.match((await run(weight, shop)).stderr, /403: /);
    assert.equal((await run(weight, env(tokens.operator.token))).code, 0);
    const file = join(folder, "token");
    writeFileSync(file, `${tokens.reader.token}\n`);
    assert.equal((await run(["get", "cart/1", "--token-file", file], env(tokens.operator.token))).stdout, "one");
  });

  it("take a changed file over without a restart, and keep what they knew while it is broken", async () => {
    const headers = (made: Made) => ({ headers: { Authorization: `Bearer ${made.token}` } });
    const next = await make("next", "--data", "read-write");
    writeFileSync(join(folder, "tokens.json"), `{"tokens": [${tokens.shop.token}`);
    for (const node of cluster.nodes) {
      await shows(node, /^annulus_access_reload_failures_total\S* [1-9]/m);
      assert.equal((await ask(node, "GET", "cart%2F1", headers(tokens.shop))).status, 200);
      assert.equal((await ask(node, "GET", "cart%2F1", headers(next))).status, 401);
    }
    write(next);
    for (const node of cluster.nodes) {
      const untilMs = performance.now() + TAKEN_OVER_WITHIN_MS;
      let status = 0;
      while (status !== 200 && performance.now() < untilMs) {
        status = (await ask(node, "GET", "cart%2F1", headers(next))).status;
        await sleep(100);
      }
      assert.equal(status, 200);
      const refused = await ask(node, "GET", "cart%2F1", headers(tokens.shop));
      assert.equal(problemOf(refused).type, "annulus:UNAUTHENTICATED");
    }
    for (const node of cluster.nodes) {
      await shows(node, /^annulus_access_reloads_total\S* 1$/m);
      await shows(node, /^annulus_http_errors_total\{[^}]*error_code="unauthenticated"[^}]*\} [1-9]/m);
    }
  });

  it("say that they ask for tokens, by which an operator learns that their release knows them", async () => {
    const made = await make("watcher", "--cluster", "monitor");
    write(made);
    for (const { host, adminPort } of cluster.nodes) {
      const untilMs = performance.now() + TAKEN_OVER_WITHIN_MS;
      const headers = { Authorization: `Bearer ${made.token}` };
      const look = () => fetch(`http://${host}:${adminPort}/v1/cluster`, { headers });
      let answer = await look();
      while (answer.status !== 200 && performance.now() < untilMs) {
        await sleep(100);
        answer = await look();
      }
      assert.equal(((await answer.json()) as { access?: string }).access, "tokens");
    }
  });

  it("never write a token to their log", () => {
    for (const { server } of cluster.nodes) {
      assert.match(server?.output ?? "", /access\.not_reloaded/);
      for (const { token } of Object.values(tokens)) assert.ok(!server?.output.includes(token));
    }
  });
});
