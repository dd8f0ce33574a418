/** What each home holds of a key is asked of each by itself, and a home that does not answer keeps nobody from answering. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { firstRing } from "../../node/core/ring/first-members.ts";
import { createRing } from "../../node/core/ring/ring.ts";
import { encodeRecord } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";
import { createKeyVersions } from "../../node/services/key-versions.ts";

const KEY = Buffer.from("key");

function recordOf(text: string): Uint8Array {
  const content = { value: Buffer.from(text), contentType: "text/plain", expiresAtMs: undefined };
  const dot = { actor: "a".repeat(32), incarnation: 1, counter: 1 };
  const limits = { siblingsMax: 10, siblingBytesMax: 1 << 20 };
  const base = { kind: "overwrite" } as const;
  return encodeRecord(stampWrite({ record: undefined, dot, base, content, event: undefined, nowMs: 5, limits }).record);
}

describe("the versions of a key", () => {
  it("are what each home says, in the order of the preference list", async () => {
    const members = ["n1", "n2", "n3"].map((name, index) => ({
      ...{ name, address: `${name}:1`, zone: `z${index}`, weight: 100, state: "active" as const },
    }));
    const document = firstRing({
      members,
      ...{ partitions: 8, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "strict" },
    });
    const ring = createRing(document);
    const [first, second, third] = ring.homes(ring.partitionOf(KEY)).map(({ name }) => name);
    const bug = new Error("a cup is missing");
    let thrown: unknown = new KvError("TIMED_OUT", "Cannot reach it.");
    const answers = new Map([[first, recordOf("one")]]);
    const replicas = {
      async read(member: string): Promise<Uint8Array | undefined> {
        if (member === third) throw thrown;
        return answers.get(member);
      },
    };
    const versions = createKeyVersions({ replicas, ring: () => ring }, { timeoutMs: 1_000 });
    const { homes, partition, epoch } = await versions(KEY);
    assert.deepEqual([partition, epoch], [ring.partitionOf(KEY), document.epoch]);
    assert.deepEqual(
      homes.map((home) => [home.name, "error" in home ? home.error.code : home.record?.siblings.length]),
      [
        [first, 1],
        [second, undefined],
        [third, "TIMED_OUT"],
      ],
    );
    answers.set(second, recordOf("one"));
    const equal = (await versions(KEY)).homes.map((home) => ("error" in home ? undefined : home.checksum));
    assert.equal(equal[0], equal[1]);
    answers.set(second, recordOf("two"));
    const other = (await versions(KEY)).homes.map((home) => ("error" in home ? undefined : home.checksum));
    assert.notEqual(other[0], other[1]);
    thrown = bug;
    await assert.rejects(versions(KEY), /a cup is missing/);
  });
});
