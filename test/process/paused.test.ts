/**
 * SIGSTOP under load: a process that stands still keeps its connections, says nothing, and wakes up with requests in its
 * sockets that nobody waits for any more. `PAUSE_MS` (20,000) is how long the long pause lasts.
 */
import { afterEach, describe, expect, it } from "@jest/globals";
import { EVENTS_MAX } from "../../node/core/version/retention.ts";
import type { ClusterNode } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { Caller } from "./calls.ts";
import { viewOf } from "./rest.ts";
import { World } from "./world.ts";

const PAUSE_MS = Number(process.env.PAUSE_MS ?? 20_000);
/** How long a client waits before it turns to the next node, and how long a process that woke up is given. */
const CLIENT_PATIENCE_MS = 1_500;
const AWAKE_MS = 1_500;
const SHORT_PAUSES_MS = [500, 1_500, 4_000];

let world: World | undefined;
afterEach(async () => {
  await world?.remove();
  world = undefined;
}, 60_000);

async function pause(of: World, index: number, forMs: number): Promise<void> {
  of.node(index).server?.pause();
  await sleep(forMs);
  of.node(index).server?.resume();
}

/** A key of which this node is the first home, and so stamps the blind writes. */
async function keyStampedAt({ host, adminPort, name }: ClusterNode): Promise<string> {
  for (let i = 0; ; i++) {
    const response = await fetch(`http://${host}:${adminPort}/v1/ring/key-${i}`);
    const { homes } = (await response.json()) as { readonly homes: readonly { readonly name: string }[] };
    if (homes[0]?.name === name) return `key-${i}`;
  }
}

describe("a write that lies in the socket of a process that stands still", () => {
  it("does not replace, when that wakes up, what was acknowledged since", async () => {
    world = await World.create({ zones: ["a", "b", "c"], mode: "strict" });
    const [stopped, other] = [world.node(0), world.node(1)];
    const key = await keyStampedAt(other);
    const caller = new Caller(CLIENT_PATIENCE_MS);
    const put = (node: ClusterNode, name: string, body: string) =>
      caller.call(node, { method: "PUT", path: key, headers: { "Idempotency-Key": name }, body });
    stopped.server?.pause();
    expect(await put(stopped, "first", "first")).toMatchObject({ kind: "silent", isSent: true });
    expect(await put(other, "first", "first")).toMatchObject({ status: 204 });
    // More than the pair remembers the names of, so that nobody can know the first one again.
    const laterCount = EVENTS_MAX.client + 8;
    for (let i = 1; i <= laterCount; i++)
      expect(await put(other, `later ${i}`, `later ${i}`)).toMatchObject({ status: 204 });
    stopped.server?.resume();
    await sleep(AWAKE_MS);
    for (const { host, dataPort } of world.cluster.nodes) {
      const read = await caller.call({ host, dataPort }, { method: "GET", path: `${key}?r=3` });
      expect(read.kind === "answered" ? `${read.status} ${read.body}` : read.why).toBe(`200 later ${laterCount}`);
    }
    // It takes writes again.
    expect(await put(stopped, "last", "last")).toMatchObject({ status: 204 });
    caller.close();
  });
});

describe("SIGSTOP and SIGCONT under load", () => {
  it("loses nothing on three nodes, strict, paused one after the other", async () => {
    world = await World.create({ zones: ["a", "b", "c"], mode: "strict" });
    const clients = world.load();
    await sleep(1_000);
    for (const [index, forMs] of SHORT_PAUSES_MS.entries()) {
      await pause(world, index, forMs);
      await sleep(1_500);
    }
    clients.checkSoFar();
    await world.rest("SIGSTOP of each of three for 0.5 to 4 s, strict");
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    expect(clients.counters.retries).toBeGreaterThan(0);
  });

  it(`loses nothing on five nodes, sloppy, one of which stands still for ${PAUSE_MS} ms`, async () => {
    world = await World.create({ zones: ["a", "a", "b", "b", "c"], mode: "sloppy" });
    const clients = world.load();
    await sleep(2_000);
    const paused = pause(world, 4, PAUSE_MS);
    await sleep(PAUSE_MS - 2_000);
    for (const index of [0, 1, 2, 3]) {
      const { members } = await viewOf(world.node(index));
      expect(members.find(({ name }) => name === world?.node(4).name)?.health).toBe("down");
    }
    await paused;
    await sleep(3_000);
    clients.checkSoFar();
    await world.rest(`SIGSTOP of one of five for ${PAUSE_MS} ms, sloppy`);
    expect(clients.counters.acknowledged).toBeGreaterThan(500);
    expect(clients.counters.retries).toBeGreaterThan(0);
  });
});
