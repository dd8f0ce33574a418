/** What becomes of a record of a backup: judged by this node's own copy first, then W homes, then said so. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { firstRing } from "../../node/core/ring/first-members.ts";
import { createRing, type Ring } from "../../node/core/ring/ring.ts";
import type { Horizon } from "../../node/core/version/collect.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import { createRestorer } from "../../node/services/restore.ts";

const ACTORS = ["a", "b", "c", "d"].map((letter) => letter.repeat(32));
const KEY = Buffer.from("cart:42");
const BACKED_UP = Buffer.from("as it was backed up");
const HELD = Buffer.from("what this node holds after the merge");

/** N = 3 on four members: one of them is no home of the key. */
const RING: Ring = createRing(
  firstRing({
    members: ACTORS.map((actor, index) => ({
      ...{ name: `n${index + 1}`, address: `n${index + 1}:7402`, zone: `z${index}` },
      ...{ weight: 100, state: "active" as const, actor },
    })),
    ...{ partitions: 8, replicationFactor: 3, readQuorum: 2, writeQuorum: 2, mode: "strict" as const },
  }),
);
const PARTITION = RING.partitionOf(KEY);
const HOMES = RING.homes(PARTITION).map(({ name }) => name);
const [HOME = "", SECOND = "", THIRD = ""] = HOMES;
const STRANGER = ACTORS.map((_, index) => `n${index + 1}`).find((name) => !HOMES.includes(name)) ?? "";
const HORIZON: Horizon = { vector: [], expiredBeforeMs: 0 };

type World = {
  readonly self?: string;
  readonly horizon?: Horizon;
  readonly vouches?: boolean;
  /** Once something was merged; as before, if nothing is said. */
  readonly vouchesAfter?: boolean;
  /** What this node holds after the merge; nothing: the key stays forgotten. */
  readonly held?: Uint8Array | undefined;
  readonly readFails?: Error;
  readonly away?: readonly string[];
};

async function restoreIn(world: World) {
  const { self = HOME, away = [], readFails, vouches = false } = world;
  let merges = 0;
  const sent: [string, string][] = [];
  const replicas = {
    self,
    async read() {
      if (readFails !== undefined) throw readFails;
      return "held" in world ? world.held : HELD;
    },
    async merge(member: string, partition: number, { record }: { record: Uint8Array }) {
      assert.equal(partition, PARTITION);
      if (away.includes(member)) throw new KvError("PEER_UNREACHABLE", "Cannot reach it.", { outcome: "none" });
      merges += 1;
      sent.push([member, Buffer.from(record).toString()]);
      return "kept" as const;
    },
  } as unknown as Replicas;
  const collection = {
    of: () => world.horizon,
    vouches: () => (merges === 0 ? vouches : (world.vouchesAfter ?? vouches)),
  };
  const restorer = createRestorer({ replicas, ring: () => RING, collection }, { timeoutMs: 1_000 });
  return { outcome: await restorer.restore([{ key: KEY, record: BACKED_UP }]), sent };
}

describe("a record of a backup", () => {
  it("is merged at this home first, and what that one then holds goes to the others", async () => {
    const { outcome, sent } = await restoreIn({});
    assert.deepEqual(outcome, { merged: 1, outdated: 0, unjudged: [] });
    assert.deepEqual(sent[0], [HOME, BACKED_UP.toString()]);
    assert.deepEqual(sent.slice(1).sort(), [SECOND, THIRD].map((name) => [name, HELD.toString()]).sort());
  });

  it("goes nowhere else when this home knows that its key was deleted and forgotten", async () => {
    const { outcome, sent } = await restoreIn({ horizon: HORIZON, vouches: true, held: undefined });
    assert.deepEqual(outcome, { merged: 0, outdated: 1, unjudged: [] });
    assert.deepEqual(sent, [[HOME, BACKED_UP.toString()]]);
  });

  it("is touched by no node that cannot tell deleted from lost: no home, not complete, or one that does not vouch", async () => {
    const incomplete = new KvError("NOT_READY", "Cannot read: not complete.");
    for (const world of [{ self: STRANGER }, { readFails: incomplete }, { horizon: HORIZON, vouches: false }]) {
      assert.deepEqual(await restoreIn(world), { outcome: { merged: 0, outdated: 0, unjudged: [0] }, sent: [] });
    }
  });

  it("goes no further from a home that stopped vouching while it was merged", async () => {
    const { outcome, sent } = await restoreIn({ horizon: HORIZON, vouches: true, vouchesAfter: false });
    assert.deepEqual(outcome, { merged: 0, outdated: 0, unjudged: [0] });
    assert.deepEqual(sent, [[HOME, BACKED_UP.toString()]]);
  });

  it("is restored once W homes hold it, and not with fewer", async () => {
    assert.equal((await restoreIn({ away: [SECOND] })).outcome.merged, 1);
    await assert.rejects(restoreIn({ away: [SECOND, THIRD] }), /1 of 2 home replicas hold a record/);
  });

  it("does not hide a bug", async () => {
    await assert.rejects(restoreIn({ readFails: new TypeError("a bug") }), TypeError);
  });
});
