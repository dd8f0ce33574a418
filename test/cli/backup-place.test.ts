/** What a place of backups does, whichever it is: a directory, or a bucket of a store that speaks S3. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { parseObjectPlace } from "../../node/cli/backup/object-store.ts";
import { openPlace } from "../../node/cli/backup/open-place.ts";
import { collect, type Place } from "../../node/cli/backup/place.ts";
import { CommandError } from "../../node/cli/exit.ts";
import { startS3 } from "./s3.ts";

/** More than two pieces of an upload. */
const LARGE_BYTES = 19 * 1_048_576;

let folder: string;
let s3: Awaited<ReturnType<typeof startS3>>;
const before = { ...process.env };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "annulus-place-"));
  s3 = await startS3();
  Object.assign(process.env, s3.environment);
});
afterAll(async () => {
  process.env = before;
  rmSync(folder, { recursive: true });
  await s3.stop();
});

const PLACES: readonly [string, () => Promise<Place>][] = [
  ["a directory", () => openPlace(join(folder, "backups of all"))],
  ["a bucket", () => openPlace(`s3://${s3.bucket}`)],
  ["a prefix of a bucket", () => openPlace(`s3://${s3.bucket}/some/where/`)],
];

describe.each(PLACES)("%s", (_, open) => {
  it("holds files under their names, with their sizes, and gives them back from any byte on", async () => {
    const place = await open();
    assert.equal(await place.read("backups/a.json"), undefined);
    assert.equal(await place.open("layers/a.jsonl", 3), undefined);
    assert.equal((await place.list("layers")).size, 0);
    await place.write("backups/a.json", "{}");
    await place.write("unfinished/begun.json", "first");
    await place.write("unfinished/begun.json", "second");
    assert.equal(await place.read("unfinished/begun.json"), "second");
    const draft = await place.draft("layers/a.jsonl");
    for (const text of ["one ", "and ", "two"]) await draft.write(Buffer.from(text));
    assert.equal((await place.list("layers")).size, 0);
    await draft.keep();
    await draft.discard();
    assert.deepEqual([...(await place.list("layers"))], [["layers/a.jsonl", 11]]);
    assert.deepEqual([...(await place.list("backups"))], [["backups/a.json", 2]]);
    const read = async (from: number) =>
      (await collect((await place.open("layers/a.jsonl", from)) ?? assert.fail())).toString();
    assert.equal(await read(0), "one and two");
    assert.equal(await read(8), "two");
    for (const name of ["backups/a.json", "unfinished/begun.json", "layers/a.jsonl", "layers/never.jsonl"]) {
      await place.remove(name);
      assert.equal(await place.read(name), undefined);
    }
  });

  it("takes a large file piece by piece, and nothing of one that is thrown away", async () => {
    const place = await open();
    const piece = Buffer.alloc(1_048_576, "layer");
    const write = async (name: string) => {
      const draft = await place.draft(name);
      for (let bytes = 0; bytes < LARGE_BYTES; bytes += piece.length) await draft.write(piece);
      return draft;
    };
    const thrown = await write("layers/thrown.jsonl");
    await thrown.discard();
    const kept = await write("layers/large.jsonl");
    await kept.keep();
    assert.deepEqual([...(await place.list("layers"))], [["layers/large.jsonl", LARGE_BYTES]]);
    const bytes = await collect((await place.open("layers/large.jsonl", LARGE_BYTES - piece.length)) ?? assert.fail());
    assert.ok(bytes.equals(piece));
    await place.remove("layers/large.jsonl");
  });
});

describe("a place's name", () => {
  it("is a bucket with a prefix or without, or a directory", () => {
    assert.deepEqual(parseObjectPlace("s3://backups"), { bucket: "backups", prefix: "" });
    assert.deepEqual(parseObjectPlace("s3://my.backups/a/b/"), { bucket: "my.backups", prefix: "a/b" });
    assert.equal(parseObjectPlace("/backups"), undefined);
    for (const text of ["s3://", "s3:///a", "s3://Upper", "s3://a"]) {
      assert.throws(() => parseObjectPlace(text), CommandError, text);
    }
  });

  it("of a bucket that is not there ends the command in words", async () => {
    const missing = await openPlace("s3://no-such-bucket");
    await assert.rejects(missing.list("backups"), /cannot use s3:\/\/no-such-bucket: NoSuchBucket/);
  });
});
