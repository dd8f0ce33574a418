/** The examples of docs/client.md print what stands beside them, in their order, against one cluster. */
import assert from "node:assert/strict";
import { describe, it, jest } from "@jest/globals";
import { examplesOf, runExample } from "./examples.ts";
import { FakeCluster } from "./fake-cluster.ts";

/** Each example is a program of its own, which takes long to start on a busy machine. */
jest.setTimeout(120_000);

describe("docs/client.md", () => {
  it("has examples that print what they say", async () => {
    const cluster = await FakeCluster.start();
    const examples = examplesOf("client.md");
    assert.equal(examples.length, 4);
    try {
      for (const example of examples) {
        const urlAt = (port: number) => cluster.urls[(port - 7_400) / 10] ?? "";
        assert.deepEqual(await runExample(example, urlAt, "node/client/client.ts"), example.expected, example.source);
      }
    } finally {
      await cluster.stop();
    }
  });
});
