/** `annulus local`, as a person meets it: what it prints is tried literally, a node is killed, Ctrl-C ends it. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { checkoutDirectory } from "../bench/processes.ts";
import { freeBasePort, type LocalPlace, LocalRun, PROGRAM, until } from "./local-run.ts";

const shell = promisify(execFile);

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

describe("the local cluster", () => {
  let directory: string;
  let place: LocalPlace;
  let base: number;
  let local: LocalRun;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "annulus-local-"));
    base = await freeBasePort();
    place = { data: directory, basePort: base };
    local = new LocalRun(place);
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
    const readme = readFileSync(join(checkoutDirectory(), "README.md"), "utf8");
    const shown = lines
      .join("\n")
      .replaceAll(/127\.0\.0\.1:(\d+)/g, (_, port) => `127.0.0.1:${7_400 + Number(port) - base}`);
    assert.ok(readme.includes(`\`\`\`sh\n${shown}\n\`\`\`\n`), `the README shows other lines than:\n${shown}`);
    assert.match((await shell("sh", ["-c", put])).stdout, /^HTTP\/1.1 204 /);
    assert.match((await shell("sh", ["-c", get])).stdout, /^HTTP\/1.1 200 [\s\S]*\r\n\r\nhello$/);
    const place = JSON.parse((await shell("sh", ["-c", locate])).stdout) as { homes: { zone: string }[] };
    assert.deepEqual(place.homes.map(({ zone }) => zone).sort(), ["a", "b", "c"]);
  });

  it("answers the README's examples as they stand", async () => {
    const readme = readFileSync(join(checkoutDirectory(), "README.md"), "utf8");
    const [, block = ""] = /^## Using it\n\n```sh\n([\s\S]*?)^```$/m.exec(readme) ?? [];
    const placed = block
      .replaceAll(/127\.0\.0\.1:(74\d\d)/g, (_, port) => `127.0.0.1:${base + Number(port) - 7_400}`)
      .replaceAll("npx annulus", `"${process.execPath}" "${PROGRAM}"`);
    const env = { PATH: process.env.PATH, ANNULUS_URL: `http://127.0.0.1:${base}` };
    const { stdout } = await shell("sh", ["-c", `${placed}\ntrue`], { env });
    assert.match(
      stdout,
      /^HTTP\/1\.1 204 [\s\S]*\r\n\r\nvhellocluster local-[0-9a-f]{8}, ring epoch \d, as n1 sees it\n/,
    );
    const named = { method: "PUT", headers: { "idempotency-key": "5f0c" }, body: "another" };
    assert.equal((await fetch(`http://127.0.0.1:${base}/v1/kv/k`, named)).status, 204);
    assert.equal(await (await fetch(`http://127.0.0.1:${base}/v1/kv/k`)).text(), "v");
    // What the doctor finds is another test's matter: a cluster that has just started may still be getting to know itself.
    assert.match(stdout, /, as n1 sees it\n$/);
    assert.equal(await (await fetch(`http://127.0.0.1:${base}/v1/kv/cart:42`)).text(), '{"books":2}');
  });

  it("names each node's process, and logs nothing of an ordinary start", () => {
    const told = [...local.output.matchAll(/^ {2}(n\d) .* process (\d+)$/gm)].map(([, name, pid]) => [
      name,
      Number(pid),
    ]);
    assert.deepEqual(told, [...local.pids()]);
    assert.match(local.output, new RegExp(`^Console: http://127.0.0.1:${base + 1}/console/$`, "m"));
    assert.doesNotMatch(local.output, /"level":"info"/);
  });

  it("starts a node again that was killed, with its data", async () => {
    const url = `http://127.0.0.1:${base + 10}/v1/kv/kept`;
    assert.equal((await fetch(`${url}?w=3`, { method: "PUT", body: "safe" })).status, 204);
    const pid = local.pids().get("n2");
    assert.ok(pid !== undefined);
    process.kill(pid, "SIGKILL");
    await local.says("n2 | died (SIGKILL); starting again in 500 ms");
    await local.says("n2 | started again, process ");
    assert.match(local.output, new RegExp(`n2 \\| started again, process ${local.pids().get("n2")}\n`));
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
    assert.match(local.output, /\nannulus: stopping\nannulus: stopped\n$/);
    assert.equal(local.pids().size, 0);
    local = new LocalRun(place, [], { ANNULUS_LOG_LEVEL: "info" });
    await local.says("Ctrl-C stops the cluster");
    assert.equal(await (await fetch(url)).text(), "safe");
    assert.match(local.output, /^n1 \| \{"level":"info"/m);
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
    const second = new LocalRun({ ...place, data: `${directory}/other` });
    assert.equal(await second.ended(), 1);
    assert.match(second.output, new RegExp(`these ports of 127.0.0.1 are in use: ${base}, ${base + 1}, `));
    local.child.kill("SIGINT");
    await local.ended();
    const wider = new LocalRun(place, ["--nodes", "4"]);
    assert.equal(await wider.ended(), 1);
    assert.match(wider.output, /holds the data of a cluster with other nodes/);
  });

  it("ends when a node refuses to start, and shows the reason", async () => {
    local.child.kill("SIGINT");
    await local.ended();
    const refused = new LocalRun(place, [], { ANNULUS_CACHE_BYTES: "much" });
    assert.equal(await refused.ended(), 1);
    assert.match(refused.output, /ANNULUS_CACHE_BYTES: expected a whole number/);
    assert.match(refused.output, /annulus: n\d refused to start; its reason stands above/);
  });

  it("asks for a token where it is told to, and says so in what it prints", async () => {
    local.child.kill("SIGINT");
    await local.ended();
    const security = readFileSync(join(checkoutDirectory(), "docs/security.md"), "utf8");
    const [, block = ""] =
      /^### Tokens on the local cluster\n[\s\S]*?```sh\n([\s\S]*?)^ANNULUS_ACCESS_FILE=/m.exec(security) ?? [];
    const placed = block
      .replaceAll("npx annulus", `"${process.execPath}" "${PROGRAM}"`)
      .replaceAll("npx node", `"${process.execPath}"`);
    await shell("sh", ["-ec", placed], { cwd: directory, env: { PATH: process.env.PATH } });
    const token = readFileSync(join(directory, "me.token"), "utf8").trim();
    const file = join(directory, "tokens.json");
    local = new LocalRun(place, [], { ANNULUS_ACCESS_FILE: file });
    await local.says(`Try, with a token of ${file} in ANNULUS_TOKEN:`);
    await local.says("Ctrl-C stops the cluster");
    const lines = [...local.output.matchAll(/^ {2}(curl .*)$/gm)].map(([, line = ""]) => line);
    const say = async (line: string, shown: string) =>
      (await shell("sh", ["-c", line], { env: { PATH: process.env.PATH, ANNULUS_TOKEN: shown } })).stdout;
    assert.match(await say(lines[0] ?? "", "another"), /^HTTP\/1.1 401 /);
    assert.match(await say(lines[0] ?? "", token), /^HTTP\/1.1 204 /);
    assert.match(await say(lines[1] ?? "", token), /^HTTP\/1.1 200 [\s\S]*\r\n\r\nhello$/);
    assert.match(await say(lines[2] ?? "", token), /^\{.*"homes":/);
  });

  it("tells a node whose port is taken which one, and the setting's name", async () => {
    for (const [index, name] of ["ANNULUS_DATA_PORT", "ANNULUS_ADMIN_PORT", "ANNULUS_PEER_PORT"].entries()) {
      const ports = ["ANNULUS_DATA_PORT", "ANNULUS_ADMIN_PORT", "ANNULUS_PEER_PORT"].map((each, at) => [
        each,
        String(base + 5 + at),
      ]);
      const env = {
        PATH: process.env.PATH,
        ...{
          ANNULUS_CLUSTER: "local",
          ANNULUS_NODE: "n9",
          ANNULUS_HOST: "127.0.0.1",
          ANNULUS_SEEDS: `127.0.0.1:${base + 2}`,
        },
        ANNULUS_DATA_DIR: join(directory, `n9-${index}`),
        ...Object.fromEntries(ports),
        [name]: String(base + index),
      };
      const end = await shell(process.execPath, [PROGRAM, "node"], { env }).catch((error: unknown) => error);
      const { code, stderr } = end as { code?: number; stderr: string };
      assert.equal(code, 1);
      const expected = `annulus: Cannot listen on 127.0.0.1:${base + index}: another process listens there. ANNULUS_HOST and ${name} say where to listen.\n`;
      assert.equal(stderr, expected);
    }
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
