/** A PUT with If-None-Match: * that succeeded, and is sent again under its Idempotency-Key. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
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
});
