/** Backup after backup of the same records: each holds what is there, by as little as differs, and layers do not pile up. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { linesOf } from "../../node/cli/backup/layer.ts";
import {
  backupNames,
  formatDocument,
  type Manifest,
  manifestFile,
  requireManifest,
} from "../../node/cli/backup/manifest.ts";
import type { Place } from "../../node/cli/backup/place.ts";
import { placeOfFiles, Records, Turns, takeAt } from "./backup-world.ts";

type World = {
  readonly files: Map<string, Buffer>;
  readonly records: Records;
  readonly place: Place;
  readonly take: (minute: number) => Promise<Manifest>;
};

/** Runs with an empty place and a cluster without records. */
async function inWorld(run: (world: World) => Promise<void>): Promise<void> {
  const files = new Map<string, Buffer>();
  const records = new Records();
  const turns = new Turns(1);
  const place = placeOfFiles(files, turns, "all");
  const take = async (minute: number) => (await takeAt(minute, records, place, { turns, who: "all" })).manifest;
  const running = run({ files, records, place, take });
  await turns.run([running]);
  await running;
}

async function requireHolds({ place, records }: World, { parts }: Manifest): Promise<void> {
  const lines: string[] = [];
  for (const { layers } of parts) for await (const line of linesOf(place, layers)) lines.push(line);
  assert.deepEqual(lines.sort(), records.lines());
  assert.equal(
    parts.reduce((sum, { keys }) => sum + keys, 0),
    lines.length,
  );
}

const layersOf = ({ parts }: Manifest) => parts.flatMap(({ layers }) => layers);

describe("backup after backup", () => {
  it("writes nothing where nothing changed, and one layer for the partition of a key that did", async () => {
    await inWorld(async (world) => {
      for (let key = 0; key < 30; key += 1) world.records.put(`key ${key}`);
      const first = await world.take(1);
      const second = await world.take(2);
      assert.deepEqual(second.parts, first.parts);
      assert.equal(second.newBytes, 0);
      world.records.put("key 7");
      const third = await world.take(3);
      assert.equal(layersOf(third).length, layersOf(first).length + 1);
      assert.equal(layersOf(third).filter(({ records }) => records === 1).length, 1);
      await requireHolds(world, third);
    });
  });

  it("reads a partition as a whole again before its layers, or the records that count no more, are too many", async () => {
    await inWorld(async (world) => {
      world.records.put("key");
      for (let minute = 1; minute <= 60; minute += 1) {
        world.records.put("key");
        const manifest = await world.take(minute);
        for (const { layers } of manifest.parts) assert.ok(layers.length <= 48);
        await requireHolds(world, manifest);
      }
      for (let minute = 61; minute <= 66; minute += 1) {
        for (let key = 0; key < 400; key += 1) world.records.put(`many ${key}`);
        const manifest = await world.take(minute);
        for (const { keys, layers } of manifest.parts) {
          const stored = layers.reduce((sum, { records }) => sum + records, 0);
          // One more backup of everything is taken before it shows.
          assert.ok(stored <= 3 * Math.max(256, keys), `${stored} records for ${keys} keys`);
        }
        await requireHolds(world, manifest);
      }
    });
  });

  it("reads a partition as a whole whose layer is missing or has another size", async () => {
    await inWorld(async (world) => {
      for (let key = 0; key < 30; key += 1) world.records.put(`key ${key}`);
      const [missing, cut] = layersOf(await world.take(1)).map(({ name }) => name);
      assert.ok(missing !== undefined && cut !== undefined);
      world.files.delete(missing);
      world.files.set(cut, world.files.get(cut)?.subarray(1) ?? assert.fail());
      const again = await world.take(2);
      assert.ok(layersOf(again).every(({ name }) => name !== missing && name !== cut));
      await requireHolds(world, again);
    });
  });

  it("is refused into a place of another cluster, and by a clock behind the newest backup's", async () => {
    await inWorld(async ({ files, place, take }) => {
      await take(5);
      await assert.rejects(take(5), /the newest backup began at 1970-01-01T00:05/);
      const [name = ""] = await backupNames(place);
      const other = { ...(await requireManifest(place, name)), clusterId: "another" };
      files.set(manifestFile(name), Buffer.from(formatDocument(other)));
      await assert.rejects(take(6), /holds backups of another cluster/);
    });
  });
});
