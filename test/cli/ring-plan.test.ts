/** `annulus ring plan`, as other programs use it: files in, JSON on standard output. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, jest } from "@jest/globals";
import { ringCommand } from "../../node/cli/ring.ts";
import { ringView } from "../../node/core/ring/document.ts";
import { firstRing, parseFirstMembers } from "../../node/core/ring/first-members.ts";

const folder = mkdtempSync(join(tmpdir(), "annulus-ring-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** What the command prints. */
async function plan(...args: string[]): Promise<string> {
  let printed = "";
  const write = jest.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  try {
    await ringCommand().parseAsync(["plan", ...args], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return printed;
}

const member = (id: string, zone: string, weight = 100) => ({ id, zone, weight });
const FOUR = [member("d", "a"), member("a", "a"), member("b", "b"), member("c", "c")];

describe("ring plan --json", () => {
  it("prints a first ring of epoch 1, exactly as documented", async () => {
    const ring = JSON.parse(await plan("--members", file("m.json", { n: 3, partitions: 16, members: FOUR }), "--json"));
    expect(Object.keys(ring)).toEqual(["epoch", "n", "partitions", "members", "preferenceLists"]);
    expect(ring).toMatchObject({ epoch: 1, n: 3, partitions: 16 });
    expect(ring.members).toEqual([member("a", "a"), member("b", "b"), member("c", "c"), member("d", "a")]);
    expect(ring.preferenceLists).toHaveLength(16);
    for (const ids of ring.preferenceLists) {
      expect(ids.map((id: string) => (id === "d" ? "a" : id)).toSorted()).toEqual(["a", "b", "c"]);
    }
  });

  it("plans the next epoch from an earlier output, moving only what the new member gains", async () => {
    const first = await plan("--members", file("m.json", { n: 3, partitions: 16, members: FOUR }), "--json");
    const five = file("m5.json", { n: 3, partitions: 16, members: [...FOUR, member("e", "b")] });
    const from = JSON.parse(first);
    const ring = JSON.parse(await plan("--members", five, "--from", file("r.json", first), "--json"));
    expect(ring.epoch).toBe(2);
    const moves = ring.preferenceLists.flatMap((ids: string[], partition: number) =>
      ids.filter((id) => !from.preferenceLists[partition].includes(id)),
    );
    expect(moves).toEqual(new Array(8).fill("e"));
  });

  it("plans from what a node shows of its ring", async () => {
    const members = parseFirstMembers("a=h:1@a,b=h:2@b,c=h:3@c,d=h:4@a");
    const document = firstRing({
      members,
      partitions: 16,
      replicationFactor: 3,
      readQuorum: 2,
      writeQuorum: 2,
      mode: "sloppy",
    });
    const view = ringView({ ...document, epoch: 7 });
    const same = file("m.json", { n: 3, partitions: 16, members: FOUR });
    const ring = JSON.parse(await plan("--members", same, "--from", file("view.json", view), "--json"));
    expect(ring.epoch).toBe(8);
    expect(ring.preferenceLists).toEqual(view.preferenceLists);
  });
});

describe("ring plan for people", () => {
  it("shows each member's share, the movement, and what could not be had", async () => {
    const first = await plan("--members", file("m.json", { n: 3, partitions: 16, members: FOUR }), "--json");
    const three = file("m3.json", { n: 3, partitions: 16, members: FOUR.slice(1) });
    const text = await plan("--members", three, "--from", file("r.json", first));
    expect(text).toContain("epoch 2, 16 partitions, N = 3");
    expect(text).toContain("8 of 48 replicas move, in 8 partitions; at least 8 must");
    expect(text).toMatch(/^b +b +100 +16 +16\.00 +33\.33 % +33\.33 % +\d+$/m);
    const oneZone = file("m1.json", { n: 3, partitions: 16, members: FOUR.map((each) => ({ ...each, zone: "a" })) });
    expect(await plan("--members", oneZone)).toContain("note: There is 1 zone for N = 3");
  });
});

describe("ring plan refuses, with exit code 1 and a message that says why,", () => {
  const good = { n: 3, partitions: 16, members: FOUR };
  it.each<[string, unknown, RegExp]>([
    ["a file that is no JSON", "{", /Cannot read .*bad\.json: /],
    ["a misspelt key", { ...good, partition: 16 }, /Cannot use .*bad\.json:[\s\S]*"partition"/],
    ["a member without an id", { ...good, members: [{ zone: "a" }] }, /members\[0\]\.id/],
    ["a negative weight", { ...good, members: [member("a", "a", -1)] }, /members\[0\]\.weight/],
    ["too few members", { ...good, members: FOUR.slice(2) }, /N = 3 needs as many members .* found 2/],
    ["partitions that are no power of two", { ...good, partitions: 24 }, /power of two.*24/],
  ])("%s", async (_, content, message) => {
    const refusal = expect(plan("--members", file("bad.json", content), "--json")).rejects;
    await refusal.toMatchObject({ exitCode: 1, message: expect.stringMatching(message) });
  });

  it.each<[string, object, RegExp]>([
    [
      "other partitions than the ring in force has",
      { epoch: 1, partitions: 1, preferenceLists: [["a", "b", "c"]] },
      /1 before, 16/,
    ],
    [
      "a ring that lacks lists",
      { epoch: 1, partitions: 16, preferenceLists: [] },
      /16 partitions and 0 preference lists/,
    ],
    [
      "a ring with a member twice",
      { epoch: 1, partitions: 1, preferenceLists: [["a", "b", "a"]] },
      /names a member twice/,
    ],
    ["a ring without an epoch", { partitions: 16, preferenceLists: [] }, /epoch/],
  ])("%s", async (_, from, message) => {
    const args = ["--members", file("m.json", good), "--from", file("bad.json", from), "--json"];
    await expect(plan(...args)).rejects.toMatchObject({ exitCode: 1, message: expect.stringMatching(message) });
  });
});
