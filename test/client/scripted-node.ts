/** Nodes that follow a script, for the client library to meet what sound ones never do. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Client, type ClientOptions } from "../../node/client/client.ts";

/** What a node does with a request that it has read. */
export type Step = (request: IncomingMessage, response: ServerResponse) => void;

export type ScriptedNode = {
  readonly url: string;
  /** Requests about keys, in order. */
  readonly asked: IncomingMessage[];
  readonly server: Server;
};

/** Where a node listens, what its ring is and whose name it gives; one that has no ring says so, or is silent when asked. */
export type Place = {
  readonly name?: string;
  readonly host?: string;
  readonly port?: number;
  readonly ring?: "silent" | (() => object | undefined);
};

const stops: (() => void)[] = [];

/** Is done once the test is over. */
export function atEnd(stop: () => void): void {
  stops.push(stop);
}

/** Stops what the test began. */
export function stopAll(): void {
  for (const stop of stops.splice(0)) stop();
}

/** A node's data port: the steps in turn, the last one again and again. */
export async function scriptedNode(
  steps: readonly Step[],
  { name = "n1", host = "127.0.0.1", port = 0, ring }: Place = {},
): Promise<ScriptedNode> {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    if (request.url === "/v1/ring") {
      if (ring === "silent") return;
      const told = ring?.();
      if (told === undefined) response.writeHead(503, { "kv-node": name }).end();
      else response.writeHead(200, { "kv-node": name }).end(JSON.stringify(told));
      return;
    }
    asked.push(request);
    const step = steps[Math.min(asked.length, steps.length) - 1];
    request.resume().on("end", () => step?.(request, response));
  });
  atEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server.listen(port, host), "listening");
  return { url: `http://${host}:${(server.address() as AddressInfo).port}`, asked, server };
}

/** A client with patience, which hedges nothing: what it does is certain then. */
export function connect(options: ClientOptions): Client {
  const client = new Client({ hedgeRatio: 0, attemptTimeoutMs: 20_000, timeoutMs: 60_000, ...options });
  atEnd(() => client.close());
  return client;
}

/** The connection breaks. */
export const breaks: Step = (request) => void request.socket.destroy();

/** The node answers with an error. */
export const says =
  (status: number, type: string, headers: Record<string, string> = {}): Step =>
  (_request, response) => {
    response.writeHead(status, { "content-type": "application/problem+json", "kv-node": "n1", ...headers });
    response.end(JSON.stringify({ type: `annulus:${type}`, detail: type }));
  };

/** The node takes a write. */
export const takes =
  (name = "n1", epoch = 1): Step =>
  (_request, response) =>
    void response.writeHead(204, { "kv-node": name, "kv-context": "token", "kv-epoch": String(epoch) }).end();
