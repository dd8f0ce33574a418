/**
 * About how many bytes the partitions of this node hold: keys as their trees count them, times what a record takes on
 * average in a page of each. For plans and for progress; nothing is decided by it.
 */
import { partitionRange, placesRange } from "../core/keyspace.ts";
import type { Engine, Random } from "../ports.ts";
import type { Trees } from "./trees.ts";

export type PartitionSizes = {
  /** Estimates in the order asked for; 0 for what is not kept here, or is not counted yet. */
  ofAll(partitions: readonly number[]): Promise<readonly number[]>;
};

const SAMPLE_RECORDS = 64;
const PLACES = 2 ** 32;

/** @param parts `trees` count the keys. */
export function createPartitionSizes(parts: {
  readonly engine: Engine;
  readonly trees: Pick<Trees, "ready">;
  readonly random: Random;
}): PartitionSizes {
  const { engine, trees, random } = parts;

  /** A page from a random place on, or from the start where there is too little behind it. */
  async function sample(partition: number) {
    const { until } = partitionRange(partition);
    const anywhere = placesRange(partition, random.uint32() % PLACES, PLACES).from;
    const page = await engine.scan({ from: anywhere, until, limit: SAMPLE_RECORDS });
    if (page.length === SAMPLE_RECORDS) return page;
    return engine.scan({ ...partitionRange(partition), limit: SAMPLE_RECORDS });
  }

  async function ofOne(partition: number): Promise<number> {
    const keys = trees.ready(partition)?.keys ?? 0;
    if (keys === 0) return 0;
    const page = await sample(partition);
    if (page.length === 0) return 0;
    const bytes = page.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    return Math.round((keys * bytes) / page.length);
  }

  return {
    async ofAll(partitions) {
      const sizes: number[] = [];
      for (const partition of partitions) sizes.push(await ofOne(partition));
      return sizes;
    },
  };
}
