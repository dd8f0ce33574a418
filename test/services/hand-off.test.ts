/** Who keeps a write for the homes that missed it, what counts of it, and what is dropped. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { Tally } from "../../node/core/quorum/tally.ts";
import type { RingMember } from "../../node/core/ring/document.ts";
import type { MergeRequest } from "../../node/messages.ts";
import { HandOffs } from "../../node/services/hand-off.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { bytesOf, recordOf } from "./hints-world.ts";

const member = (name: string, zone: string): RingMember => ({ name, zone, address: "h:1", weight: 1, state: "active" });
const [a, b] = [member("a", "x"), member("b", "y")] as const;
const [d, e] = [member("d", "x"), member("e", "y")] as const;

/** One write with W = 2 that its stamping home has acknowledged; `self` coordinates. Homes are a and b, stand-ins d and e. */
function createWorld(options: { full?: readonly string[]; walk?: readonly RingMember[]; self?: string } = {}) {
  const telemetry = createRecordedTelemetry();
  const tally = new Tally(2, 1);
  tally.ask();
  tally.acked("z");
  const asked: string[] = [];
  const replicas = {
    self: options.self ?? "self",
    merge(to: string, _partition: number, { hint }: MergeRequest) {
      asked.push(`${to} for ${hint?.target}${hint?.counts === true ? ", counts" : ""}`);
      if (options.full?.includes(to) !== true) return Promise.resolve();
      return Promise.reject(new KvError("OVERLOADED", "Cannot keep the hint: the budget is used up."));
    },
  } as unknown as Replicas;
  let isSettled = false;
  const handOffs = new HandOffs(
    { replicas, isUp: () => true, telemetry },
    {
      partition: 1,
      walk: options.walk ?? [d, e],
      homes: [],
      request: { kind: "merge", epoch: 1, key: bytesOf("k"), record: recordOf("v") },
      asked: () => tally.ask(),
      failed: (_home, outcome) => tally.failed(outcome),
      counts: false,
      timeoutMs: 1_000,
      isSettled: () => isSettled,
      kept: (_home, standIn) => tally.hint(standIn.zone),
      changed: () => {},
      broken: (error) => assert.fail(String(error)),
    },
  );
  return {
    telemetry,
    tally,
    asked,
    handOffs,
    settle: () => {
      isSettled = true;
    },
    rest: () => new Promise<void>((resolve) => setImmediate(resolve)),
  };
}

describe("a write that homes missed", () => {
  it("is kept by the stand-in of the home's zone, as surplus while W does not need it, then as a copy that counts", async () => {
    const { handOffs, asked, tally, rest } = createWorld();
    handOffs.add(b);
    await rest();
    assert.deepEqual(asked, ["e for b"]);
    assert.deepEqual([tally.acks, tally.hinted], [1, 0]);
    handOffs.count();
    await rest();
    assert.deepEqual(asked, ["e for b", "e for b, counts"]);
    assert.deepEqual([tally.verdict(), tally.hinted], ["won", 1]);
  });

  it("goes to the next stand-in where the budget of one is used up", async () => {
    const { handOffs, asked, tally, rest } = createWorld({ full: ["d"] });
    handOffs.count();
    handOffs.add(a);
    await rest();
    assert.deepEqual(asked, ["d for a, counts", "e for a, counts"]);
    assert.equal(tally.verdict(), "won");
  });

  it("is refused when W needs a hint and no budget is left: a copy here does not count", async () => {
    const { handOffs, asked, tally, telemetry, rest } = createWorld({ full: ["d", "e"] });
    handOffs.count();
    handOffs.add(a);
    await rest();
    assert.deepEqual(asked, ["d for a, counts", "e for a, counts", "self for a"]);
    assert.deepEqual([tally.verdict(), tally.acks, tally.hinted], ["lost", 1, 0]);
    assert.equal(telemetry.counted("annulus.hints.dropped"), 0, "this node has kept a surplus copy");
  });

  it("is dropped and counted when W does not need the hint and no budget is left anywhere", async () => {
    const { handOffs, tally, telemetry, rest } = createWorld({ full: ["d", "e", "self"] });
    tally.ask(); // The other home has not replied yet.
    handOffs.add(a);
    await rest();
    assert.equal(telemetry.counted("annulus.hints.dropped"), 1);
    assert.equal(tally.verdict(), "pending", "and says nothing of the write, which waits for its other home");
  });

  it("is kept by this node alone in strict mode and once the client has its answer, and never counts", async () => {
    const strict = createWorld({ walk: [] });
    strict.handOffs.count();
    strict.handOffs.add(a);
    strict.handOffs.add(b);
    await strict.rest();
    assert.deepEqual(strict.asked, ["self for a", "self for b"]);
    assert.deepEqual([strict.tally.acks, strict.tally.hinted], [1, 0]);
    const late = createWorld();
    late.settle();
    late.handOffs.add(a);
    await late.rest();
    assert.deepEqual(late.asked, ["self for a"]);
  });

  it("is no hint of this node for itself", async () => {
    const { handOffs, asked, telemetry, rest } = createWorld({ walk: [], self: "a" });
    handOffs.add(a);
    await rest();
    assert.deepEqual([asked, telemetry.counted("annulus.hints.dropped")], [[], 1]);
  });

  it("is not put on one disk twice for two homes", async () => {
    const { handOffs, asked, rest } = createWorld();
    handOffs.count();
    handOffs.add(a);
    handOffs.add(b);
    await rest();
    assert.deepEqual(asked, ["d for a, counts", "e for b, counts"]);
  });
});
