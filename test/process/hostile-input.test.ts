/** Malformed, oversized, endless and slow input on both listeners of real nodes, while an honest load goes on. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { ClosedLoop } from "../bench/closed-loop.ts";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { type KeySpace, kvExchange } from "../bench/exchanges.ts";
import { seededUniform, uniformKeys } from "../bench/keys.ts";
import { endlessMix, newKeySpace, sweep } from "../bench/measure.ts";
import { sleep } from "../bench/processes.ts";
import { type Asked, ask, problemOf, sendRaw } from "./http.ts";

const SLOW_CONNECTIONS = 50;

let cluster: LocalCluster;
let node: ClusterNode;
let space: KeySpace;
let load: ClosedLoop;

beforeAll(async () => {
  cluster = await LocalCluster.start();
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error("three nodes were asked for");
  node = first;
  space = newKeySpace(300, 200);
  await sweep(cluster.dataPorts, space, "write");
  const uniform = seededUniform(11);
  const source = endlessMix(0.5, uniformKeys(200, uniform), uniform);
  load = new ClosedLoop({
    ports: cluster.dataPorts,
    connections: 6,
    exchange: () => kvExchange(space, source),
    reconnect: true,
  });
}, 60_000);

afterAll(async () => {
  await load.stop();
  expect(await cluster.stop()).toEqual([]);
}, 60_000);

/** How long the honest load may take to show that it goes on. */
const GOES_ON_WITHIN_MS = 5_000;

/** Whatever was sent: every node lives, and the honest load goes on and had no error meanwhile. */
async function expectNothingElseBroke(): Promise<void> {
  expect(cluster.pids).toHaveLength(3);
  let operations = 0;
  for (const untilMs = Date.now() + GOES_ON_WITHIN_MS; operations === 0 && Date.now() < untilMs; ) {
    await sleep(5);
    const figures = load.takeFigures();
    expect({ errors: figures.errors, complaints: figures.complaints }).toEqual({ errors: 0, complaints: [] });
    operations += figures.operations;
  }
  expect(operations).toBeGreaterThan(0);
}

describe("a malformed request to the data port", () => {
  const longKey = "k".repeat(1025);
  const cases: readonly [string, string, string, Asked, number][] = [
    ["a token that is not one", "PUT", "key", { headers: { "KV-Context": "garbage!" }, body: "x" }, 400],
    ["a token with a changed byte", "PUT", "key", { headers: { "KV-Context": "AQAAAAAAAAAA" }, body: "x" }, 400],
    ["a key of 1,025 bytes", "PUT", longKey, { body: "x" }, 400],
    ["a key of 1,025 bytes, read", "GET", longKey, {}, 400],
    ["no key", "GET", "", {}, 400],
    ["broken percent-encoding", "GET", "%zz", {}, 400],
    ["r=0", "GET", "key?r=0", {}, 400],
    ["r over N", "GET", "key?r=4", {}, 400],
    ["w that is no number", "PUT", "key?w=two", { body: "x" }, 400],
    ["an unknown consistency", "GET", "key?consistency=most", {}, 400],
    ["an unknown mode", "GET", "key?mode=careless", {}, 400],
    ["a negative timeout", "GET", "key?timeout=-1", {}, 400],
    ["more zones than there are", "PUT", "key?zones=9", { body: "x" }, 400],
    ["an unknown blind", "PUT", "key?blind=maybe", { body: "x" }, 400],
    ["a ttl that is no number", "PUT", "key?ttl=soon", { body: "x" }, 400],
    [
      "an idempotency key of 65 bytes",
      "PUT",
      "key",
      { headers: { "Idempotency-Key": "i".repeat(65) }, body: "x" },
      400,
    ],
    ["a method that there is not", "POST", "key", { body: "x" }, 405],
    ["a pair one byte too large", "PUT", "key", { body: "x".repeat(10_240 - 3 + 1) }, 413],
  ];
  for (const [what, method, path, asked, status] of cases) {
    it(`is refused with ${status}: ${what}`, async () => {
      const problem = problemOf(await ask(node, method, path, asked));
      expect(problem).toMatchObject({ status, title: expect.any(String), detail: expect.any(String) });
      expect(problem.type).not.toBe("");
      await expectNothingElseBroke();
    });
  }

  it("is refused with 400: a token of another key", async () => {
    const written = await ask(node, "PUT", "mine", { body: "x" });
    const headers = { "KV-Context": written.headers.get("kv-context") ?? "" };
    expect(problemOf(await ask(node, "PUT", "yours", { headers, body: "x" })).status).toBe(400);
    await expectNothingElseBroke();
  });

  it("takes a pair of exactly the limit", async () => {
    expect((await ask(node, "PUT", "key", { body: "x".repeat(10_240 - 3) })).status).toBe(204);
  });

  it("is refused with 413 before its end: a body without end", async () => {
    const chunk = `2000\r\n${"x".repeat(0x2000)}\r\n`;
    const head = "PUT /v1/kv/endless HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    const { received, closed } = await sendRaw(node.dataPort, [head, ...Array(2000).fill(chunk)], { waitMs: 15_000 });
    expect(received).toMatch(/^HTTP\/1\.1 413 /);
    expect(closed).toBe(true);
    expect((await ask(node, "GET", "endless")).status).toBe(404);
    await expectNothingElseBroke();
  });

  it("leaves nothing of a body that never came whole", async () => {
    const head = "PUT /v1/kv/torn HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this";
    await sendRaw(node.dataPort, [head], { waitMs: 300 });
    expect((await ask(node, "GET", "torn")).status).toBe(404);
    await expectNothingElseBroke();
  });

  it("is answered and cut off: bytes that are not HTTP", async () => {
    const { received, closed } = await sendRaw(node.dataPort, [randomBytes(4096)], { waitMs: 5000 });
    expect({ closed, status: received.slice(0, 12) }).toEqual({ closed: true, status: "HTTP/1.1 400" });
    await expectNothingElseBroke();
  });

  it("does not hold others up: many connections that send a byte now and then, or nothing", async () => {
    const pieces = [..."GET /v1/kv/slow HTTP/1.1\r\nHo"];
    const slow = Array.from({ length: SLOW_CONNECTIONS }, (_, index) =>
      sendRaw(node.dataPort, index % 2 === 0 ? pieces : [], { waitMs: 1500, pauseMs: 40 }),
    );
    await Promise.all(slow);
    await expectNothingElseBroke();
  });
});

describe("broken frames on the port between nodes", () => {
  const cases: readonly [string, readonly (string | Uint8Array)[]][] = [
    ["random bytes", [randomBytes(65_536)]],
    ["an HTTP request", ["GET / HTTP/1.1\r\nHost: x\r\n\r\n"]],
    ["a length of 4 GiB", [Buffer.concat([Buffer.alloc(4, 0xff), randomBytes(100)])]],
    ["a length of nothing", [Buffer.alloc(64)]],
    ["a frame that ends early", [Buffer.from([0, 0, 4, 0, 1, 2, 3])]],
    ["one byte after the other", Array.from(randomBytes(200), (byte) => Uint8Array.of(byte))],
    ["no byte at all", []],
  ];
  for (const [what, pieces] of cases) {
    it(`harm nobody: ${what}`, async () => {
      await Promise.all(cluster.nodes.map(({ peerPort }) => sendRaw(peerPort, pieces, { waitMs: 1000 })));
      await expectNothingElseBroke();
    });
  }
});

/** Repeatable "random" bytes. */
function randomBytes(count: number): Buffer {
  const uniform = seededUniform(count);
  return Buffer.from(Array.from({ length: count }, () => Math.floor(uniform() * 256)));
}
