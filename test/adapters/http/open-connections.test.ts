/** Who makes room among the connections of a server: not who is worked for, but also who does not take its answer. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, it } from "@jest/globals";
import { OpenConnections } from "../../../node/adapters/http/open-connections.ts";
import { eventually } from "../../contract/http-client.ts";

/** More than the buffers between a server and its client hold. */
const LARGE = Buffer.alloc(64 << 20);
const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

let server: Server;
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

it("a connection whose answer is not taken makes room for another", async () => {
  let answered = 0;
  let refused = 0;
  server = createServer((_request, response) => {
    response.end(answered === 0 ? LARGE : "small");
    answered += 1;
  });
  new OpenConnections(server, { max: 1, isSecure: false }, () => {
    refused += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const come = () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    sockets.push(socket);
    socket.on("error", () => {}); // It is cut off.
    socket.write(GET);
    return socket;
  };
  const unread = come();
  unread.pause();
  await eventually(() => answered === 1);
  let text = "";
  come().on("data", (chunk) => {
    text += chunk;
  });
  await eventually(() => text.endsWith("small"));
  assert.equal(refused, 1);
});
