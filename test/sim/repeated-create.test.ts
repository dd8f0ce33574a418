/** A PUT with If-None-Match: * that succeeded, and is sent again under its Idempotency-Key. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import type { PutCommand } from "../../node/services/coordinator.ts";
import { answerOf } from "./answers.ts";
import { nodeOf, startQuietCluster } from "./quiet-cluster.ts";

describe("a conditional write that is tried again under its Idempotency-Key", () => {
  it("is acknowledged as the write that it is", async () => {
    const cluster = await startQuietCluster({ seed: 5, nodes: 3, partitions: 8, readQuorum: 2, writeQuorum: 2 });
    const key = new TextEncoder().encode("key");
    const put = {
      key,
      value: key,
      contentType: "",
      base: "overwrite",
      idempotencyKey: key,
      onlyIfAbsent: true,
    } as const;
    const first = await answerOf(cluster, nodeOf(cluster, "n1").coordinator.put(put, {}));
    assert(!(first instanceof KvError));
    const again = await answerOf(cluster, nodeOf(cluster, "n2").coordinator.put(put, {}));
    assert(
      !(again instanceof KvError),
      `${again instanceof KvError ? again.code : ""}, outcome ${again instanceof KvError ? again.outcome : ""}`,
    );
  });

  it("is refused where the value is another write's", async () => {
    const cluster = await startQuietCluster({ seed: 6, nodes: 3, partitions: 8, readQuorum: 2, writeQuorum: 2 });
    const key = new TextEncoder().encode("key");
    const put = { key, value: key, contentType: "", base: "overwrite", onlyIfAbsent: true } as const;
    const first = await answerOf(cluster, nodeOf(cluster, "n1").coordinator.put(put, {}));
    assert(!(first instanceof KvError));
    const named = { ...put, idempotencyKey: key } as const;
    const other = await answerOf(cluster, nodeOf(cluster, "n2").coordinator.put(named, {}));
    assert(other instanceof KvError && other.code === "PRECONDITION_FAILED", `refused: ${other}`);
  });

  it("replaces nothing that others wrote since: its token covers no more than that of its first try", async () => {
    const cluster = await startQuietCluster({ seed: 7, nodes: 3, partitions: 8, readQuorum: 2, writeQuorum: 2 });
    const key = new TextEncoder().encode("key");
    const bytesOf = (text: string) => new TextEncoder().encode(text);
    const create = {
      key,
      value: key,
      contentType: "",
      base: "overwrite",
      idempotencyKey: key,
      onlyIfAbsent: true,
    } as const;
    const put = async (command: PutCommand) => {
      const answer = await answerOf(cluster, nodeOf(cluster, "n1").coordinator.put(command, {}));
      assert(!(answer instanceof KvError), String(answer));
      return answer;
    };
    await put(create);
    await put({ key, value: bytesOf("another's"), contentType: "", base: "sibling" });
    const again = await put(create);
    await put({ key, value: bytesOf("on top"), contentType: "", base: { context: again.context } });
    const read = await answerOf(cluster, nodeOf(cluster, "n3").coordinator.get(key, {}));
    assert(!(read instanceof KvError), String(read));
    const shown = read.siblings.map(({ value }) => Buffer.from(value ?? []).toString());
    assert.deepEqual(shown.sort(), ["another's", "on top"]);
  });
});
