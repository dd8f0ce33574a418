/** A write that failed, and is on the disk after all: what was computed before it came up does not take its place. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { decodeRecord } from "../../node/core/version/record-codec.ts";
import { bytes, texts } from "../core/version/examples.ts";
import { createReplicaWorld } from "./replica-world.ts";

const PARTITION = 3;

const request = (value: string) => {
  const content = { value: bytes(value), contentType: "text/plain", expiresAtMs: undefined };
  return { kind: "stamp", epoch: 1, key: bytes("key"), base: { kind: "sibling" }, content, event: undefined } as const;
};

describe("a write that failed and surfaces", () => {
  it("is shown beside the next one, which is refused until it has", async () => {
    let surfaced = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const { time, disk, replica } = await createReplicaWorld(seed);
      const stamp = (value: string) => replica.stamp(PARTITION, request(value), time.monotonicMs() + 10_000);
      await stamp("before");
      disk.failNextWrite();
      await assert.rejects(stamp("failed"), KvError);
      await new Promise<void>((resolve) => void time.after(1_000, resolve));
      await stamp("next").catch((error: unknown) => {
        assert(error instanceof KvError && error.outcome === "none");
        return stamp("next");
      });
      surfaced += disk.counters.failedWritesSurfaced;
      const kept = (await replica.read(PARTITION, request("").key)) ?? assert.fail("there is a record");
      const failed = disk.counters.failedWritesSurfaced > 0 ? ["failed"] : [];
      assert.deepEqual(texts(decodeRecord(kept).siblings), ["before", ...failed, "next"]);
    }
    assert(surfaced > 3 && surfaced < 17, `it surfaced ${surfaced} times of 20`);
  });
});
