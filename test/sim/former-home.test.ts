/** A member that was a home of a partition, is none any more, and stamps for it as a stand-in. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { MemberId } from "../../node/core/ring/document.ts";
import { mergeRecords } from "../../node/core/version/record.ts";
import { decodeRecord, encodeRecord } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";
import { bytesOf, createHintsWorld, PARTITION } from "../services/hints-world.ts";

const MEMBER_A = "a" as MemberId;

describe("a stamp by a home of before", () => {
  const request = {
    kind: "stamp",
    epoch: 1,
    key: bytesOf("k"),
    base: { kind: "sibling" },
    content: { value: bytesOf("as a stand-in"), contentType: "text/plain", expiresAtMs: undefined },
    event: undefined,
  } as const;

  it("replaces nothing that it had stamped as a home and still keeps, wherever the two meet", async () => {
    let leftover: Uint8Array | undefined;
    const world = await createHintsWorld({ leftover: () => leftover });
    const content = { value: bytesOf("as a home"), contentType: "text/plain", expiresAtMs: undefined };
    const write = {
      record: undefined,
      dot: world.identity.nextDot(),
      base: { kind: "sibling" },
      content,
      nowMs: 1,
    } as const;
    const asHome = stampWrite({ ...write, limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 } }).record;
    leftover = encodeRecord(asHome);
    const stamped = await world.settled(world.hints.stamp(PARTITION, MEMBER_A, request, 1e9));
    const { siblings } = mergeRecords(asHome, decodeRecord(stamped.record));
    assert.deepEqual(
      siblings.map(({ value }) => Buffer.from(value ?? []).toString()),
      ["as a home", "as a stand-in"],
    );
  });

  it("comes under a new incarnation once it has begun to drop what it kept", async () => {
    const world = await createHintsWorld();
    const before = world.identity.nextDot();
    await world.settled(world.identity.markGivingUp());
    const stamped = await world.settled(world.hints.stamp(PARTITION, MEMBER_A, request, 1e9));
    const incarnations = decodeRecord(stamped.record).siblings.map(({ dot }) => dot.incarnation);
    assert.deepEqual(incarnations, [before.incarnation + 1]);
  });
});
