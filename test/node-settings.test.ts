/** What a node is made with, by the settings that were read: where it looks for the ring. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { loadConfig } from "../node/config.ts";
import { nodeSettings } from "../node/node-settings.ts";

const MEMBERS = "a=h1:7402@x,b=h2:7402@y,c=h3:7402@z";

function settingsOf(environment: Record<string, string>) {
  const { firstRing, seeds } = nodeSettings(
    loadConfig({ ANNULUS_CLUSTER: "c", ANNULUS_DATA_DIR: "data", ...environment }, () => ""),
  );
  return { isFirst: firstRing !== undefined, seeds };
}

describe("a node without a ring", () => {
  it("looks for it at the first members where it is none of them and is told of no seeds: it waited for good", () => {
    assert.deepEqual(settingsOf({ ANNULUS_NODE: "d", ANNULUS_MEMBERS: MEMBERS }), {
      isFirst: false,
      seeds: ["h1:7402", "h2:7402", "h3:7402"],
    });
  });

  it("asks seeds and first members once each", () => {
    const both = { ANNULUS_NODE: "d", ANNULUS_MEMBERS: MEMBERS, ANNULUS_SEEDS: "h9:7402,h2:7402" };
    assert.deepEqual(settingsOf(both).seeds, ["h9:7402", "h2:7402", "h1:7402", "h3:7402"]);
  });

  it("asks its seeds beside the other first members where it is one of them", () => {
    const first = { ANNULUS_NODE: "a", ANNULUS_MEMBERS: MEMBERS, ANNULUS_SEEDS: "h9:7402" };
    assert.deepEqual(settingsOf(first), { isFirst: true, seeds: ["h9:7402"] });
  });
});
