/** From the setting ANNULUS_MEMBERS to ring 1. */
import { describe, expect, it } from "@jest/globals";
import { KvError } from "../../../node/core/errors.ts";
import { serializeRing } from "../../../node/core/ring/document.ts";
import { firstRing, ignoredSettings, parseFirstMembers } from "../../../node/core/ring/first-members.ts";
import { parseRing } from "../../../node/core/ring/parse-document.ts";

const FIGURES = { partitions: 64, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "sloppy" } as const;

describe("the setting of first members", () => {
  it("names each with its address, zone and weight, the last two if need be", () => {
    expect(parseFirstMembers("kv-1=10.0.0.2:7402@b*250, kv-0=kv-0.peers:7402,kv-2=[::1]:7402@c,kv-3=h:1*50")).toEqual([
      { name: "kv-0", address: "kv-0.peers:7402", zone: "default", weight: 100, state: "active" },
      { name: "kv-1", address: "10.0.0.2:7402", zone: "b", weight: 250, state: "active" },
      { name: "kv-2", address: "[::1]:7402", zone: "c", weight: 100, state: "active" },
      { name: "kv-3", address: "h:1", zone: "default", weight: 50, state: "active" },
    ]);
  });

  it.each([
    ["", /found ""/],
    ["a=h:1,", /found ""/],
    ["a", /found "a"/],
    ["a=", /found "a="/],
    ["a=h:1@", /found "a=h:1@"/],
    ["a=h:1*-5", /found "a=h:1\*-5"/],
    ["a=h:1*100@z", /found "a=h:1\*100@z"/],
    ["a=host", /in "a=host": .*address/],
    ["a=h:99999", /in "a=h:99999": .*port from 1 to 65535, not 99999/],
    ["A=h:1", /in "A=h:1": .*name/],
    ["a=h:1@z z", /in "a=h:1@z z": .*zone/],
    ["a=h:1*10001", /in "a=h:1\*10001": .*weight is a whole number from 0 to 10000/],
    ["a=h:1,b=h:2,a=h:3", /a is listed twice/],
  ])("is refused with the part that is wrong: %j", (text, message) => {
    expect(() => parseFirstMembers(text)).toThrow(message);
    expect(() => parseFirstMembers(text)).toThrow(KvError);
  });
});

describe("the first ring", () => {
  it("is the same document whatever the order of the members", () => {
    const parts = ["a=h:1@x", "b=h:2@y*200", "c=h:3@z", "d=h:4@x", "e=h:5@y"];
    const one = firstRing({ ...FIGURES, members: parseFirstMembers(parts.join(",")) });
    const other = firstRing({ ...FIGURES, members: parseFirstMembers(parts.join(",")).toReversed() });
    expect(serializeRing(other)).toBe(serializeRing(one));
    expect(serializeRing(firstRing({ ...FIGURES, members: parseFirstMembers(parts.toReversed().join(",")) }))).toBe(
      serializeRing(one),
    );
  });

  it("is a valid document of epoch 1", () => {
    const ring = firstRing({ ...FIGURES, members: parseFirstMembers("a=h:1@x,b=h:2@y,c=h:3@z") });
    expect(ring.epoch).toBe(1);
    expect(parseRing(serializeRing(ring))).toEqual(ring);
  });

  it("never changes for given members: nodes of two releases make the same one", () => {
    const ring = firstRing({
      ...FIGURES,
      partitions: 8,
      members: parseFirstMembers("a=h:1@x,b=h:2@y,c=h:3@z,d=h:4@x*300"),
    });
    expect(ring.homes).toEqual([
      [2, 3, 1],
      [3, 1, 2],
      [1, 2, 0],
      [3, 1, 2],
      [2, 3, 1],
      [3, 1, 2],
      [3, 1, 2],
      [0, 1, 2],
    ]);
  });

  it.each([
    ["members for N", { ...FIGURES, members: parseFirstMembers("a=h:1,b=h:2") }, /needs as many members .* found 2/],
    ["R within N", { ...FIGURES, readQuorum: 4, members: parseFirstMembers("a=h:1,b=h:2,c=h:3") }, /R .* N = 3, not 4/],
    ["a whole W", { ...FIGURES, writeQuorum: 0, members: parseFirstMembers("a=h:1,b=h:2,c=h:3") }, /W .* N = 3, not 0/],
  ])("needs %s", (_, first, message) => {
    expect(() => firstRing(first)).toThrow(message);
    expect(() => firstRing(first)).toThrow(KvError);
  });
});

describe("settings that the ring in force does not go by", () => {
  const ringOf = (members: string) => firstRing({ members: parseFirstMembers(members), ...FIGURES });
  const configured = ringOf("a=h:1,b=h:2,c=h:3");

  it("are none where they would make the same ring, or are not there", () => {
    expect(ignoredSettings(configured, configured)).toEqual([]);
    expect(ignoredSettings(configured, undefined)).toEqual([]);
  });

  it("are named with both values; other members are expected once a change has been carried out", () => {
    const grown = { ...ringOf("a=h:1,b=h:2,c=h:3,d=h:4"), epoch: 5, readQuorum: 1 };
    const figure = { name: "readQuorum", ring: 1, setting: 2, isExpected: false };
    const members = {
      name: "members",
      ring: "a=h:1@default*100,b=h:2@default*100,c=h:3@default*100,d=h:4@default*100",
      setting: "a=h:1@default*100,b=h:2@default*100,c=h:3@default*100",
    };
    expect(ignoredSettings(grown, configured)).toEqual([figure, { ...members, isExpected: false }]);
    const cancelled = { id: "1", outcome: "cancelled", epoch: 3 } as const;
    expect(ignoredSettings({ ...grown, past: [cancelled] }, configured)[1]?.isExpected).toBe(false);
    const done = { id: "2", outcome: "done", epoch: 5 } as const;
    expect(ignoredSettings({ ...grown, past: [cancelled, done] }, configured)).toEqual([
      figure,
      { ...members, isExpected: true },
    ]);
  });
});
