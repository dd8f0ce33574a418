/** A request that meets a later ring, which cannot give what it asks for. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { AdaptiveLimit } from "../../node/core/overload/adaptive-limit.ts";
import { QuantileFollower } from "../../node/core/quorum/latency.ts";
import { Pace } from "../../node/core/quorum/pace.ts";
import { createRing, type Ring } from "../../node/core/ring/ring.ts";
import { EMPTY_CONTEXT } from "../../node/core/version/context.ts";
import { encodeContext } from "../../node/core/version/context-codec.ts";
import { createCoordinator } from "../../node/services/coordinator.ts";
import type { StampResult } from "../../node/services/replica.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSeededRandom } from "../sim/random.ts";
import { bytesOf, recordOf, ringOf } from "./hints-world.ts";

const STAMPED: StampResult = { record: recordOf("value"), context: encodeContext(EMPTY_CONTEXT) };

/** The same homes, one epoch later and all in one zone. */
function laterRing({ document }: Ring): Ring {
  const members = document.members.map((member) => ({ ...member, zone: "z" }));
  return createRing({ ...document, epoch: document.epoch + 1, members });
}

/** Writes to two zones through `a`, which stamps, while the other homes go by a ring of one zone already. */
async function answerWhere(stamp: Replicas["stamp"]): Promise<unknown> {
  let ring = ringOf(["a", "b", "c"]);
  const stale = () => Promise.reject(new KvError("STALE_RING", "Cannot serve: another ring is in force."));
  const unasked = () => Promise.reject(new Error("a write asks for nothing else"));
  const limit = () => new AdaptiveLimit({ min: 10, start: 10, max: 10, timeoutMs: 1_000 });
  const coordinator = createCoordinator(
    {
      replicas: { self: "a", stamp, merge: stale, ...{ read: unasked, scan: unasked, compare: unasked } },
      isUp: () => true,
      time: createInstantTime(),
      random: createSeededRandom(1).stream("write"),
      telemetry: createRecordedTelemetry(),
      durability: "os",
      durabilityOf: () => "os",
      laterRing: () => {
        ring = laterRing(ringOf(["a", "b", "c"]));
        return Promise.resolve(ring);
      },
      ring: () => ring,
      served: () => undefined,
      limits: { reads: limit(), writes: limit() },
      usualLatency: new QuantileFollower({ quantile: 0.95, startMs: 500, minMs: 2, maxMs: 1_000 }),
      pace: new Pace(),
    },
    { timeoutMs: 1_000 },
  );
  const put = { key: bytesOf("key"), value: bytesOf("value"), contentType: "", base: "overwrite" } as const;
  return coordinator.put(put, { zones: 2 }).catch((error: unknown) => error);
}

describe("a write that asks for more zones than a later ring has", () => {
  it("may surface all the same, and says so, once it was stamped", async () => {
    const error = await answerWhere(() => Promise.resolve(STAMPED));
    assert(error instanceof KvError);
    assert.deepEqual([error.code, error.outcome], ["QUORUM_LOST", "unknown"]);
    assert.match(error.message, /the ring has changed meanwhile.*zones=2: the ring has 1/);
  });

  it("is a wrong request where nothing was stamped yet", async () => {
    const error = await answerWhere(() => Promise.reject(new KvError("STALE_RING", "Cannot stamp: another ring.")));
    assert(error instanceof KvError);
    assert.deepEqual([error.code, error.outcome], ["INVALID_REQUEST", "none"]);
  });
});
