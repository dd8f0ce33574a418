/** `annulus/client` as a program imports it, on three real nodes: one is killed under load, and no caller notices. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, describe, it } from "@jest/globals";
import { Client } from "../../node/client/client.ts";
import { LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory, sleep } from "../bench/processes.ts";

const run = promisify(execFile);
const CALLERS = 16;
/**
 * Of each caller. A pair remembers its last 32 keyed writes: one that was stamped twice, by a node that was killed and by
 * the next, must not be further back than that when the node returns with its copy.
 */
const KEYS = 100;
const BEFORE_MS = 2_000;
const AWAY_MS = 5_000;
const AFTER_MS = 2_000;

let cluster: LocalCluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
}, 60_000);

const urlsOf = ({ nodes }: LocalCluster) => nodes.map(({ dataPort }) => `http://127.0.0.1:${dataPort}`);

describe("the client library on three nodes", () => {
  it("costs no caller an error when one of them is SIGKILLed under load, nor shows one an old value", async () => {
    cluster = await LocalCluster.start({ settings: { ANNULUS_MODE: "strict" } });
    const client = new Client({ urls: urlsOf(cluster), timeoutMs: 20_000 });
    const problems: unknown[] = [];
    let isRunning = true;
    let calls = 0;
    const live = async (caller: number): Promise<void> => {
      const session = client.session();
      for (let turn = 0; isRunning; turn++) {
        const key = `caller-${caller}-${turn % KEYS}`;
        await session.put(key, String(turn));
        const found = await session.get(key);
        if (found?.text() !== String(turn)) problems.push(`${caller} wrote ${turn} and read ${found?.text()}`);
        calls += 2;
      }
    };
    const callers = Array.from({ length: CALLERS }, (_, caller) => live(caller).catch((error) => problems.push(error)));
    await sleep(BEFORE_MS);
    const victim = cluster.nodes[1];
    assert.ok(victim !== undefined);
    const before = calls;
    await cluster.killNode(victim);
    await sleep(AWAY_MS);
    const whileAway = calls - before;
    await cluster.startNode(victim);
    await sleep(AFTER_MS);
    isRunning = false;
    await Promise.all(callers);
    const { retries, hedges, attempts } = client.counters;
    client.close();
    process.stdout.write(
      `  ${calls} calls, ${whileAway} while it was away; ${attempts} attempts, ${retries} retries, ${hedges} hedges\n`,
    );
    assert.deepEqual(problems, []);
    assert.ok(whileAway > 100, String(whileAway));
    assert.ok(retries > 0);
  });

  it("is what the package exports", async () => {
    cluster = await LocalCluster.start();
    const urls = JSON.stringify(urlsOf(cluster));
    for (const end of ["store.close();", ""]) {
      // Connections that are idle keep no process alive whose author forgot to close.
      const program = `
        const { Client } = await import("annulus/client");
        const store = new Client({ urls: ${urls} });
        await store.put("k", "exported");
        console.log((await store.get("k")).text());
        ${end}`;
      const args = ["--input-type=module", "--eval", program];
      const { stdout } = await run(process.execPath, args, { cwd: checkoutDirectory(), timeout: 60_000 });
      assert.equal(stdout, "exported\n");
    }
  });
});
