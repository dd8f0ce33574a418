/** A PUT with If-None-Match: * that succeeded, and is sent again under its Idempotency-Key. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import type { PutCommand } from "../../node/services/coordinator.ts";
import { answerOf } from "./answers.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { nodeOf, startQuietCluster } from "./quiet-cluster.ts";

const key = new TextEncoder().encode("key");
const CREATE = { key, value: key, contentType: "", base: "overwrite", onlyIfAbsent: true } as const;

function start(seed: number): Promise<SimulatedCluster> {
  return startQuietCluster({ seed, nodes: 3, partitions: 8, readQuorum: 2, writeQuorum: 2 });
}

function put(cluster: SimulatedCluster, through: string, command: PutCommand) {
  return answerOf(cluster, nodeOf(cluster, through).coordinator.put(command, {}));
}

async function accepted(cluster: SimulatedCluster, through: string, command: PutCommand) {
  const answer = await put(cluster, through, command);
  assert(!(answer instanceof KvError), `${answer instanceof KvError ? `${answer}, outcome ${answer.outcome}` : ""}`);
  return answer;
}

describe("a conditional write that is tried again under its Idempotency-Key", () => {
  it("is acknowledged as the write that it is", async () => {
    const cluster = await start(5);
    const create = { ...CREATE, idempotencyKey: key };
    await accepted(cluster, "n1", create);
    await accepted(cluster, "n2", create);
  });

  it("is refused where the value is another write's", async () => {
    const cluster = await start(6);
    await accepted(cluster, "n1", CREATE);
    const other = await put(cluster, "n2", { ...CREATE, idempotencyKey: key });
    assert(other instanceof KvError && other.code === "PRECONDITION_FAILED", `refused: ${other}`);
  });

  it("replaces nothing that others wrote since: its token covers no more than that of its first try", async () => {
    const cluster = await start(7);
    const bytesOf = (text: string) => new TextEncoder().encode(text);
    const create = { ...CREATE, idempotencyKey: key };
    await accepted(cluster, "n1", create);
    await accepted(cluster, "n1", { key, value: bytesOf("another's"), contentType: "", base: "sibling" });
    const again = await accepted(cluster, "n1", create);
    await accepted(cluster, "n1", { key, value: bytesOf("on top"), contentType: "", base: { context: again.context } });
    const read = await answerOf(cluster, nodeOf(cluster, "n3").coordinator.get(key, {}));
    assert(!(read instanceof KvError), String(read));
    const shown = read.siblings.map(({ value }) => Buffer.from(value ?? []).toString());
    assert.deepEqual(shown.sort(), ["another's", "on top"]);
  });
});
