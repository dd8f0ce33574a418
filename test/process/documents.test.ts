/** Blocks of the documents that a reader pastes, against the cluster of `npm start` and in a project of the reader's own. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { checkoutDirectory } from "../bench/processes.ts";
import { blocksOf } from "../client/examples.ts";
import { freeBasePort, type LocalPlace, LocalRun, PROGRAM } from "./local-run.ts";

const run = promisify(execFile);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "annulus-documents-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** The block of a document that holds a text, and the one after it. */
function blockWith(document: string, text: string): readonly [string, string] {
  const blocks = blocksOf(document);
  const index = blocks.findIndex((block) => block.text.includes(text));
  assert.ok(index >= 0, `no block of ${document} holds ${text}`);
  return [blocks[index]?.text ?? "", blocks[index + 1]?.text ?? ""];
}

describe("what docs/operations.md has its reader paste", () => {
  let place: LocalPlace;
  let local: LocalRun;
  let fourth: ChildProcess | undefined;

  beforeEach(async () => {
    place = { data: join(directory, ".annulus"), basePort: await freeBasePort(4) };
    local = new LocalRun(place);
    await local.says("Ctrl-C stops the cluster");
  });
  afterEach(async () => {
    if (fourth?.exitCode === null && fourth.kill("SIGTERM")) await once(fourth, "close");
    local.child.kill("SIGTERM");
    await local.ended();
  });

  function placed(block: string): string {
    return block
      .replaceAll("npx annulus", `exec "${process.execPath}" "${PROGRAM}"`)
      .replaceAll(
        /(\b127\.0\.0\.1:|_PORT=)(74\d\d)\b/g,
        (_, before, port) => `${before}${place.basePort + Number(port) - 7_400}`,
      );
  }

  /** Runs a block line after line, each in a shell; resolves to what all printed. */
  async function paste(block: string): Promise<string> {
    const env = { PATH: process.env.PATH, ANNULUS_URL: `http://127.0.0.1:${place.basePort}` };
    const script = placed(block).replaceAll("exec ", "");
    return (await run("sh", ["-ec", script], { cwd: directory, env })).stdout;
  }

  it("grows the cluster by a node", async () => {
    const [start, join] = blockWith("operations.md", "ANNULUS_NODE=n4");
    fourth = spawn("sh", ["-c", placed(start)], {
      cwd: directory,
      env: { PATH: process.env.PATH },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const started = Promise.withResolvers<void>();
    let said = "";
    fourth.stdout?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("node.started")) started.resolve();
    });
    fourth.once("close", () => started.reject(new Error(`n4 has ended:\n${said}`)));
    await started.promise;
    assert.match(await paste(join), /change [0-9a-f]+ is done\n[\s\S]*\nn4 {2,}a {2,}100 {2,}active {2,}up {2,}/);
  });

  it("imports records and a table", async () => {
    const [records] = blockWith("operations.md", "records.jsonl <<");
    const [table, printed] = blockWith("operations.md", "people.csv <<");
    assert.match(await paste(records), /^imported 3 records in .*, 0 failed/);
    const out = await paste(table);
    assert.match(out, /^imported 1 record in .*, 0 failed/);
    assert.ok(`${out}\n`.endsWith(`\n${printed}`), out);
    const bob = await fetch(`http://127.0.0.1:${place.basePort}/v1/kv/user:2`);
    assert.deepEqual([bob.headers.get("content-type"), await bob.text()], ["application/json", '{"name":"Bob"}']);
    const bytes = await fetch(`http://127.0.0.1:${place.basePort}/v1/kv/%00%01%02`);
    assert.equal(bytes.headers.get("content-type"), "image/png");
    assert.deepEqual([...new Uint8Array(await bytes.arrayBuffer())], [255]);
  });
});

describe("the client library in a project of one's own", () => {
  const program =
    'import { Client } from "annulus/client"; console.log(typeof new Client({ urls: ["http://h:1"] }).put);';

  it("comes by the line of docs/client.md, from a checkout", async () => {
    const [line] = blockWith("client.md", "npm install ../annulus");
    writeFileSync(join(directory, "package.json"), '{ "name": "shop", "type": "module" }');
    const script = line.trim().replace("../annulus", checkoutDirectory());
    await run("sh", ["-ec", `${script} --offline --no-audit --no-fund`], { cwd: directory });
    writeFileSync(join(directory, "shop.js"), program);
    assert.equal((await run(process.execPath, ["shop.js"], { cwd: directory })).stdout, "function\n");
  });

  it("is in the package that npm pack makes, with its types, the program and the console, and without tests", async () => {
    const pack = await run("npm", ["pack", "--dry-run", "--json"], { cwd: checkoutDirectory() });
    const [{ files }] = JSON.parse(pack.stdout) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    for (const path of ["client/client.js", "client/client.d.ts", "cli/main.js", "console/index.html"]) {
      assert.ok(paths.includes(`dist/node/${path}`), path);
    }
    assert.deepEqual(
      paths.filter((path) => !/^(dist\/node\/|package\.json$|README\.md$|LICENSE$)/.test(path)),
      [],
    );
  });
});
