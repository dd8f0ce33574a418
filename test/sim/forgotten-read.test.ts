/** What a strict read shows when the homes that it asked do not agree. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { QuantileFollower } from "../../node/core/quorum/latency.ts";
import { Pace } from "../../node/core/quorum/pace.ts";
import { decodeRecord } from "../../node/core/version/record-codec.ts";
import { runRead } from "../../node/services/read.ts";
import type { MergeOutcome } from "../../node/services/replica.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { bytesOf, recordOf, ringOf } from "../services/hints-world.ts";
import { createSeededRandom } from "./random.ts";

const CHOICES = {
  readQuorum: 2,
  writeQuorum: 2,
  mode: "strict",
  zones: 1,
  timeoutMs: 1_000,
  trace: undefined,
} as const;
const VALUE = recordOf("value");

/** Reads at `a` and `b`, of which only `b` has the value; `outcome`: what the others make of it. */
async function shown(outcome: MergeOutcome): Promise<readonly (Uint8Array | undefined)[]> {
  const unasked = () => Promise.reject(new Error("a read asks for nothing else"));
  const replicas: Replicas = {
    self: "a",
    read: (member) => Promise.resolve(member === "b" ? VALUE : undefined),
    merge: () => Promise.resolve(outcome),
    ...{ stamp: unasked, scan: unasked, compare: unasked },
  };
  const { record } = await runRead(
    {
      replicas,
      isUp: (member) => member !== "c",
      time: createInstantTime(),
      random: createSeededRandom(1).stream("read"),
      telemetry: createRecordedTelemetry(),
      durability: "os",
      laterRing: () => Promise.resolve(undefined),
      usualLatency: new QuantileFollower({ quantile: 0.95, startMs: 500, minMs: 2, maxMs: 1_000 }),
      pace: new Pace(),
    },
    ringOf(["a", "b", "c"]),
    bytesOf("key"),
    CHOICES,
  );
  assert(record !== undefined, "what the record replaced is told, for the next write");
  const { context, siblings } = decodeRecord(record);
  assert.deepEqual(context, decodeRecord(VALUE).context);
  return siblings.map(({ value }) => value);
}

describe("a strict read whose replies differ", () => {
  it("shows the value that one home has once another has taken it", async () => {
    assert.deepEqual(await shown("kept"), [bytesOf("value")]);
  });

  it("shows nothing of a value that another home knows to be deleted and forgotten", async () => {
    assert.deepEqual(await shown("covered"), []);
  });
});
