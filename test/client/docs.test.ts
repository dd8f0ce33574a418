/** The client library in programs of others: the examples of docs/client.md print what stands beside them, against one cluster. */
import assert from "node:assert/strict";
import { describe, it, jest } from "@jest/globals";
import { exampleOf, examplesOf, runExample } from "./examples.ts";
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

describe("a program that imports the client library", () => {
  it("loads the pool of its HTTP client only, and with that nothing that puts an agent under the program's fetch", async () => {
    const program = exampleOf(
      `import { Client } from "annulus/client";
      import { createRequire } from "node:module";
      new Client({ urls: ["http://127.0.0.1:1"] }).close();
      const loaded = Object.keys(createRequire(import.meta.url).cache).map((file) => file.split("/undici/")[1]);
      console.log(["lib/dispatcher/pool.js", "index.js", "lib/global.js"].map((file) => loaded.includes(file)));
      // → [ true, false, false ]`,
    );
    assert.deepEqual(await runExample(program, String, "node/client/client.ts"), program.expected);
  });
});
