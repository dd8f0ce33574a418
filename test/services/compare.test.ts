/** One comparison with a peer whose answers are scripted: what one record keeps from the others, and what not. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { createComparer } from "../../node/services/compare.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import type { Trees } from "../../node/services/trees.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const PAIRING = { epoch: 1, partition: 3, peer: "n2", peerBits: 0 };

/** A node that holds nothing of what its peer lists. `read` answers for the peer. */
function worldOf(keys: readonly string[], read: (key: string) => Promise<Uint8Array | undefined>, inDoubt = false) {
  const merged: string[] = [];
  const telemetry = createRecordedTelemetry();
  const replicas: Pick<Replicas, "self" | "compare" | "read" | "merge"> = {
    self: "n1",
    compare: (async () => ({
      ...{ kind: "leaves", inDoubt },
      keys: keys.map((key) => ({ key: bytes(key), print: { a: 1, b: 2, c: 3, d: 4 } })),
    })) as unknown as Replicas["compare"],
    read: (_peer, _partition, { key }) => read(Buffer.from(key).toString()),
    async merge(_member, _partition, { key }) {
      merged.push(Buffer.from(key).toString());
      return "kept";
    },
  };
  const trees = { ready: () => ({ bits: 0 }), list: async () => [] } as unknown as Trees;
  const comparer = createComparer(
    {
      ...{ replicas: replicas as Replicas, trees, telemetry },
      readOwn: async () => undefined,
      covered: async () => undefined,
      budget: { spend: async () => undefined },
    },
    { timeoutMs: 1_000 },
  );
  return { comparer, merged, telemetry };
}

const KEYS = Array.from({ length: 20 }, (_, at) => `key ${at}`);

describe("a comparison", () => {
  it("brings all records but one that no message can hold, which it counts and tells of in the end", async () => {
    const { comparer, merged, telemetry } = worldOf(KEYS, async (key) => {
      if (key === "key 5") throw new KvError("TOO_LARGE", "Cannot send a message.");
      return bytes("record");
    });
    await assert.rejects(comparer.mend(PAIRING), { code: "TOO_LARGE" });
    assert.deepEqual(
      merged,
      KEYS.filter((key) => key !== "key 5"),
    );
    assert.equal(telemetry.counted("annulus.repair.records_too_large"), 1);
  });

  it("asks again, one by one, for what the large ones beside them left no room for", async () => {
    let reading = 0;
    const { comparer, merged } = worldOf(KEYS, async () => {
      if (reading >= 2) throw new KvError("OVERLOADED", "Cannot answer: too many bytes are queued.");
      reading += 1;
      await new Promise(setImmediate);
      reading -= 1;
      return bytes("record");
    });
    assert.equal(await comparer.mend(PAIRING), true);
    assert.deepEqual(merged.toSorted(), KEYS.toSorted());
  });

  it("is no evidence where the peer found something damaged as it made its lists, which they lack then", async () => {
    const record = async () => bytes("record");
    assert.equal(await worldOf(KEYS, record, true).comparer.mend(PAIRING), false);
    assert.equal(await worldOf(KEYS, record).comparer.mend(PAIRING), true);
  });

  it("ends with the peer's error when that stays", async () => {
    const { comparer } = worldOf(KEYS, async () => {
      throw new KvError("OVERLOADED", "Cannot answer: too many bytes are queued.");
    });
    await assert.rejects(comparer.mend(PAIRING), { code: "OVERLOADED" });
  });
});
