/** The files of a place of backups: what they say is what is read, and nothing else is taken for a backup. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import fc from "fast-check";
import { createDirectory } from "../../node/cli/backup/directory.ts";
import { beginLayer, formatIndex, heldBy, linesOf, parseIndex, requireSound } from "../../node/cli/backup/layer.ts";
import {
  backupName,
  backupNames,
  formatDocument,
  type Layer,
  type Manifest,
  manifestFile,
  parseBegun,
  parseManifest,
  parsePart,
  requireManifest,
} from "../../node/cli/backup/manifest.ts";
import { CommandError } from "../../node/cli/exit.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";

/** As the first release wrote them; never edited. */
const GOLDEN = {
  manifest:
    '{"formatVersion":2,"clusterId":"sessions","partitions":1,"ringEpoch":3,"replicationFactor":3,"readQuorum":2,"writeQuorum":2,' +
    '"startedAt":"2026-01-01T00:00:00.000Z","completedAt":"2026-01-01T00:01:00.000Z","newBytes":124,"parts":[{"partition":0,"keys":1,' +
    '"layers":[{"name":"layers/00000-20260101T000000000Z-00000000.jsonl","bytes":124,"indexBytes":66,"records":1,' +
    '"sha256":"7e1f2bc1bcd5f20a2b4bd9a4a9e8bb8a0a0dd5c26e5b6d8bdb2b4b3bd2e8b8b5"}]}]}\n',
  line: '{"key":"Y2FydDo0Mg","record":"AQ"}\n',
  index: '{"places":"AAAAKv____8","briefs":"AAAAAAAAAAH__________w","gone":"AAAAAAAAAAI"}\n',
};
const INDEX = {
  held: [
    { place: 42, brief: 1n },
    { place: 0xffff_ffff, brief: 0xffff_ffff_ffff_ffffn },
  ],
  gone: [2n],
};

/** A record as the nodes keep it. */
const recordOf = (counter: number) =>
  Buffer.from(
    encodeRecord(
      stampWrite({
        record: undefined,
        dot: { actor: "0".repeat(32), incarnation: 1, counter },
        base: { kind: "sibling" },
        content: { value: Buffer.from("v"), contentType: "text/plain", expiresAtMs: undefined },
        nowMs: 1,
        limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 },
      }).record,
    ),
  ).toString("base64url");
const lineOf = (key: string, counter: number) => ({
  key: Buffer.from(key).toString("base64url"),
  record: recordOf(counter),
});

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "annulus-manifest-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function layerOf(lines: readonly ReturnType<typeof lineOf>[], gone: readonly bigint[]) {
  const writer = await beginLayer(createDirectory(directory), 0, "20260101T000000000Z");
  for (const line of lines) await writer.add(line);
  const { layer, index } = await writer.finish(gone);
  await writer.draft.keep();
  return { layer, index };
}

function manifestOf(layers: readonly Layer[], startedAt = "2026-01-01T00:00:00.000Z"): Manifest {
  return {
    ...parseManifest(GOLDEN.manifest, "golden"),
    startedAt,
    parts: [{ partition: 0, keys: 1, layers: [...layers] }],
  };
}

describe("a manifest", () => {
  it("has the bytes of its first release", () => {
    assert.equal(formatDocument(parseManifest(GOLDEN.manifest, "golden")), GOLDEN.manifest);
    const [part] = parseManifest(GOLDEN.manifest, "golden").parts;
    assert.deepEqual(parsePart(JSON.stringify(part), "golden"), part);
    const { clusterId, partitions, startedAt, parts } = parseManifest(GOLDEN.manifest, "golden");
    const begun = { formatVersion: 2 as const, clusterId, partitions, startedAt, writer: "a run", parts };
    assert.deepEqual(parseBegun(formatDocument(begun)), begun);
  });

  it("of another format, or none, is refused in words", () => {
    const parse = (text: string) => parseManifest(text, "backups/x.json");
    assert.throws(() => parse(GOLDEN.manifest.replace('n":2', 'n":3')), /x.json has format 3, this release reads 2/);
    for (const text of [
      "",
      "{}",
      GOLDEN.manifest.replace('"keys":1', '"keys":-1'),
      GOLDEN.manifest.replace("layers/", "../"),
    ]) {
      assert.throws(() => parse(text), CommandError, text);
    }
  });
});

describe("a layer", () => {
  it("has an index with the bytes of its first release, and nothing else is one", () => {
    assert.equal(formatIndex(INDEX), GOLDEN.index);
    assert.deepEqual(parseIndex(GOLDEN.index), INDEX);
    for (const text of [
      "",
      "{}",
      "null",
      GOLDEN.line,
      GOLDEN.index.replace("AAAAKv____8", "AAAAKg"),
      GOLDEN.index.replace("AI", ""),
    ]) {
      assert.equal(parseIndex(text), undefined, text);
    }
  });

  it("says what it holds, and its records are read without those that a later one calls gone", async () => {
    const first = await layerOf([lineOf("a", 1), lineOf("b", 2)], []);
    const [, heldOfB] = first.index.held;
    const second = await layerOf([lineOf("b", 3)], [heldOfB?.brief ?? assert.fail()]);
    // What is gone in one layer may come back in a later one, and then it counts.
    const third = await layerOf([lineOf("b", 2)], [second.index.held[0]?.brief ?? assert.fail()]);
    const read = async (layers: readonly Layer[]) => {
      const lines: string[] = [];
      for await (const line of linesOf(createDirectory(directory), layers)) lines.push(line);
      return lines;
    };
    const text = (key: string, counter: number) => JSON.stringify(lineOf(key, counter));
    assert.deepEqual(await read([first.layer]), [text("a", 1), text("b", 2)]);
    assert.deepEqual(await read([first.layer, second.layer]), [text("b", 3), text("a", 1)]);
    assert.deepEqual(await read([first.layer, second.layer, third.layer]), [text("b", 2), text("a", 1)]);
    assert.equal(heldBy([first.index, second.index, third.index]).length, 2);
    const stored = readFileSync(join(directory, first.layer.name));
    assert.equal(createHash("sha256").update(stored).digest("hex"), first.layer.sha256);
    assert.equal(stored.subarray(-first.layer.indexBytes).toString(), formatIndex(first.index));
  });

  it("gives back any index as it was", () => {
    const brief = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const held = fc.array(fc.record({ place: fc.nat(0xffff_ffff), brief }, { noNullPrototype: true }));
    fc.assert(
      fc.property(held, fc.array(brief), (some, gone) =>
        assert.deepEqual(parseIndex(formatIndex({ held: some, gone })), { held: some, gone }),
      ),
    );
  });
});

describe("a place of backups", () => {
  it("is sound when all layers have their bytes, and no draft is left behind", async () => {
    const place = createDirectory(directory);
    await assert.rejects(requireManifest(place, undefined), /there is no whole backup/);
    const { layer } = await layerOf([lineOf("a", 1)], []);
    const manifest = manifestOf([layer]);
    await place.write(manifestFile(backupName(manifest)), formatDocument(manifest));
    assert.deepEqual(await backupNames(place), ["20260101T000000000Z"]);
    assert.deepEqual(await requireManifest(place, undefined), manifest);
    await assert.rejects(requireManifest(place, "20250101T000000000Z"), /there is no backup 2025/);
    await requireSound(place, [manifest]);
    const path = join(directory, layer.name);
    const whole = readFileSync(path);
    for (const wrong of [whole.subarray(1), Buffer.from(whole).fill(0, 5, 6)]) {
      writeFileSync(path, wrong);
      await assert.rejects(
        requireSound(place, [manifest]),
        /damaged: layers\/00000-.*: (expected \d+ bytes|its SHA-256)/,
      );
    }
    rmSync(path);
    await assert.rejects(requireSound(place, [manifest]), /it is missing/);
    const draft = await place.draft(layer.name);
    await draft.write(whole);
    await draft.discard();
    assert.equal(readdirSync(join(directory, "unfinished")).length, 0);
  });
});
