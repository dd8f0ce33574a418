/** What is left of an identity on LevelDB where a part of the log is lost, and another part later. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { createLevelEngine, type LevelEngine } from "../../node/adapters/level/engine.ts";
import { VOTES_LOST_KEY } from "../../node/core/identity.ts";
import { type Identity, openIdentity } from "../../node/services/identity.ts";
import { createSeededRandom } from "../sim/random.ts";
import { damageLogHead } from "./damaged-store.ts";
import { put } from "./engine.ts";
import { createRecordedTelemetry } from "./recorded-telemetry.ts";

const OPENER = { clusterId: "c1", member: "kv-0", bootId: "boot-1" };
const SIZES = { cacheBytes: 1_048_576, writeBufferBytes: 4 * 1_048_576, reserveBytes: 0 };

describe("the identity of a LevelDB directory", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "annulus-identity-"));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  /** Starts a node that does a bit of work and is killed: what it had written before is in tables from its start on. */
  async function run<T>(work: (identity: Identity, engine: LevelEngine) => Promise<T>): Promise<T> {
    const telemetry = createRecordedTelemetry();
    const engine = await createLevelEngine({ telemetry }, { directory, ...SIZES });
    const random = createSeededRandom(1).stream("identity");
    const done = await work(await openIdentity({ engine, random, telemetry }, OPENER), engine);
    await engine.batch([put("k", "v".repeat(1_000))], { sync: true });
    await engine.close();
    return done;
  }

  it("gives out no dot twice where the log that its last loss was made good in is damaged as well", async () => {
    const stamp = () => run(async (identity) => identity.nextDot());
    const dots = [await stamp(), await stamp()];
    for (let loss = 0; loss < 3; loss++) {
      await damageLogHead(directory);
      dots.push(await stamp());
    }
    const names = dots.map(({ incarnation, counter }) => `${incarnation}/${counter}`);
    assert.deepEqual([...new Set(names)], names);
    const mark = await run((_identity, engine) => engine.get(VOTES_LOST_KEY));
    assert.notEqual(mark, undefined, "no vote was given since");
  });

  it("has its ring, and what goes with it, whatever part of the log is lost", async () => {
    await run(() => Promise.resolve());
    await run((identity) => identity.saveRing("the first"));
    await run((identity) => identity.saveRing("the second", { isRebuilding: true }));
    await damageLogHead(directory);
    await run(async (identity) => {
      assert.notEqual(identity.incarnation(), 1, "a part is lost");
      assert.equal(await identity.loadRing(), "the second");
      assert.deepEqual([identity.isRebuilding(), identity.isSuccessor()], [true, true]);
    });
  });
});
