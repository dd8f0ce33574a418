/**
 * A store on a disk that became read-only under it, as ext4 does after an error: it is read on for as long as it is not
 * closed, and so it is not closed. Mounts a loop device, which takes root.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, it, jest } from "@jest/globals";
import { createLevelEngine } from "../../node/adapters/level/engine.ts";
import { dataKey } from "../../node/core/keyspace.ts";
import { put, rejection } from "../contract/engine.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { LoopDisk } from "./loop-disk.ts";
import { quoted, Undo } from "./undo.ts";

jest.setTimeout(60_000);

const MEBIBYTE = 1_048_576;
const PAIRS = 2_000;
const VALUE = new Uint8Array(2_000).fill(7);
/** The engine tries once a second. */
const NEXT_TRY_MS = 1_100;

const undo = new Undo();
afterEach(() => undo.run());

it("a store whose disk became read-only answers every read, and says to who writes that it does not", async () => {
  const parent = mkdtempSync(join(tmpdir(), "annulus-read-only-"));
  undo.with(`rm -rf ${quoted(parent)}`);
  const { directory } = await LoopDisk.create(undo, join(parent, "disk"), 96);
  execFileSync("mount", ["-o", "remount,errors=remount-ro", directory]);
  const device = execFileSync("findmnt", ["-no", "SOURCE", directory], { encoding: "utf8" }).trim();
  const telemetry = createRecordedTelemetry();
  const sizes = { cacheBytes: MEBIBYTE, writeBufferBytes: MEBIBYTE, reserveBytes: 0 };
  const engine = await createLevelEngine({ telemetry }, { directory: join(directory, "store"), ...sizes });
  const keyOf = (index: number) => dataKey(0, Buffer.from(`k${index}`));
  for (let index = 0; index < PAIRS; index++) {
    await engine.batch([{ kind: "put", key: keyOf(index), value: VALUE }], { sync: false });
  }
  writeFileSync(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, "test\n");
  for (const outcome of ["unknown", "none", "none"]) {
    const error = await rejection(engine.batch([put("k", "v")], { sync: true }), "STORAGE_FAILED");
    assert.equal(error.outcome, outcome, error.message);
    assert.match(error.message, /[Rr]ead-only file system/);
    for (let index = 0; index < PAIRS; index++) assert.equal((await engine.get(keyOf(index)))?.length, VALUE.length);
    await sleep(NEXT_TRY_MS);
  }
  await engine.close();
});
