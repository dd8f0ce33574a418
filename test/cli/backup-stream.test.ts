/** How what a partition differs in comes to a backup: as it is sent, so that no answer is too large, and whole or not at all. */
import assert from "node:assert/strict";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, it } from "@jest/globals";
import { takeDifference } from "../../node/cli/backup/difference.ts";
import { Nodes } from "../../node/client/nodes.ts";

const END = `${JSON.stringify({ gone: "", complete: true })}\n`;
const lineOf = (name: string) => `${JSON.stringify({ key: name, record: "AAAA" })}\n`;
/** An answer that is not taken while it comes is given up by the node then. */
const PATIENCE_MS = 2_000;

const servers: Server[] = [];
const clients: Nodes[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const server of servers.splice(0)) server.close();
});

/** Nodes that answer so, in this order. */
async function nodesThat(...answers: readonly ((response: ServerResponse) => void)[]): Promise<Nodes> {
  const urls: string[] = [];
  for (const answer of answers) {
    const server = createServer((_request, response) => answer(response));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }
  const nodes = new Nodes({ urls, connectionsMax: 1, timeoutMs: 10_000 });
  clients.push(nodes);
  return nodes;
}

async function take(nodes: Nodes, added: string[]): Promise<bigint[] | undefined> {
  const add = async ({ key }: { key: string }) => added.push(key);
  const asked = { partition: 0, bits: 4, leaves: [3], held: [] };
  return takeDifference(nodes, asked, { writer: { add }, onMoved: () => undefined });
}

describe("what a partition differs in", () => {
  it("is stored while it comes", async () => {
    const added: string[] = [];
    let isStored = false;
    const nodes = await nodesThat(async (response) => {
      response.write(lineOf("first"));
      for (const untilMs = Date.now() + PATIENCE_MS; !isStored && Date.now() < untilMs; await sleep(5))
        isStored = added.includes("first");
      response.end(lineOf("second") + END);
    });
    assert.deepEqual(await take(nodes, added), []);
    assert.deepEqual(added, ["first", "second"]);
    assert(isStored, "the first record was not stored before the second had come");
  });

  it("is asked of the next node where one says nothing or refuses, and never put together from two answers", async () => {
    const broken = (response: ServerResponse) => {
      response.write(lineOf("first"), () => response.destroy());
    };
    const refusing = (response: ServerResponse) => {
      response.statusCode = 503;
      response.end("{}");
    };
    const whole = (response: ServerResponse) => void response.end(lineOf("first") + END);
    const added: string[] = [];
    const gone = await take(await nodesThat(refusing, (response) => response.destroy(), whole), added);
    assert.deepEqual([gone, added], [[], ["first"]]);
    // Then the partition is to be read as a whole.
    assert.equal(await take(await nodesThat(broken, whole), []), undefined);
    const cut = (response: ServerResponse) => void response.end(lineOf("first"));
    assert.equal(await take(await nodesThat(cut, whole), []), undefined);
  });

  it("ends the command where a token lacks the right", async () => {
    const forbidding = (response: ServerResponse) => {
      response.statusCode = 403;
      response.end(JSON.stringify({ detail: "expected a token with data" }));
    };
    await assert.rejects(take(await nodesThat(forbidding), []), /expected a token with data/);
  });
});
