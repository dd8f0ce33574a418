/** The programs of docs/tutorial.md, one after the other, against three real nodes; one is killed where the text says so. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "@jest/globals";
import { LocalCluster } from "../bench/cluster.ts";
import { examplesOf, runExample } from "../client/examples.ts";

let cluster: LocalCluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
}, 60_000);

describe("docs/tutorial.md", () => {
  it("has programs that print what they say", async () => {
    cluster = await LocalCluster.start();
    const { nodes } = cluster;
    const programs = examplesOf("tutorial.md");
    assert.equal(programs.length, 5);
    for (const [index, program] of programs.entries()) {
      const victim = nodes[1];
      if (index === programs.length - 1 && victim !== undefined) await cluster.killNode(victim);
      const urlAt = (port: number) => `http://127.0.0.1:${nodes[(port - 7_400) / 10]?.dataPort}`;
      assert.deepEqual(await runExample(program, urlAt, "node/client/client.ts"), program.expected, program.source);
    }
  });
});
