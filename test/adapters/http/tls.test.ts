import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConnectionOptions, connect } from "node:tls";
import { afterEach, beforeAll, beforeEach, describe, it, jest } from "@jest/globals";
import { createHttpServer, type HttpServer } from "../../../node/adapters/http/http-server.ts";
import { type ClientTls, Endpoint } from "../../../node/client/http.ts";
import { NoAnswerError } from "../../../node/client/no-answer-error.ts";
import { runCli } from "../../cli/run-cli.ts";
import { createRecordedTelemetry, type RecordedTelemetry } from "../../contract/recorded-telemetry.ts";
import { type Issued, TestAuthority } from "../../tls/authority.ts";
import { TestCredentials } from "../tcp/tls-world.ts";

jest.setTimeout(60_000);

const ADDRESSES = ["127.0.0.1"];
let ours: TestAuthority;
let others: TestAuthority;
let served: Issued;
beforeAll(async () => {
  ours = await TestAuthority.create("ours");
  others = await TestAuthority.create("others");
  served = await ours.issue({ names: [], addresses: ADDRESSES, uses: ["server"] });
});

let telemetry: RecordedTelemetry;
let server: HttpServer | undefined;
let endpoints: Endpoint[];
let directory: string;
beforeEach(() => {
  telemetry = createRecordedTelemetry();
  endpoints = [];
  directory = mkdtempSync(join(tmpdir(), "annulus-http-tls-"));
});
afterEach(async () => {
  for (const endpoint of endpoints) endpoint.close();
  await server?.stop(0);
  server = undefined;
  rmSync(directory, { recursive: true });
});

/** Starts a port that answers each request with its path, as a node. */
async function listen(credentials: TestCredentials): Promise<number> {
  server = createHttpServer(
    telemetry,
    () => [],
    () => (request, response) => response.setHeader("KV-Node", "n1").end(request.url),
    {
      host: "127.0.0.1",
      port: 0,
      connectionsMax: 100,
      requestsPerConnectionMax: 10_000,
      headersTimeoutMs: 20_000,
      requestTimeoutMs: 20_000,
      keepAliveTimeoutMs: 20_000,
      tls: credentials,
    },
  );
  return server.start();
}

function endpoint(port: number, tls: ClientTls, scheme = "https"): Endpoint {
  const made = new Endpoint(`${scheme}://127.0.0.1:${port}`, { connectionsMax: 1, timeoutMs: 20_000, tls });
  endpoints.push(made);
  return made;
}

const get = async (from: Endpoint) => (await from.exchange({ method: "GET", path: "/v1" })).body.toString();
const refused = (from: Endpoint) => assert.rejects(get(from), NoAnswerError);

const pemOf = ({ certificate, key }: Issued) => ({ cert: certificate, key });

/** Makes one connection and one request, with the session of an earlier connection where there is one. */
async function visit(
  port: number,
  options: ConnectionOptions,
  session?: Buffer,
): Promise<{ readonly isServed: boolean; readonly session: Buffer | undefined }> {
  const socket = connect({ host: "127.0.0.1", port, ...options, ...(session === undefined ? {} : { session }) });
  let given: Buffer | undefined;
  let text = "";
  socket.on("session", (next) => {
    given = next;
  });
  socket.on("error", () => {}); // It is cut off.
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.write("GET /v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  return { isServed: text.startsWith("HTTP/1.1 200"), session: given };
}

describe("an HTTP port with a certificate", () => {
  it("serves those who trust its authority, and nobody who speaks plainly", async () => {
    const port = await listen(new TestCredentials({ ...served, authorities: undefined }));
    assert.equal(await get(endpoint(port, { authorities: ours.pem })), "/v1");
    await refused(endpoint(port, { authorities: others.pem }));
    await refused(endpoint(port, {}));
    await refused(endpoint(port, {}, "http"));
    while (telemetry.counted("annulus.http.client_errors") < 3) await sleep(1);
  });

  it("speaks TLS 1.3 and nothing older", async () => {
    const port = await listen(new TestCredentials({ ...served, authorities: undefined }));
    const ended = Promise.withResolvers<string>();
    const socket = connect({ host: "127.0.0.1", port, ca: ours.pem, maxVersion: "TLSv1.2" });
    socket.on("secureConnect", () => ended.resolve("connected"));
    socket.on("error", () => ended.resolve("refused"));
    assert.equal(await ended.promise, "refused");
  });

  it("that asks for certificates serves only those of its authorities", async () => {
    const port = await listen(new TestCredentials({ ...served, authorities: others.pem }));
    const right = await others.issue({ names: ["client"], uses: ["client"] });
    const wrong = await ours.issue({ names: ["client"], uses: ["client"] });
    assert.equal(await get(endpoint(port, { authorities: ours.pem, ...right })), "/v1");
    await refused(endpoint(port, { authorities: ours.pem, ...wrong }));
    await refused(endpoint(port, { authorities: ours.pem }));
  });

  it("asks for the certificate with each connection, also of those who come back with the session of an earlier one", async () => {
    const credentials = new TestCredentials({ ...served, authorities: others.pem });
    const port = await listen(credentials);
    const until = new Date(Date.now() + 3_000);
    const brief = { ca: ours.pem, ...pemOf(await others.issue({ names: ["client"], uses: ["client"], until })) };
    const first = await visit(port, brief);
    assert(first.isServed);
    await sleep(until.getTime() + 1_100 - Date.now());
    assert.equal((await visit(port, brief, first.session)).isServed, false);

    const lasting = { ca: ours.pem, ...pemOf(await others.issue({ names: ["client"], uses: ["client"] })) };
    const second = await visit(port, lasting);
    assert(second.isServed);
    credentials.rotate({ ...served, authorities: ours.pem });
    assert.equal((await visit(port, lasting, second.session)).isServed, false);
  });

  it("takes another one under load: no request fails, open connections stay, new ones see the new one", async () => {
    const credentials = new TestCredentials({ ...served, authorities: undefined });
    const port = await listen(credentials);
    const trust = { authorities: ours.pem + others.pem };
    const kept = endpoint(port, trust);
    let isOver = false;
    let answered = 0;
    const load = async (next: () => Endpoint) => {
      while (!isOver) {
        const from = next();
        assert.equal(await get(from), "/v1");
        if (from !== kept) from.close();
        answered++;
      }
    };
    const renewed = await others.issue({ names: [], addresses: ADDRESSES, uses: ["server"] });
    const clients = Promise.all([load(() => kept), load(() => endpoint(port, trust))]);
    const rotations = (async () => {
      for (const issued of [renewed, served, renewed]) {
        const target = answered + 100;
        while (answered < target) await get(kept);
        credentials.rotate({ ...issued, authorities: undefined });
      }
      isOver = true;
    })();
    await Promise.all([clients, rotations]);
    assert.equal(await get(endpoint(port, { authorities: others.pem })), "/v1");
    await refused(endpoint(port, { authorities: ours.pem }));
  });

  it("ends with the grace of its stop, also where a handshake was begun and never ended", async () => {
    const port = await listen(new TestCredentials({ ...served, authorities: undefined }));
    const socket = connectPlain(port, "127.0.0.1");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => {}); // It is cut off.
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    await get(endpoint(port, { authorities: ours.pem })); // By now the connection before it was accepted.
    await server?.stop(10);
    server = undefined;
    await closed;
  });

  it("is reached by the command line, with the authority, and with a certificate where one is asked for", async () => {
    const port = await listen(new TestCredentials({ ...served, authorities: others.pem }));
    const { certificate, key } = await others.issue({ names: ["client"], uses: ["client"] });
    const write = (name: string, text: string) => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const [ca, crt, pem] = [write("ca", ours.pem), write("crt", certificate), write("key", key)];
    const args = ["get", "k", "--url", `https://127.0.0.1:${port}`];
    const options = ["--ca-file", ca, "--certificate-file", crt, "--key-file", pem];
    const env = { ANNULUS_CA_FILE: ca, ANNULUS_CERTIFICATE_FILE: crt, ANNULUS_KEY_FILE: pem };
    for (const got of [await runCli([...args, ...options]), await runCli(args, { env })])
      assert.deepEqual([got.exitCode, got.stdout.toString(), got.stderr], [0, "/v1/kv/k", ""]);
    const half = await runCli([...args, "--ca-file", ca, "--key-file", pem]);
    assert.deepEqual(
      [half.exitCode, half.stderr.includes("expected a certificate and its key, found one of them")],
      [2, true],
    );
    const without = await runCli([...args, "--ca-file", ca]);
    assert.notEqual(without.exitCode, 0);
  });
});
