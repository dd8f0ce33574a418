/** What clients' requests are counted under. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, it } from "@jest/globals";
import { ActiveRequests, durationName } from "../../../node/adapters/http/request-figures.ts";
import { createTestTelemetry } from "../../contract/http-world.ts";

const requestOf = (method: string, socket: object = {}) => ({ method, socket }) as unknown as IncomingMessage;
const answered = (statusCode: number) => ({ headersSent: true, statusCode }) as ServerResponse;

describe("the figures of requests", () => {
  it("tell methods, schemes and statuses apart, and make no series of what a client makes up", () => {
    const duration = (attributes: string) => `http.server.request.duration{${attributes}}`;
    const common = "http.request.method=GET,http.route=/v1/kv/{key}";
    assert.equal(
      durationName(requestOf("GET"), answered(200)),
      duration(`${common},url.scheme=http,http.response.status_code=200`),
    );
    assert.equal(
      durationName(requestOf("GET", { encrypted: true }), answered(200)),
      duration(`${common},url.scheme=https,http.response.status_code=200`),
    );
    assert.equal(
      durationName(requestOf("GET"), { headersSent: false } as ServerResponse),
      duration(`${common},url.scheme=http,error.type=client_left`),
    );
    assert.match(durationName(requestOf("MADE-UP"), answered(405)), /http\.request\.method=_OTHER,/);
  });

  it("count those in work by method and scheme, and show them while there are none", () => {
    const telemetry = createTestTelemetry();
    const active = new ActiveRequests(telemetry);
    const shown = () =>
      [...telemetry.gauges].flatMap(([name, read]) => (Number(read()) === 0 ? [] : [`${name} ${read()}`]));
    assert.equal(telemetry.gauges.size, 10);
    assert.deepEqual(shown(), []);
    active.like(requestOf("PUT")).count += 2;
    active.like(requestOf("BREW", { encrypted: true })).count += 1;
    assert.deepEqual(shown(), [
      "http.server.active_requests{http.request.method=PUT,url.scheme=http} 2",
      "http.server.active_requests{http.request.method=_OTHER,url.scheme=https} 1",
    ]);
    active.like(requestOf("PUT")).count -= 2;
    assert.equal(shown().length, 1);
  });
});
