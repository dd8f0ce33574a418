/** The client library while a cluster begins to speak TLS: it was given the URLs of both, as docs/kubernetes.md says. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createPlainServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it, jest } from "@jest/globals";
import { TestAuthority } from "../tls/authority.ts";
import { ringOf } from "./fake-cluster.ts";
import { atEnd, connect, stopAll } from "./scripted-node.ts";

jest.setTimeout(60_000);
afterEach(stopAll);

const members = [
  { name: "n1", host: "127.0.0.1", zone: "a" },
  { name: "n2", host: "127.0.0.2", zone: "a" },
];
const ring = JSON.stringify({ ...ringOf(1, ["n2", "n1"]), n: 2, members });

describe("a member that was found without TLS", () => {
  it("is found with it, once it answers in no other way", async () => {
    const authority = await TestAuthority.create("ours");
    const { certificate, key } = await authority.issue({ names: [], addresses: members.map(({ host }) => host) });
    const asked: string[] = [];
    const answers =
      (name: string, scheme: string): RequestListener =>
      (request, response) => {
        if (request.url === "/v1/ring") return void response.writeHead(200, { "kv-node": name }).end(ring);
        asked.push(`${scheme} ${name}`);
        request.resume();
        response.writeHead(204, { "kv-node": name, "kv-context": "token", "kv-epoch": "1" }).end();
      };
    let port = 0;
    const listen = async (server: Server, host: string): Promise<Server> => {
      atEnd(() => {
        server.close();
        server.closeAllConnections();
      });
      await once(server.listen(port, host), "listening");
      port = (server.address() as AddressInfo).port;
      return server;
    };
    const plain: Server[] = [];
    for (const { name, host } of members) plain.push(await listen(createPlainServer(answers(name, "http")), host));
    const urls = [`http://127.0.0.1:${port}`, `https://127.0.0.1:${port}`];
    const client = connect({ urls, tls: { authorities: authority.pem } });
    await client.put("k", "v");
    await client.put("k", "v");
    assert.deepEqual(asked.at(-1), "http n2");
    for (const server of plain) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    for (const { name, host } of members) {
      await listen(createSecureServer({ cert: certificate, key }, answers(name, "https")), host);
    }
    while (asked.at(-1) !== "https n2") {
      await client.put("k", "v");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.deepEqual(client.members, ["n1", "n2"]);
  });
});
