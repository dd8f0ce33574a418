/**
 * A bare HTTP server that says hello, as a program: `limit-http.js node` is `node:http` alone, `limit-http.js express`
 * is Express 5. Prints its port. What the bench's ratios are ratios to.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";

function helloExpress(): express.Express {
  const app = express();
  app.get("/", (_request, response) => {
    response.send("hello world");
  });
  return app;
}

const server =
  process.argv[2] === "express"
    ? createServer(helloExpress())
    : createServer((_request, response) => {
        response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": 11 });
        response.end("hello world");
      });
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
process.once("SIGTERM", () => process.exit(0));
