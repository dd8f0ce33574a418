/**
 * One node of three on a disk of its own, an ext4 file system on a loop device, that fills up under load and is emptied
 * again: the others go on, what needs all three is refused with 507, and nothing that was acknowledged is lost.
 */
import assert from "node:assert/strict";
import { afterEach, describe, expect, it } from "@jest/globals";
import { sleep } from "../bench/processes.ts";
import { ask, problemOf } from "./http.ts";
import { World } from "./world.ts";

const MEBIBYTE = 1_048_576;
const DISK_MEBIBYTES = 96;
const RESERVE_BYTES = 24 * MEBIBYTE;
const BEFORE_MS = 1_500;
const FULL_MS = 6_000;
const AFTER_MS = 2_000;
/** After space came back: the engine may have to open its store anew, which it tries once a second. */
const TAKEN_AGAIN_WITHIN_MS = 5_000;
const POLL_MS = 50;
/** The node with the small disk. */
const FULL = 1;

let world: World | undefined;
afterEach(async () => {
  await world?.remove();
  world = undefined;
}, 60_000);

/** Repeats a write at w=3 until it is answered so; gives the last answer and how long that took. */
async function writeUntil(
  { cluster, node }: World,
  through: ReturnType<typeof node>,
  status: number,
  withinMs: number,
) {
  assert(cluster.nodes.includes(through), "it is written through a node of the cluster");
  const startedMs = performance.now();
  for (let count = 0; ; count++) {
    // Of some size, so that a disk without any reserve meets its end.
    const answer = await ask(through, "PUT", `probe-${count % 8}?w=3`, { body: "x".repeat(8_000) });
    const tookMs = performance.now() - startedMs;
    if (answer.status === status) return { answer, tookMs };
    assert(tookMs < withinMs, `a write at w=3 is answered ${status}: ${answer.status} ${answer.body}`);
    await sleep(POLL_MS);
  }
}

describe("a disk that fills up under one of three nodes, under load", () => {
  const cases: readonly [string, number, number][] = [
    ["at the watermark", RESERVE_BYTES, RESERVE_BYTES],
    ["to its very end", 0, 0],
  ];
  it.each(cases)(
    "stops no others, and its own node no longer than it is full: %s",
    async (how, reserveBytes, leftBytes) => {
      world = await World.create({
        zones: ["a", "b", "c"],
        mode: "strict",
        disk: { node: FULL, mebibytes: DISK_MEBIBYTES },
        settings: {
          ANNULUS_WRITE_BUFFER_BYTES: String(MEBIBYTE),
          ANNULUS_DISK_RESERVE_BYTES: String(reserveBytes),
        },
      });
      const { disk } = world;
      assert(disk !== undefined, "it was asked for");
      const clients = world.load();
      await sleep(BEFORE_MS);
      await disk.fillExcept(leftBytes);
      const refused = await writeUntil(world, world.node(0), 507, FULL_MS);
      expect(problemOf(refused.answer)).toMatchObject({ status: 507, required: 3 });
      const before = clients.counters.acknowledged;
      await sleep(FULL_MS);
      // Through whichever node: the full one goes on to coordinate and to read.
      expect(clients.counters.acknowledged - before).toBeGreaterThan(100);
      for (const node of world.cluster.nodes) {
        expect((await ask(node, "PUT", "quorum?w=2", { body: node.name })).status).toBe(204);
        expect((await ask(node, "GET", "quorum?r=2")).body.toString()).toBe(node.name);
      }
      await disk.empty();
      const taken = await writeUntil(world, world.node(0), 204, TAKEN_AGAIN_WITHIN_MS);
      await sleep(AFTER_MS);
      clients.checkSoFar();
      await world.rest(`a disk full ${how}, one of three, strict`);
      process.stdout.write(`  taken again ${taken.tookMs.toFixed(0)} ms after there was space\n`);
      const { readsFailed, writesRefused, writesUnknown } = clients.counters;
      expect({ readsFailed, writesRefused, writesUnknown }).toMatchObject({ readsFailed: 0, writesRefused: 0 });
    },
  );
});
