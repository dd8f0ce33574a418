import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { encodeHint } from "../../node/core/hint.ts";
import { dataKey, hintKey } from "../../node/core/keyspace.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { damageTable } from "../contract/damaged-store.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { A, B, bytes, dot, write } from "../core/version/examples.ts";
import { runCli } from "./run-cli.ts";

const directory = mkdtempSync(join(tmpdir(), "annulus-salvage-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A record with one value, as `write` of the examples makes it. */
const recordOf = (counter: number, actor = A) => encodeRecord(write(undefined, dot(actor, counter)).record);

describe("annulus salvage", () => {
  beforeAll(async () => {
    const options = {
      directory: join(directory, "store"),
      cacheBytes: 1 << 20,
      writeBufferBytes: 1 << 20,
      reserveBytes: 0,
    };
    const engine = await createLevelEngine({ telemetry: createRecordedTelemetry() }, options);
    const hint = { counted: true, stampedHere: false, storedAtMs: 1, record: recordOf(3, B) };
    const place = { partition: 2, target: "n2", key: bytes("kept for n2") };
    await engine.batch(
      [
        { kind: "put", key: dataKey(0, bytes("first")), value: recordOf(1) },
        { kind: "put", key: dataKey(511, bytes("last")), value: recordOf(2) },
        { kind: "put", key: dataKey(7, bytes("damaged")), value: bytes("no record") },
        { kind: "put", key: hintKey(place), value: encodeHint(hint) },
      ],
      { sync: true },
    );
    await engine.close();
  });

  it("writes records and hints as lines that import reads, and counts what is damaged", async () => {
    const { exitCode, stdout, stderr } = await runCli(["salvage", "--data-dir", directory]);
    const lines = stdout.toString().trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { key: string }).key)).toEqual(["first", "last", "kept for n2"]);
    for (const line of lines) expect(JSON.parse(line)).toHaveProperty("value");
    expect(stderr).toBe("annulus: 2 records and 1 hint read, 1 damaged one left out\n");
    expect(exitCode).toBe(0);
  }, 30_000);

  it("writes what can be read of a store with a damaged block, and says that there was more", async () => {
    const damaged = join(directory, "damaged");
    const store = join(damaged, "store");
    const options = { directory: store, cacheBytes: 1 << 20, writeBufferBytes: 8 << 20, reserveBytes: 0 };
    const engine = await createLevelEngine({ telemetry: createRecordedTelemetry() }, options);
    const names = Array.from({ length: 3_000 }, (_, index) => `k${index}`);
    const records = names.map((name, index) => ({ key: dataKey(0, bytes(name)), value: recordOf(index + 1) }));
    await engine.batch(
      records.map((record) => ({ kind: "put", ...record })),
      { sync: true },
    );
    await engine.flush();
    await engine.close();
    await damageTable(store);

    const out = join(directory, "damaged.jsonl");
    const { exitCode, stderr } = await runCli(["salvage", "--data-dir", damaged, "--out", out]);
    const lines = readFileSync(out, "utf8").trimEnd().split("\n");
    const found = new Set(lines.map((line) => (JSON.parse(line) as { key: string }).key));
    expect(stderr).toBe(
      `annulus: ${lines.length} records and 0 hints read, 0 damaged ones left out\n` +
        "annulus: 1 part of the store could not be read (Corruption: corrupted compressed block contents); what is in it is missing\n",
    );
    expect(exitCode).toBe(1);
    // All but one block of 16 KiB, from before it and from behind it.
    expect(found.size).toBe(lines.length);
    expect(found.size).toBeGreaterThan(2_500);
    expect(found.size).toBeLessThan(3_000);
    const last = records.toSorted((a, b) => Buffer.compare(a.key, b.key)).at(-1);
    expect(found).toContain(Buffer.from(last?.key.subarray(7) ?? []).toString());
  }, 30_000);

  it("says that there is no such directory", async () => {
    const { exitCode, stderr } = await runCli(["salvage", "--data-dir", join(directory, "elsewhere")]);
    expect(stderr).toContain("there is no data directory at");
    expect(exitCode).toBe(2);
  }, 30_000);
});
