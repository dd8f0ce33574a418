/** The manifest of a backup: what it says is what is read, and nothing else is taken for a backup. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import fc from "fast-check";
import {
  faultOf,
  formatManifest,
  type Manifest,
  parseManifest,
  partName,
  readManifest,
  requireWhole,
  writeManifest,
} from "../../node/cli/backup/manifest.ts";
import { CommandError } from "../../node/cli/exit.ts";

const LINE = Buffer.from('{"key":"YQ","record":"AQ"}\n');
const PART = { partition: 0, keys: 1, bytes: LINE.length, sha256: createHash("sha256").update(LINE).digest("hex") };
const MANIFEST: Manifest = {
  ...{ formatVersion: 1, clusterId: "sessions", partitions: 1, ringEpoch: 3 },
  ...{ replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
  ...{ startedAt: "2026-01-01T00:00:00.000Z", completedAt: "2026-01-01T00:01:00.000Z", parts: [PART] },
};
/** As the first release wrote it; never edited. */
const GOLDEN =
  '{"formatVersion":1,"clusterId":"sessions","partitions":1,"ringEpoch":3,"replicationFactor":3,"readQuorum":2,"writeQuorum":2,' +
  '"startedAt":"2026-01-01T00:00:00.000Z","completedAt":"2026-01-01T00:01:00.000Z","parts":[{"partition":0,"keys":1,"bytes":27,' +
  `"sha256":"${PART.sha256}"}]}`;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "annulus-manifest-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("a manifest", () => {
  it("is read as it was written, whatever it says", () => {
    const part = fc.record({
      ...{ partition: fc.nat(65_535), keys: fc.nat(), bytes: fc.nat() },
      sha256: fc.constant(PART.sha256),
    });
    const manifest = fc.record({
      ...{ formatVersion: fc.constant(1 as const), clusterId: fc.string(), partitions: fc.integer({ min: 1 }) },
      ...{ ringEpoch: fc.nat(), replicationFactor: fc.nat(), readQuorum: fc.nat(), writeQuorum: fc.nat() },
      ...{ startedAt: fc.string(), completedAt: fc.option(fc.string()), parts: fc.array(part) },
    });
    fc.assert(
      fc.property(manifest, (any) =>
        assert.deepEqual(parseManifest(formatManifest(any)), JSON.parse(JSON.stringify(any))),
      ),
    );
  });

  it("has the bytes of its first release", () => {
    assert.deepEqual(parseManifest(GOLDEN), MANIFEST);
    assert.equal(JSON.stringify(JSON.parse(formatManifest(MANIFEST))), GOLDEN);
  });

  it("of another format, or none, is refused in words", () => {
    assert.throws(() => parseManifest(GOLDEN.replace('n":1', 'n":2')), /has format 2, this release reads 1/);
    for (const text of ["", "{}", GOLDEN.replace('"keys":1', '"keys":-1')]) {
      assert.throws(() => parseManifest(text), CommandError, text);
    }
  });
});

describe("a backup's directory", () => {
  it("is whole when all parts have their bytes", async () => {
    assert.equal(await readManifest(directory), undefined);
    await assert.rejects(requireWhole(directory), /there is no backup/);
    await writeManifest(directory, MANIFEST);
    await assert.rejects(requireWhole(directory), /damaged: part-00000.jsonl: ENOENT/);
    writeFileSync(join(directory, partName(0)), LINE);
    assert.deepEqual(await requireWhole(directory), MANIFEST);
    for (const wrong of [LINE.subarray(1), Buffer.from(LINE).fill(0, 5, 6)]) {
      writeFileSync(join(directory, partName(0)), wrong);
      assert.match((await faultOf(directory, PART)) ?? "", /part-00000.jsonl: (expected 27 bytes|its SHA-256)/);
      await assert.rejects(requireWhole(directory), /damaged/);
    }
    await writeManifest(directory, { ...MANIFEST, parts: [], completedAt: null });
    await assert.rejects(requireWhole(directory), /not whole: 1 of 1 parts are missing/);
  });
});
