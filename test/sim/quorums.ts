/** What changes of the ring make of R and W. */
import type { ClusterOptions, Quorums } from "./cluster.ts";
import { createSeededRandom } from "./random.ts";

type Shape = Pick<ClusterOptions, "seed" | "replicationFactor" | "readQuorum" | "writeQuorum">;

/** In half of the runs, what changes make of R and W: where they overlap at first they always do. */
export function drawQuorums({ seed, replicationFactor, readQuorum, writeQuorum }: Shape): Quorums[] | undefined {
  const random = createSeededRandom(seed).stream("quorums");
  if (random.chance([1, 2])) return undefined;
  const isOverlapping = readQuorum + writeQuorum > replicationFactor;
  return Array.from({ length: random.between(1, 3) }, () => {
    const read = random.between(1, replicationFactor);
    const leastWrite = isOverlapping ? replicationFactor - read + 1 : 1;
    return { readQuorum: read, writeQuorum: random.between(leastWrite, replicationFactor) };
  });
}
