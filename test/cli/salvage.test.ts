import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { encodeHint } from "../../node/core/hint.ts";
import { dataKey, hintKey } from "../../node/core/keyspace.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
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

  it("says that there is no such directory", async () => {
    const { exitCode, stderr } = await runCli(["salvage", "--data-dir", join(directory, "elsewhere")]);
    expect(stderr).toContain("there is no data directory at");
    expect(exitCode).toBe(2);
  }, 30_000);
});
