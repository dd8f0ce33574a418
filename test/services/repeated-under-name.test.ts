/** A write that is repeated under its name, and stamped again by a home that missed its first try. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { AdaptiveLimit } from "../../node/core/overload/adaptive-limit.ts";
import { QuantileFollower } from "../../node/core/quorum/latency.ts";
import { Pace } from "../../node/core/quorum/pace.ts";
import { encodeContext } from "../../node/core/version/context-codec.ts";
import type { KvRecord } from "../../node/core/version/record.ts";
import { decodeRecord, encodeRecord } from "../../node/core/version/record-codec.ts";
import { type StampOptions, stampWrite } from "../../node/core/version/stamp.ts";
import { type Coordinator, createCoordinator } from "../../node/services/coordinator.ts";
import { decodeBase } from "../../node/services/stamping.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSeededRandom } from "../sim/random.ts";
import { bytesOf, recordOf, ringOf } from "./hints-world.ts";

const KEY = bytesOf("key");
const NAME = bytesOf("job 17");
const DELETED = { value: undefined, contentType: "", expiresAtMs: undefined } as const;
const MADE = { value: bytesOf("made"), contentType: "", expiresAtMs: undefined } as const;

function stampedOn(
  record: KvRecord,
  by: string,
  options: Pick<StampOptions, "base" | "content" | "event">,
): ReturnType<typeof stampWrite> {
  const dot = { actor: by.repeat(32), incarnation: 1, counter: 1 };
  return stampWrite({
    ...options,
    ...{ record, dot, nowMs: 1_700_000_001_000, limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 } },
  });
}

/**
 * What `b` holds in the end. The first try was stamped by `a` on what all had, and spread no further; `a` answers the read
 * that comes before the repetition, and is down from then on.
 */
async function heldAfter(
  before: KvRecord,
  content: typeof DELETED | typeof MADE,
  repeat: (coordinator: Coordinator) => Promise<unknown>,
): Promise<readonly (Uint8Array | undefined)[]> {
  const first = { content, base: { kind: "context", context: before.context }, event: { kind: "client", id: NAME } };
  const atA = encodeRecord(stampedOn(before, "a", first as Pick<StampOptions, "base" | "content" | "event">).record);
  let atB = before;
  let isDown = false;
  const unasked = () => Promise.reject(new Error("a write asks for nothing else"));
  const limit = () => new AdaptiveLimit({ min: 10, start: 10, max: 10, timeoutMs: 1_000 });
  const coordinator = createCoordinator(
    {
      replicas: {
        self: "d",
        read(member) {
          assert.equal(member, "a", "one reply is enough");
          isDown = true;
          return Promise.resolve(atA);
        },
        stamp(member, _partition, { base, event, content: stamped }) {
          assert.equal(member, "b", "the first home that is up");
          const { record, token } = stampedOn(atB, "b", { base: decodeBase(base), event, content: stamped });
          atB = record;
          return Promise.resolve({ record: encodeRecord(record), context: encodeContext(token) });
        },
        merge: () => Promise.resolve("kept"),
        ...{ scan: unasked, compare: unasked },
      },
      isUp: (member) => (member === "a" ? !isDown : isDown),
      time: createInstantTime(),
      random: createSeededRandom(1).stream("write"),
      telemetry: createRecordedTelemetry(),
      durability: "os",
      durabilityOf: () => "os",
      laterRing: () => Promise.resolve(undefined),
      ring: () => ringOf(["a", "b", "c"]),
      served: () => undefined,
      limits: { reads: limit(), writes: limit() },
      usualLatency: new QuantileFollower({ quantile: 0.95, startMs: 500, minMs: 2, maxMs: 1_000 }),
      pace: new Pace(),
    },
    { timeoutMs: 1_000 },
  );
  await repeat(coordinator);
  return atB.siblings.map(({ value }) => value);
}

describe("a write under a name that is stamped again where its first try was missed", () => {
  const written = decodeRecord(recordOf("old"));

  it("deletes what the first try deleted: it was acknowledged by homes that have the value still", async () => {
    const held = await heldAfter(written, DELETED, (coordinator) =>
      coordinator.delete({ key: KEY, idempotencyKey: NAME }, { readQuorum: 1 }),
    );
    assert.deepEqual(held, [undefined]);
  });

  it("makes the key in place of the deletion that the first try had found", async () => {
    const base = { kind: "context", context: written.context } as const;
    const deleted = stampedOn(written, "c", { base, content: DELETED }).record;
    const put = { key: KEY, value: bytesOf("made"), contentType: "", base: "overwrite" } as const;
    const held = await heldAfter(deleted, MADE, (coordinator) =>
      coordinator.put({ ...put, onlyIfAbsent: true, idempotencyKey: NAME }, { readQuorum: 1 }),
    );
    assert.deepEqual(held, [bytesOf("made")]);
  });
});
