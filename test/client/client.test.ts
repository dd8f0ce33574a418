/** The client library against the real data port with a model of a store behind it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { AnnulusError, Client, type ClientOptions, json, SiblingsError } from "../../node/client/client.ts";
import { FakeCluster, ringOf } from "./fake-cluster.ts";
import { eventually, failureOf } from "./waiting.ts";

let cluster: FakeCluster;
const clients: Client[] = [];

/** A client that hedges nothing and has patience, unless the test says so: which node is asked is then certain. */
function connect(options: Partial<ClientOptions> = {}): Client {
  const client = new Client({
    urls: cluster.urls,
    hedgeRatio: 0,
    attemptTimeoutMs: 20_000,
    timeoutMs: 60_000,
    ...options,
  });
  clients.push(client);
  return client;
}

/** A client that knows every node, so that it is certain which one it asks. */
async function connected(options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = connect(options);
  await client.get("anything");
  await eventually(() => client.members.length === 3);
  cluster.asked.length = 0;
  return client;
}

function nodesAsked(): string[] {
  return cluster.asked.map(({ node }) => node);
}

const failure = (promise: Promise<unknown>) => failureOf(promise, AnnulusError);

beforeEach(async () => {
  cluster = await FakeCluster.start();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await cluster.stop();
});

describe("values", () => {
  it("come back as they were written, text, bytes and JSON", async () => {
    const client = connect();
    await client.put("text", "grüß");
    await client.put("bytes", new Uint8Array([0, 255]));
    await client.put(new Uint8Array([0, 47, 255]), json({ books: 2 }));
    assert.equal((await client.get("text"))?.text(), "grüß");
    assert.deepEqual([...((await client.get("bytes"))?.bytes ?? [])], [0, 255]);
    const found = await client.get(new Uint8Array([0, 47, 255]));
    assert.deepEqual([found?.json(), found?.contentType], [{ books: 2 }, "application/json"]);
    assert.equal(await client.get("never"), undefined);
    const written = await client.delete("text", { context: await client.read("text") });
    assert.equal(written.receipt?.acks, 2);
    assert.equal(await client.get("text"), undefined);
    assert.equal((await client.read("text")).context, written.context);
  });

  it("pass every choice on", async () => {
    const client = connect();
    await client.put("k", "v", {
      w: 3,
      mode: "strict",
      zones: 2,
      nodeTimeoutMs: 700,
      ttlSeconds: 60,
      idempotencyKey: "mine",
    });
    await client.get("k", { consistency: "all" });
    const [put, get] = cluster.asked;
    assert.deepEqual(
      [put?.options.writeQuorum, put?.options.mode, put?.options.zones, put?.options.timeoutMs, put?.idempotencyKey],
      [3, "strict", 2, 700, "mine"],
    );
    assert.equal(get?.options.readQuorum, 3);
    cluster.model.nowMs += 60_000;
    assert.equal(await client.get("k"), undefined);
  });
});

describe("siblings", () => {
  const union = (siblings: readonly { text(): string }[]) =>
    siblings
      .map((sibling) => sibling.text())
      .sort()
      .join("+");

  beforeEach(async () => {
    const client = connect();
    await client.put("k", "b", { blind: "sibling" });
    await client.put("k", "a", { blind: "sibling" });
  });

  it("are an error of their own where nothing settles them, and can be read all the same", async () => {
    const client = connect();
    const error = await failure(client.get("k"));
    assert.ok(error instanceof SiblingsError);
    assert.deepEqual(
      error.siblings.map((sibling) => sibling.text()),
      ["b", "a"],
    );
    const { siblings, context } = await client.read("k");
    assert.deepEqual([siblings.length, context], [2, error.context]);
    await client.put("k", "c", { context: error.context });
    assert.equal((await client.get("k"))?.text(), "c");
  });

  it("are settled for the reader by resolve, and in the store by the next update", async () => {
    const client = connect({ resolve: union });
    const found = await client.get("k");
    assert.deepEqual([found?.text(), found?.siblings], ["a+b", 2]);
    assert.equal((await client.read("k")).siblings.length, 2);
    await client.update("k", (current) => `${current?.text()}!`);
    const { siblings } = await client.read("k");
    assert.deepEqual(
      siblings.map((sibling) => sibling.text()),
      ["a+b!"],
    );
  });

  it("of updates at once are both kept, and an update of nothing writes nothing", async () => {
    const client = connect({ resolve: union });
    await Promise.all(["x", "y"].map((text) => client.update("new", () => text)));
    assert.equal((await client.get("new"))?.text(), "x+y");
    const writes = cluster.asked.filter(({ kind }) => kind === "put").length;
    assert.equal(await client.update("new", () => undefined), undefined);
    assert.equal(cluster.asked.filter(({ kind }) => kind === "put").length, writes);
  });

  it("do not come of writes of one session, nor are they hidden by another's", async () => {
    const client = connect({ resolve: union });
    const [one, other] = [client.session(), client.session()];
    await one.put("s", "1");
    await one.put("s", "2");
    assert.equal((await other.get("s"))?.text(), "2");
    await one.put("s", "3");
    await other.put("s", "4");
    assert.equal((await one.get("s"))?.text(), "3+4");
    await one.delete("s");
    assert.equal(await client.get("s"), undefined);
  });

  it("come of a write by whoever saw nothing, beside what another has written since", async () => {
    const client = connect({ resolve: union });
    const session = client.session();
    assert.equal(await session.get("n"), undefined);
    const seen = await client.read("n");
    await client.put("n", "1");
    await session.put("n", "2");
    assert.equal((await client.get("n"))?.text(), "1+2");
    await client.put("n", "3", { context: seen });
    assert.equal((await client.get("n"))?.text(), "1+2+3");
  });
});

describe("the way of a request", () => {
  it("is straight to the first home for a blind write, and to the own zone otherwise", async () => {
    cluster.ring = ringOf(1, ["n2", "n3", "n1"]);
    const client = await connected({ zone: "c" });
    for (let count = 0; count < 4; count += 1) await client.put("k", "v");
    for (let count = 0; count < 4; count += 1) await client.get("k");
    await client.put("k", "v", { context: await client.read("k") });
    assert.deepEqual(nodesAsked(), [...Array(4).fill("n2"), ...Array(6).fill("n3")]);
  });

  it("follows the ring when an answer tells of a newer one", async () => {
    const client = await connected();
    await client.put("k", "v");
    await new Promise((resolve) => setTimeout(resolve, 120));
    cluster.ring = ringOf(2, ["n3", "n1", "n2"]);
    await client.put("k", "v");
    await eventually(() => client.epoch === 2);
    await client.put("k", "v");
    assert.deepEqual(nodesAsked(), ["n1", "n1", "n3"]);
  });

  it("goes to any node while there is no ring, and where nodes know of none", async () => {
    cluster.ring = undefined;
    const client = connect();
    await client.put("k", "v");
    assert.equal((await client.get("k"))?.text(), "v");
    assert.equal(client.epoch, undefined);
  });

  it("finds the members that no URL was given for, and takes nobody else for one", async () => {
    const [first = ""] = cluster.urls;
    const client = connect({ urls: [first] });
    cluster.ring = ringOf(1, ["n2", "n3", "n1"]);
    // The host of n2 and n3 with the port of n1 is n1: nobody new is there, and n1 passes everything on.
    await client.put("k", "v");
    assert.deepEqual(nodesAsked(), ["n1"]);
  });
});

describe("a failure", () => {
  it("of a node is passed over, as the same write", async () => {
    const client = await connected();
    await client.put("k", "1");
    await cluster.kill("n1");
    await client.put("k", "2");
    assert.deepEqual(nodesAsked(), ["n1", "n2"]);
    assert.ok(client.counters.retries >= 1);
  });

  it("whose outcome is unknown is repeated under the same Idempotency-Key, and makes no sibling", async () => {
    const client = await connected();
    cluster.faultsAfter.set("n1", "lost");
    await client.put("k", "v", { blind: "sibling", context: undefined });
    await client.put("k2", "v");
    const puts = cluster.asked.filter(({ kind }) => kind === "put");
    assert.ok(puts.length >= 3);
    assert.equal(new Set(puts.map(({ idempotencyKey }) => idempotencyKey)).size, 2);
    assert.equal((await client.read("k")).siblings.length, 1);
    assert.equal((await client.read("k2")).siblings.length, 1);
  });

  it("of a put with ifAbsent is repeated as well, for nodes know its own value by its name", async () => {
    const client = await connected();
    cluster.faultsAfter.set("n1", "lost").set("n2", "lost");
    await client.put("k", "v", { ifAbsent: true, idempotencyKey: "mine" });
    assert.ok(cluster.asked.every(({ idempotencyKey }) => idempotencyKey === "mine"));
    cluster.faultsAfter.clear();
    const refused = await failure(client.put("k", "v", { ifAbsent: true }));
    assert.deepEqual([refused.code, refused.status, refused.outcome], ["PRECONDITION_FAILED", 412, "none"]);
    assert.equal((await client.read("k")).siblings.length, 1);
    for (const node of ["n1", "n2", "n3"]) cluster.faultsAfter.set(node, "lost");
    const unknown = await failure(connect({ attemptsMax: 2 }).put("other", "v", { ifAbsent: true }));
    assert.deepEqual([unknown.code, unknown.outcome, unknown.attempts], ["QUORUM_LOST", "unknown", 2]);
  });

  it("that any node would answer alike is told at once, with its code", async () => {
    const client = connect();
    const large = await failure(client.put("k", new Uint8Array(20_000)));
    assert.deepEqual([large.code, large.status, large.attempts], ["TOO_LARGE", 413, 1]);
    const damaged = await failure(client.put("k", "v", { context: "AAAA" }));
    assert.deepEqual([damaged.code, damaged.attempts], ["INVALID_CONTEXT", 1]);
  });

  it("of the whole cluster ends after so many attempts, or when its time is over, with what was asked for and what came", async () => {
    for (const node of ["n1", "n2", "n3"]) cluster.faults.set(node, "unavailable");
    const client = connect({ attemptsMax: 3 });
    const error = await failure(client.put("k", "v"));
    const { code, outcome, status, required, acknowledged } = error;
    assert.deepEqual([code, outcome, status, required, acknowledged], ["QUORUM_UNAVAILABLE", "none", 503, 2, 1]);
    assert.equal(error.attempts, 3);
    const late = await failure(connect({ attemptsMax: 1_000 }).get("k", { timeoutMs: 300 }));
    assert.ok(["QUORUM_UNAVAILABLE", "TIMED_OUT"].includes(late.code), late.code);
    for (const node of ["n1", "n2", "n3"]) await cluster.kill(node);
    const gone = await failure(client.get("k"));
    assert.deepEqual([gone.code, gone.status], ["UNREACHABLE", undefined]);
  });

  it("of everything is repeated for a share of the calls only", async () => {
    const client = await connected({ retryRatio: 0 });
    cluster.faults.set("n1", "overloaded");
    const error = await failure(client.put("k", "v"));
    assert.deepEqual([error.code, error.attempts], ["OVERLOADED", 1]);
  });

  it("by silence is one attempt's, not the call's", async () => {
    const client = await connected({ attemptTimeoutMs: 1_000 });
    cluster.faults.set("n1", "mute");
    await client.put("k", "v");
    assert.equal((await client.get("k"))?.text(), "v");
    assert.ok(client.counters.retries >= 1);
  });
});

describe("a read that is late", () => {
  it("asks a second node and takes the answer that comes first", async () => {
    const client = await connected({ hedgeRatio: 0.1, zone: "a" });
    await client.put("k", "v");
    cluster.faults.set("n1", "mute");
    assert.equal((await client.get("k"))?.text(), "v");
    assert.ok(client.counters.hedges >= 1);
    assert.equal(client.counters.retries, 0);
  });

  it("does not where no share of the reads may", async () => {
    const client = await connected({ zone: "a", attemptTimeoutMs: 1_000 });
    cluster.faults.set("n1", "mute");
    assert.equal(await client.get("k"), undefined);
    assert.equal(client.counters.hedges, 0);
    assert.ok(client.counters.retries >= 1);
  });
});

/** Sooner than anything that is not ended by the call's own time, and late enough for a machine that does other things too. */
const LATE_MS = 3_500;

describe("the end of a call", () => {
  it("is what its signal says, also while it waits", async () => {
    const client = await connected();
    for (const node of ["n1", "n2", "n3"]) cluster.faults.set(node, "mute");
    const controller = new AbortController();
    const reason = new Error("the user left");
    const call = client.get("k", { signal: controller.signal });
    await eventually(() => cluster.asked.length === 1);
    controller.abort(reason);
    await assert.rejects(call, (error) => error === reason);
    await assert.rejects(client.get("k", { signal: AbortSignal.abort(reason) }), (error) => error === reason);
  });

  it("holds while the ring is not told yet, while a connection is waited for and while an answer trickles in", async () => {
    const ring = JSON.stringify({
      ...ringOf(1, ["n1"]),
      n: 1,
      members: [{ name: "n1", host: "127.0.0.1", zone: "a" }],
    });
    let isRingTold = false;
    const slow = createServer((request, response) => {
      if (request.url === "/v1/ring") {
        if (isRingTold) response.writeHead(200, { "kv-node": "n1" }).end(ring);
      } else if (request.url === "/v1/kv/trickle") {
        response.writeHead(200, { "kv-node": "n1", "kv-context": "seen" });
        const dots = setInterval(() => response.write("."), 50);
        response.on("close", () => clearInterval(dots));
      }
    });
    await once(slow.listen(0, "127.0.0.1"), "listening");
    const { port } = slow.address() as AddressInfo;
    const options = { urls: [`http://127.0.0.1:${port}`], connectionsMax: 2, attemptTimeoutMs: 10_000, timeoutMs: 400 };
    const tookMs = async (ask: Promise<unknown>) => {
      const startedMs = performance.now();
      await failure(ask);
      return performance.now() - startedMs;
    };
    try {
      const early = connect(options);
      assert.ok((await tookMs(early.get("a"))) < LATE_MS, "the ring is not told");
      isRingTold = true;
      const client = connect(options);
      assert.ok((await tookMs(client.get("trickle"))) < LATE_MS, "an answer trickles in");
      const all = await Promise.all(Array.from({ length: 12 }, () => tookMs(client.get("a"))));
      assert.ok(Math.max(...all) < LATE_MS, `a connection is waited for: ${Math.max(...all)} ms`);
    } finally {
      slow.closeAllConnections();
      slow.close();
    }
  });

  it("is refused after close", async () => {
    const client = connect();
    await client.put("k", "v");
    client.close();
    assert.equal((await failure(client.get("k"))).code, "CLOSED");
  });

  it("needs a URL that can be used", () => {
    assert.throws(() => new Client({ urls: [] }), TypeError);
    for (const url of ["ftp://x", "127.0.0.1:7400", "localhost:7400", "node", "", "http://", "http://a:b:c"]) {
      const says = (error: unknown) =>
        error instanceof TypeError &&
        error.message === `expected http://host:port or https://host:port, found ${JSON.stringify(url)}`;
      assert.throws(() => new Client({ urls: [url] }), says, url);
    }
  });
});
