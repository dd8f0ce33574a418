/** The ring document as text: what is written can be read, and nothing that is wrong is. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { KvError } from "../../../node/core/errors.ts";
import { type RingDocument, type RingMember, ringView, serializeRing } from "../../../node/core/ring/document.ts";
import { firstRing } from "../../../node/core/ring/first-members.ts";
import { parseRing } from "../../../node/core/ring/parse-document.ts";

function member(index: number): RingMember {
  const name = `kv-${index}`;
  return {
    name,
    address: `${name}.sessions-peers.prod.svc:7402`,
    zone: `zone-${index % 3}`,
    weight: 100,
    state: "active",
  };
}

function ringOf(memberCount: number, partitions = 64): RingDocument {
  const members = Array.from({ length: memberCount }, (_, index) => member(index));
  return firstRing({ members, partitions, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "sloppy" });
}

describe("a ring document", () => {
  it("is read as it was written, with and without actors", () => {
    const ring = ringOf(5);
    const members = ring.members.map((each, index) => (index === 2 ? { ...each, actor: "0af1".repeat(8) } : each));
    expect(parseRing(serializeRing(ring))).toEqual(ring);
    expect(parseRing(serializeRing({ ...ring, members }))).toEqual({ ...ring, members });
  });

  it("is the same text however the object was put together", () => {
    const ring = ringOf(4);
    const { epoch, homes, members, ...rest } = ring;
    const turned = members.map(({ state, name, ...other }) => ({ state, ...other, name }));
    expect(serializeRing({ homes, members: turned, ...rest, epoch })).toBe(serializeRing(ring));
    expect(Object.keys(JSON.parse(serializeRing(ring)))).toEqual([
      "epoch",
      "partitions",
      "replicationFactor",
      "readQuorum",
      "writeQuorum",
      "mode",
      "members",
      "homes",
    ]);
  });

  it.each([
    [512, 24_000],
    [4_096, 64_000],
  ])("of %d partitions and 100 members with actors takes at most %d bytes", (partitions, bytesMax) => {
    const ring = ringOf(100, partitions);
    const members = ring.members.map((each) => ({ ...each, actor: "f".repeat(32) }));
    expect(Buffer.byteLength(serializeRing({ ...ring, members }))).toBeLessThanOrEqual(bytesMax);
  });

  it("is shown with tokens and names", () => {
    const ring = ringOf(3, 4);
    const view = ringView(ring);
    expect(view).toMatchObject({ epoch: 1, partitions: 4, n: 3, r: 2, w: 2, mode: "sloppy", members: ring.members });
    expect(view.tokens).toEqual(["0000000000000000", "4000000000000000", "8000000000000000", "c000000000000000"]);
    expect(view.preferenceLists).toEqual(ring.homes.map((row) => row.map((home) => `kv-${home}`)));
  });
});

describe("a text that is no ring document", () => {
  const ring = ringOf(4);
  const [first, ...others] = ring.members;
  const withFirst = (change: object) => ({ ...ring, members: [{ ...first, ...change }, ...others] });
  const withRow = (row: unknown) => ({ ...ring, homes: [row, ...ring.homes.slice(1)] });

  it.each<[string, unknown, RegExp]>([
    ["is a list", [], /the document is an object, not \[\]/],
    ["is null", null, /the document is an object, not null/],
    ["lacks the epoch", { ...ring, epoch: undefined }, /epoch is a whole number from 1 .* not nothing/],
    ["has epoch 0", { ...ring, epoch: 0 }, /epoch .* not 0/],
    ["has an epoch in words", { ...ring, epoch: "2" }, /epoch .* not "2"/],
    ["has an epoch that is not whole", { ...ring, epoch: 1.5 }, /epoch .* not 1.5/],
    ["has 63 partitions", { ...ring, partitions: 63 }, /partitions is a power of two, not 63/],
    ["has too many partitions", { ...ring, partitions: 131_072 }, /partitions .* to 65536, not 131072/],
    ["has N = 0", { ...ring, replicationFactor: 0 }, /replicationFactor .* not 0/],
    ["has R above N", { ...ring, readQuorum: 4 }, /readQuorum is a whole number from 1 to 3, not 4/],
    ["has W above N", { ...ring, writeQuorum: 4 }, /writeQuorum is a whole number from 1 to 3, not 4/],
    ["has another mode", { ...ring, mode: "lax" }, /mode is one of strict, sloppy, not "lax"/],
    ["has an unknown key", { ...ring, owner: 1 }, /the document has an unknown key "owner"/],
    ["has no members", { ...ring, members: [] }, /members has 1 to 1000 entries, not 0/],
    ["has a member that is no object", { ...ring, members: ["kv-0"] }, /member 0 is an object, not "kv-0"/],
    ["has a member twice", { ...ring, members: [first, first, ...others] }, /sorted by name.*kv-0 before kv-0/],
    ["has members out of order", { ...ring, members: [...others, first] }, /kv-3 before kv-0/],
    ["has a member with an unknown key", withFirst({ rack: "r1" }), /member 0 has an unknown key "rack"/],
    ["has a member with a strange name", withFirst({ name: "KV 0" }), /member 0's name matches .* not "KV 0"/],
    ["has a member without a port", withFirst({ address: "host" }), /member 0's address matches .* not "host"/],
    ["has a member with port 0", withFirst({ address: "host:0" }), /port from 1 to 65535, not 0/],
    ["has a member with port 70000", withFirst({ address: "host:70000" }), /port from 1 to 65535, not 70000/],
    ["has a member without a zone", withFirst({ zone: "" }), /member 0's zone matches .* not ""/],
    ["has a member with too much weight", withFirst({ weight: 10_001 }), /weight is a whole number from 0 to 10000/],
    ["has a member in no state", withFirst({ state: "dead" }), /state is one of joining, .* not "dead"/],
    ["has a member with a short actor", withFirst({ actor: "ab" }), /member 0's actor matches .* not "ab"/],
    ["has a home without weight", withFirst({ weight: 0 }), /names kv-0, which has weight 0/],
    ["has a home that left", withFirst({ state: "left" }), /names kv-0, which has left/],
    ["lacks homes of a partition", { ...ring, homes: ring.homes.slice(1) }, /homes has 64 entries, not 63/],
    ["has a partition with two homes", withRow([0, 1]), /partition 0's list of homes has 3 entries, not 2/],
    ["has a partition with one home twice", withRow([0, 1, 1]), /has distinct members, found \[0, 1, 1\]/],
    ["has a home that is no member", withRow([0, 1, 4]), /a home in partition 0's list .* 0 to 3, not 4/],
    ["has a home by name", withRow(["kv-0", 1, 2]), /a home in partition 0's list .* not "kv-0"/],
  ])("is refused with what is wrong when it %s", (_, document, message) => {
    const text = JSON.stringify(document);
    expect(() => parseRing(text)).toThrow(KvError);
    expect(() => parseRing(text)).toThrow(message);
  });

  it("is refused when it is no JSON, or half of one", () => {
    expect(() => parseRing("")).toThrow("Cannot read the ring document: it is not JSON.");
    expect(() => parseRing(serializeRing(ring).slice(0, 100))).toThrow(KvError);
    expect(() => parseRing('{"__proto__": {"epoch": 1}}')).toThrow('unknown key "__proto__"');
  });

  it("never gets further than a KvError, whatever in it was changed", () => {
    const fields = fc.constantFrom(...Object.keys(ring), "members.0.name", "members.1.zone", "homes.0", "homes.1.2");
    fc.assert(
      fc.property(fields, fc.jsonValue(), (path, value) => {
        const document = JSON.parse(serializeRing(ring));
        const keys = path.split(".");
        let at = document;
        for (const key of keys.slice(0, -1)) at = at[key];
        at[keys.at(-1) ?? ""] = value;
        try {
          expect(serializeRing(parseRing(JSON.stringify(document)))).toBe(JSON.stringify(document));
        } catch (error) {
          expect(error).toBeInstanceOf(KvError);
        }
      }),
      { seed: 5, numRuns: 500 },
    );
  });
});
