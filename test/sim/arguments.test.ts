/** What may be typed behind `npm run sim` and `npm run sim:mutants`, and what is refused before anything runs. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { mutantArguments, simArguments, UsageError } from "./arguments.ts";

const NAMES = ["no-sync", "quorum-short"];

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof UsageError, `${error}`);
    return error.message;
  }
  return "not refused";
}

describe("what is typed behind npm run sim", () => {
  it("is a hundred seeds from the first one when it is nothing", () => {
    const { seeds, from, seed, jobs, least } = simArguments([]) ?? {};
    assert.deepEqual([seeds, from, seed, jobs, least], [100, 1, undefined, 1, 0]);
  });

  it("names seeds, the day's or those from a number, a time, and what of one seed is to be run", () => {
    const day = simArguments(["--from", "date", "--seeds", "100000", "--seconds", "300", "--least", "20", "--churn"]);
    assert.deepEqual([day?.from, day?.seeds, day?.seconds, day?.least, day?.churn], ["date", 100_000, 300, 20, true]);
    const one = simArguments(["--seed", "147", "--strikes", "3,5", "--fault-ms", "900", "--trace"]);
    assert.deepEqual([one?.seed, one?.strikes, one?.faultMs, one?.trace], [147, [3, 5], 900, true]);
    assert.deepEqual(simArguments(["--seed", "1", "--strikes", ""])?.strikes, []);
  });

  it.each([
    ["--seed", "abc"],
    ["--seed", "1.5"],
    ["--seed", ""],
    ["--seeds", "0"],
    ["--from", "tomorrow"],
    ["--jobs", "0"],
    ["--strikes", "1,x"],
    ["--fault-ms", "long"],
    ["--seconds", "1e3"],
    ["--least", "1x"],
  ])("is refused when a number is none, or runs nothing: %s %s", (option, value) => {
    const told = refusal(() => simArguments([option, value]));
    assert.ok(told.startsWith(`${option}: expected a whole number from `), told);
  });

  it("is refused when it is of one run and none is named", () => {
    for (const typed of [["--trace"], ["--shrink"], ["--strikes", "1"], ["--fault-ms", "100"]])
      assert.match(
        refusal(() => simArguments(typed)),
        /is of one run: name its seed with --seed N/,
      );
    simArguments(["--trace", "--seed", "7"]);
  });

  it("is refused when there is no such option", () => {
    assert.match(
      refusal(() => simArguments(["--sed", "3"])),
      /--sed/,
    );
    assert.match(
      refusal(() => simArguments(["147"])),
      /147/,
    );
    assert.match(
      refusal(() => simArguments(["--seed"])),
      /--seed/,
    );
  });

  it("may ask for the usage", () => {
    assert.equal(simArguments(["--help"]), undefined);
    assert.equal(mutantArguments(["--help"], NAMES), undefined);
  });
});

describe("what is typed behind npm run sim:mutants", () => {
  it("is all of them when it is nothing, else those that are named", () => {
    assert.equal(mutantArguments([], NAMES)?.only, undefined);
    assert.deepEqual([mutantArguments([], NAMES)?.trace, mutantArguments(["--trace"], NAMES)?.trace], [false, true]);
    assert.deepEqual(mutantArguments(["--only", "no-sync,quorum-short"], NAMES)?.only, NAMES);
  });

  it("is refused when there is no such mutant, or a number is none", () => {
    assert.match(
      refusal(() => mutantArguments(["--only", "nosuch"], NAMES)),
      /no mutant nosuch/,
    );
    assert.match(
      refusal(() => mutantArguments(["--seeds", "0"], NAMES)),
      /^--seeds: expected a whole number from 1 up/,
    );
  });
});
