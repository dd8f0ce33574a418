/**
 * What holds of a quiet cluster, shown with requests of its own once everything has come to rest.
 *
 * Blind overwrites are the one kind of write whose order nobody's context tells: it rests on their being stamped by the same
 * home. While faults go on that home changes, and no history can say which of two stood aside rightly; when
 * all are up there is no such excuse.
 */
import assert from "node:assert/strict";
import { KvError } from "../../node/core/errors.ts";
import type { Coordinator } from "../../node/services/coordinator.ts";
import { settled } from "./answers.ts";
import type { SimulatedCluster } from "./cluster.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/**
 * `PUT`, `PUT`, `GET`, each through another node, gives the last value. Every node takes a write by the quorums and the mode of the
 * ring on the way: whoever serves again after the faults serves all, and not only what it held.
 *
 * @param keys To be written; their values are gone afterwards.
 */
export async function checkLastOverwriteWins(cluster: SimulatedCluster, keys: readonly string[]): Promise<void> {
  const { living: nodes, options } = cluster;
  const through = (turn: number): Coordinator => {
    const machine = nodes[turn % nodes.length];
    return machine?.node?.coordinator ?? assert.fail(`${machine?.name} serves when all is quiet`);
  };
  const turns = Array.from({ length: Math.max(keys.length, nodes.length) }, (_, turn) => turn);
  for (const turn of turns) {
    const key = keys[turn % keys.length] as string;
    for (const [next, value] of ["first", "second"].entries()) {
      const put = { key: bytesOf(key), value: bytesOf(value), contentType: "text/plain", base: "overwrite" } as const;
      await answered(cluster, through(turn + next).put(put, { timeoutMs: 5_000 }));
    }
    await answered(cluster, through(turn).get(bytesOf(key), { timeoutMs: 5_000 }));
    const reading = through(turn + 2).get(bytesOf(key), { readQuorum: options.replicationFactor, timeoutMs: 5_000 });
    const { siblings } = await answered(cluster, reading);
    // What ended its life a moment ago is collected by one home before the other: until all have, who wrote at the first
    // does not replace what the others still hold, and they show that deletion beside the value.
    const isEnding = options.requests?.lifeSpans === true;
    const told = siblings.filter(({ value }) => !isEnding || value !== undefined);
    const shown = told.map(({ value }) => new TextDecoder().decode(value));
    assert.deepEqual(shown, ["second"], `the last of two blind overwrites of ${key} is what all replicas show`);
  }
}

/** The answer of a request in virtual time. */
async function answered<T>({ simulator }: SimulatedCluster, asking: Promise<T>): Promise<T> {
  const what = "a request is answered when all is quiet";
  const outcome = await settled(simulator, asking, { withinMs: 10_000, what });
  if (outcome.status === "fulfilled") return outcome.value;
  const { reason } = outcome;
  if (reason instanceof KvError) assert.fail(`a request is served when all is quiet: ${reason.message}`);
  throw reason;
}
