/** The data API's contract over both mounts of the one handler; and the document describes what was answered. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { dataDocument } from "../../../node/adapters/http/openapi-data.ts";
import { bodyContract } from "../../contract/http-bodies.ts";
import { call } from "../../contract/http-client.ts";
import { kvContract } from "../../contract/http-kv.ts";
import { MODEL_CLIENT_RING } from "../../contract/http-model.ts";
import { createConformance } from "../../contract/http-openapi.ts";
import { requestContract } from "../../contract/http-requests.ts";
import { inFront, insideExpress, startWorld, WORLD_OPTIONS } from "../../contract/http-world.ts";

const conformance = createConformance(dataDocument(WORLD_OPTIONS));

for (const [name, mount] of [
  ["in front of Express", inFront],
  ["inside Express", insideExpress],
] as const) {
  kvContract(name, mount, conformance);
  requestContract(name, mount, conformance);
  bodyContract(name, mount, conformance);
}

describe("the ring on the data port", () => {
  it("is told to clients, and refused while there is none", async () => {
    const world = await startWorld(inFront);
    const told = await call(world.port, "GET", "/v1/ring");
    conformance.check("GET", "/v1/ring", told);
    assert.deepEqual(JSON.parse(told.body.toString()), MODEL_CLIENT_RING);
    world.loseRing();
    const refused = await call(world.port, "GET", "/v1/ring");
    conformance.check("GET", "/v1/ring", refused);
    assert.deepEqual([refused.status, refused.headers["kv-node"]], [503, "n1"]);
    await world.stop();
  });
});

describe("the OpenAPI document of the data port", () => {
  it("describes no answer that is never given", () => {
    // Answered on a bare connection in the contract, where no client checks it.
    const byHand = ["PUT /v1/kv/{key} 408"];
    // 401 and 403 are access.test.ts's.
    const unseen = [...conformance.described].filter(
      (name) => name.includes("/v1/") && !/ 40[13]$/.test(name) && !conformance.seen.has(name),
    );
    assert.deepEqual(unseen, byHand);
  });
});
