/** Pairs of 1 KiB as records, straight into a store: the same on both sides but for those that are to differ. */
import { dataKey } from "../../node/core/keyspace.ts";
import { partitionOf } from "../../node/core/ring/hash.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";
import type { Engine, EngineWrite } from "../../node/ports.ts";
import { seededUniform } from "./keys.ts";

const VALUE_BYTES = 1_024;
const BATCH = 1_000;
const ACTOR = "ab".repeat(16);

export type LoadOptions = {
  readonly pairs: number;
  readonly differing: number;
  readonly partitions: number;
  readonly onePartition: boolean;
};

/** Loads one side. */
export async function loadPairs(engine: Engine, side: "a" | "b", options: LoadOptions): Promise<void> {
  const { pairs, differing } = options;
  const every = Math.max(1, Math.floor(pairs / Math.max(1, differing)));
  const uniform = seededUniform(1);
  // Values that do not compress: a slice of noise, at another place for each key.
  const noise = Buffer.from(Array.from({ length: 64 * 1_024 }, () => Math.floor(uniform() * 256)));
  let writes: EngineWrite[] = [];
  let different = 0;
  for (let index = 0; index < pairs; index++) {
    const key = Buffer.from(`pair:${index.toString(36).padStart(7, "0")}`);
    const from = (index * 257) % (noise.length - VALUE_BYTES);
    const value = Buffer.from(noise.subarray(from, from + VALUE_BYTES));
    value.writeUInt32BE(index);
    const isDifferent = index % every === 0 && different < differing;
    const kind = isDifferent ? different++ % 3 : undefined;
    if ((kind === 0 && side === "a") || (kind === 1 && side === "b")) continue;
    const record = recordOf(value, index * 2 + 1, kind === 2 && side === "a");
    const partition = options.onePartition ? 0 : partitionOf(key, options.partitions);
    writes.push({ kind: "put", key: dataKey(partition, key), value: record });
    if (writes.length < BATCH) continue;
    await engine.batch(writes, { sync: false });
    writes = [];
  }
  await engine.batch(writes, { sync: true });
}

/** A key written once, or twice where one side is to be ahead. */
function recordOf(value: Buffer, counter: number, twice: boolean): Uint8Array {
  const write = (record: Parameters<typeof stampWrite>[0]["record"], at: number) =>
    stampWrite({
      record,
      dot: { actor: ACTOR, incarnation: 1, counter: at },
      base: { kind: "overwrite" },
      content: { value, contentType: "application/octet-stream", expiresAtMs: undefined },
      nowMs: 1_760_000_000_000,
      limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 },
    }).record;
  const first = write(undefined, counter);
  return encodeRecord(twice ? write(first, counter + 1) : first);
}
