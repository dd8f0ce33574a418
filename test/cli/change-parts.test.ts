/** What a terminal shows of a change, and what a person is asked: with streams in the terminal's place. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, it } from "@jest/globals";
import { confirm } from "../../node/cli/change/confirm.ts";
import { byteText, type Plan, planText } from "../../node/cli/change/figures.ts";
import { createProgressLine, createRate } from "../../node/cli/change/follow.ts";
import { CommandError } from "../../node/cli/exit.ts";

describe("the question before a change", () => {
  async function ask(answer: string): Promise<{ isYes: boolean; shown: string }> {
    const input = Object.assign(new PassThrough(), { isTTY: true });
    const output = new PassThrough();
    input.end(answer);
    let isYes = true;
    try {
      await confirm("Begin this change?", { input, output });
    } catch (error) {
      assert(error instanceof CommandError);
      assert.deepEqual([error.exitCode, error.message], [1, "nothing has begun"]);
      isYes = false;
    }
    output.end();
    return { isYes, shown: await text(output) };
  }

  it.each(["y\n", "yes\n", " Y \n", "YES\n"])("takes %j for yes", async (answer) => {
    assert.deepEqual(await ask(answer), { isYes: true, shown: "Begin this change? [y/N] " });
  });

  it.each(["\n", "n\n", "yep\n", "no y\n", ""])("takes %j for no", async (answer) => {
    assert.equal((await ask(answer)).isYes, false);
  });

  it("is not asked where nobody is", async () => {
    const terminal = { input: new PassThrough(), output: new PassThrough() };
    await assert.rejects(confirm("Begin?", terminal), { exitCode: 2 });
  });
});

describe("the line that shows how far a change is", () => {
  function show(output: { isTTY: boolean; columns?: number }) {
    let written = "";
    let nowMs = 0;
    const line = createProgressLine({ ...output, write: (part: string) => (written += part) }, () => nowMs);
    return {
      line,
      at(ms: number, words: string, isTurn = false) {
        nowMs = ms;
        line.show(words, isTurn);
      },
      written: () => written,
    };
  }

  it("is written anew on a terminal, no wider than it", () => {
    const { line, at, written } = show({ isTTY: true, columns: 30 });
    at(0, "prepare, 1 of 9");
    at(500, `prepare, 2 of 9, ${"and much more ".repeat(9)}`);
    line.end();
    assert.equal(written(), "\r\x1b[Kprepare, 1 of 9\r\x1b[Kprepare, 2 of 9, and much mor\n");
  });

  it("is a line at each turn elsewhere, else one every 5 s when it has changed", () => {
    const { line, at, written } = show({ isTTY: false });
    at(0, "one", true);
    at(500, "two");
    at(4_000, "switch", true);
    at(4_500, "three");
    at(9_000, "four");
    at(20_000, "four");
    line.end();
    assert.deepEqual(written().split("\n"), ["annulus: one", "annulus: switch", "annulus: four", ""]);
  });

  it("measures how fast bytes come in over the last seconds", () => {
    let nowMs = 0;
    const rate = createRate(() => nowMs);
    assert.equal(rate(0), undefined);
    nowMs = 1_000;
    assert.equal(rate(5_000), 5_000);
    for (nowMs = 2_000; nowMs < 60_000; nowMs += 1_000) rate(5_000 + nowMs);
    assert.equal(rate(5_000 + nowMs), 1_000);
    nowMs += 1_000;
    assert.equal(rate(0), 0);
  });
});

describe("figures of a change", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.0 KiB"],
    [1_572_864, "1.5 MiB"],
    [1_023_999_999, "976.6 MiB"],
    [5e15, "4547.5 TiB"],
  ])("say %d bytes as %s", (bytes, words) => {
    assert.equal(byteText(bytes), words);
  });

  it("name the member that is farthest from its share", () => {
    const member = { zone: "a", weight: 100, replicasBefore: 0, gains: 0, loses: 0 };
    const members: Plan["members"] = [
      { ...member, name: "n1", replicasAfter: 20, replicasIdeal: 20.25 },
      { ...member, name: "n2", replicasAfter: 22, replicasIdeal: 20.5 },
      { ...member, name: "n3", replicasAfter: 0, replicasIdeal: 0 },
    ];
    const shown = planText({ movedPartitions: 0, movedBytes: 0, members, notes: [] });
    assert.match(shown, /copies nothing\. Afterwards n2 is farthest from its share: by 1\.5 replicas \(7\.3 %\)\.\n$/);
    assert.match(shown, /^n3 +a +100 +0 -> 0 +0\.0 % +0\.0 % +0 +0$/m);
  });
});
