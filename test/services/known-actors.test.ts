/** Which directory each member first came with: remembered also where the disk did not take it at once. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { createKnownActors } from "../../node/services/known-actors.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom } from "../sim/random.ts";

const FIRST = { name: "n2", actor: "a".repeat(32) };
const SUCCESSOR = { name: "n2", actor: "b".repeat(32) };
const OTHER = { name: "n3", actor: "c".repeat(32) };

const peer = (identity: { readonly name: string; readonly actor: string }) => ({ incarnation: 1, ...identity });

function createWorld() {
  const [time, telemetry] = [createInstantTime(), createRecordedTelemetry()];
  const disk = createSimulatedDisk({ time, random: createSeededRandom(1) });
  const pass = (ms: number) => new Promise<void>((resolve) => void time.after(ms, resolve));
  const open = async () => {
    const actors = createKnownActors({ engine: disk.open(), time, telemetry });
    await actors.open();
    return actors;
  };
  return { disk, pass, open };
}

describe("the directories that members first came with", () => {
  it("are remembered while the disk takes nothing, so that a successor is not taken for the first", async () => {
    const { disk, pass, open } = createWorld();
    const actors = await open();
    disk.failNextWrite();
    actors.note(peer(FIRST));
    await pass(100);
    actors.note(peer(SUCCESSOR));
    assert(actors.isAnother(peer(SUCCESSOR)));
    assert(!actors.isAnother(peer(FIRST)));
  });

  it("are on the disk once that takes them, whoever is met then", async () => {
    const { disk, pass, open } = createWorld();
    const actors = await open();
    disk.failNextWrite();
    actors.note(peer(FIRST));
    await pass(2_000);
    actors.note(peer(FIRST));
    await pass(100);
    disk.crash("process");
    const again = await open();
    assert(again.isAnother(peer(SUCCESSOR)));
  });

  it("are all on the disk where several are met at once", async () => {
    const { disk, pass, open } = createWorld();
    const actors = await open();
    for (const identity of [FIRST, OTHER]) actors.note(peer(identity));
    await pass(100);
    disk.crash("process");
    const again = await open();
    assert(again.isAnother(peer(SUCCESSOR)) && again.isAnother(peer({ ...OTHER, actor: SUCCESSOR.actor })));
  });
});
