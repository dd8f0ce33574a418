/** Whom the client library asks when members move, come late, or turn out to be of another cluster. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "@jest/globals";
import { AnnulusError, type Client } from "../../node/client/client.ts";
import { ringOf } from "./fake-cluster.ts";
import { connect, type ScriptedNode, scriptedNode, stopAll, takes } from "./scripted-node.ts";
import { eventually, failureOf } from "./waiting.ts";

afterEach(stopAll);

/** Longer than the least time between two questions for the ring. */
const soon = () => new Promise((resolve) => setTimeout(resolve, 120));

let [epoch, cluster, host] = [1, "shop", "127.0.0.2"];
/** n2 is the first home of every key; no URL is given for it. */
function ring(of = cluster): object {
  const members = [
    { name: "n1", host: "127.0.0.1", zone: "a" },
    { name: "n2", host, zone: "a" },
  ];
  return { ...ringOf(epoch, ["n2", "n1"]), cluster: of, n: 2, members };
}
const portOf = ({ url }: ScriptedNode) => Number(new URL(url).port);

async function given(): Promise<ScriptedNode> {
  [epoch, cluster, host] = [1, "shop", "127.0.0.2"];
  return scriptedNode([(request, response) => takes("n1", epoch)(request, response)], { ring: () => ring() });
}

const second = (first: ScriptedNode, at: string, tellsRing = () => ring()) =>
  scriptedNode([(request, response) => takes("n2", epoch)(request, response)], {
    name: "n2",
    host: at,
    port: portOf(first),
    ring: tellsRing,
  });

/** A change of the ring, and the write by which the client hears of it. */
async function change(client: Client): Promise<void> {
  await soon();
  epoch += 1;
  await client.put("k", "v");
  await eventually(() => client.epoch === epoch);
}

describe("a member that was found by the ring", () => {
  it("is followed to another address, where nobody is at the first one any more", async () => {
    const first = await given();
    const left = await second(first, host);
    const client = connect({ urls: [first.url] });
    await client.put("k", "v");
    assert.deepEqual([client.members, left.asked.length], [["n1", "n2"], 1]);
    host = "127.0.0.3";
    const now = await second(first, host);
    left.server.close();
    left.server.closeAllConnections();
    await change(client);
    await eventually(() => client.members.length === 2);
    await client.put("k", "v");
    assert.equal(now.asked.length, 1);
  });

  it("is asked nothing more once its address is that of another cluster's member, whatever its name", async () => {
    const first = await given();
    let other = "shop";
    const moved = await second(first, host, () => ring(other));
    const client = connect({ urls: [first.url] });
    await client.put("k", "v");
    other = "theirs";
    await change(client);
    await eventually(() => client.members.length === 1);
    const before = moved.asked.length;
    for (let count = 0; count < 4; count++) await client.put("k", "v");
    assert.equal(moved.asked.length, before);
  });

  it("is found as well when it comes up only after the client has begun", async () => {
    const first = await given();
    const client = connect({ urls: [first.url] });
    await client.put("k", "v");
    assert.deepEqual(client.members, ["n1"]);
    const late = await second(first, host);
    while (client.members.length < 2) {
      await client.put("k", "v");
      await soon();
    }
    await client.put("k", "v");
    assert.ok(late.asked.length >= 1);
  });
});

describe("a cluster in whose place another was set up", () => {
  it("is an error that says so, and no bug; and it is asked again when it is back", async () => {
    const first = await given();
    const client = connect({ urls: [first.url] });
    await client.put("k", "v");
    cluster = "new";
    await soon();
    epoch += 1;
    await client.put("k", "v");
    const error = await failureOf(
      (async () => {
        for (;;) await client.put("k", "v");
      })(),
      AnnulusError,
    );
    assert.deepEqual([error.code, error.outcome], ["UNREACHABLE", "none"]);
    assert.match(error.message, /of the cluster "new".*not of "shop".*new Client/);
    const before = first.asked.length;
    await failureOf(client.get("k"), AnnulusError);
    assert.equal(first.asked.length, before);
    cluster = "shop";
    await eventually(() => {
      client.put("k", "v").catch((error: unknown) => assert.ok(error instanceof AnnulusError));
      return first.asked.length > before;
    });
    await client.put("k", "v");
  });
});

describe("a ring that nobody tells", () => {
  it("is waited for by the first calls only, be the one who says nothing asked again and again", async () => {
    const { url } = await scriptedNode([takes()]);
    const silent = await scriptedNode([takes()], { ring: "silent" });
    const client = connect({ urls: [url, silent.url], attemptTimeoutMs: 2_000 });
    await client.put("k", "v");
    for (let count = 0; count < 3; count++) {
      await soon();
      const startedMs = performance.now();
      await client.put("k", "v");
      assert.ok(performance.now() - startedMs < 1_500, `${performance.now() - startedMs} ms`);
    }
  });
});
