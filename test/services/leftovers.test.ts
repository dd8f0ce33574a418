/** What lies here and is not this node's any more, where the store cannot be read in full. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { partitionRange } from "../../node/core/keyspace.ts";
import { createLeftovers } from "../../node/services/leftovers.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { ringOf } from "./hints-world.ts";

const RING = ringOf(["a", "b", "c"]);
const DAMAGED = 3;

/** A member that is no home of anything, with an empty store, of which one partition cannot be read. */
function createWorld() {
  const time = createInstantTime();
  const { from, until } = partitionRange(DAMAGED);
  let isDamaged = true;
  let failedScans = 0;
  const nothing = () => undefined;
  const leftovers = createLeftovers({
    ...{ self: "d", isUp: () => true, keepTrees: nothing, time, telemetry: createRecordedTelemetry() },
    identity: { isSuperseded: () => false },
    admission: { settled: () => Promise.resolve() },
    hints: { isComplete: () => true, waiting: () => [] },
    engine: {
      scan: async (range: { readonly from: Uint8Array }) => {
        if (!isDamaged || Buffer.compare(range.from, from) < 0 || Buffer.compare(range.from, until) >= 0) return [];
        failedScans += 1;
        throw new KvError("STORAGE_FAILED", "Cannot scan: a block is damaged.");
      },
    },
  } as unknown as Parameters<typeof createLeftovers>[0]);
  leftovers.adopt(RING);
  leftovers.start();
  return {
    ...{ leftovers, failedScans: () => failedScans },
    clear: () =>
      Array.from({ length: RING.partitions }, (_, partition) => partition).filter((partition) =>
        leftovers.isClear(partition, RING.epoch),
      ),
    pass: (ms: number) => new Promise<void>((resolve) => time.after(ms, resolve)),
    mend(): void {
      isDamaged = false;
    },
  };
}

describe("a member that cannot read a partition which is not its own", () => {
  it("says that nothing is left of all others, and of that one once it can read it", async () => {
    const { leftovers, clear, pass, mend } = createWorld();
    await pass(10_000);
    assert.deepEqual(
      clear(),
      Array.from({ length: RING.partitions }, (_, partition) => partition).filter((partition) => partition !== DAMAGED),
    );
    assert.equal(leftovers.isEmptied(RING.epoch), false);
    mend();
    await pass(60_000);
    assert.equal(clear().length, RING.partitions);
    assert(leftovers.isEmptied(RING.epoch));
    await leftovers.stop();
  });

  it("tries to less and less often", async () => {
    const { leftovers, failedScans, pass } = createWorld();
    await pass(600_000);
    await leftovers.stop();
    assert(failedScans() >= 10 && failedScans() <= 20, `${failedScans()} scans in ten minutes`);
  });
});
