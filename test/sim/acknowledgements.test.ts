/** What is asked of the second acknowledgement of a write: a node gives each here, or somebody who says too much or too little. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import { EMPTY_CONTEXT, joinContexts } from "../../node/core/version/context.ts";
import { decodeToken, encodeToken } from "../../node/core/version/context-codec.ts";
import type { WriteAnswer } from "../../node/services/coordinator.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { answerOf } from "./answers.ts";
import { Copies } from "./copies.ts";
import { History } from "./history.ts";
import { nodeOf, pass, startQuietCluster } from "./quiet-cluster.ts";
import { Tally } from "./tally.ts";
import { contentOf } from "./values.ts";
import type { Write } from "./writes.ts";

const KEY = "key 1";
const key = new TextEncoder().encode(KEY);
const DENIED = new KvError("PRECONDITION_FAILED", "The key has a value.");

/** A quiet cluster, and two siblings of one key, the second begun after the first was acknowledged. */
async function startStory() {
  const cluster = await startQuietCluster({ seed: 5, nodes: 3, readQuorum: 2, writeQuorum: 2 });
  const history = new History(cluster.options, cluster.losses);
  const copies = new Copies(cluster, (id) => history.mayBeDeleted(id, cluster.simulator.nowMs), new Tally());
  const begin = () => {
    const startedMs = cluster.simulator.nowMs;
    const what = { key: KEY, kind: "sibling", isDelete: false, isNamed: true, past: new Set<number>() } as const;
    return history.begin({ ...what, startedMs });
  };
  const nameOf = ({ id }: Write) => new TextEncoder().encode(`write ${id}`);
  const send = async (write: Write): Promise<WriteAnswer> => {
    const put = { key, ...contentOf(write), base: "sibling", idempotencyKey: nameOf(write) } as const;
    const answer = await answerOf(cluster, nodeOf(cluster, "n1").coordinator.put(put, {}));
    assert(!(answer instanceof KvError), String(answer));
    return answer;
  };
  const watch = (write: Write) =>
    new Acknowledgements({ cluster, history, copies }, write, { options: {}, name: nameOf(write), stampingMs: 1_000 });
  const write = begin();
  const watched = watch(write);
  const first = await send(write);
  const later = async () => {
    await pass(cluster, 10);
    const second = begin();
    const answer = await send(second);
    watch(second).take(answer);
    return answer;
  };
  return { cluster, write, watched, first, send, later };
}

function tokenOf(...answers: readonly WriteAnswer[]): string {
  const contexts = answers.map(({ context }) => decodeToken(context, key));
  return encodeToken(contexts.reduce(joinContexts, EMPTY_CONTEXT), key);
}

describe("the acknowledgements of a write", () => {
  it("are what a node gives, once and again, and after another write", async () => {
    const { write, watched, first, send, later } = await startStory();
    watched.take(first);
    watched.take(await send(write));
    await later();
    watched.take(await send(write));
  });

  it("may not have a token that does not cover the write", async () => {
    const { watched, first, later } = await startStory();
    watched.take(first);
    const other = await later();
    assert.throws(() => watched.take({ ...first, context: tokenOf() }), /the token of write 1 to key 1 covers it/);
    assert.throws(() => watched.take({ ...first, context: other.context }), /the token of write 1 to key 1 covers it/);
  });

  it("may not have a token that covers what began after the first of them and stands", async () => {
    const { watched, first, later } = await startStory();
    watched.take(first);
    const both = { ...first, context: tokenOf(first, await later()) };
    assert.throws(() => watched.take(both), /its token of .* covers write 2, which began later/);
  });

  it("may cover more where they are the first, or where the name may be lost with a disk", async () => {
    const { watched, first, later } = await startStory();
    watched.take({ ...first, context: tokenOf(first, await later()) });
    const another = await startStory();
    another.watched.take(another.first);
    const both = { ...another.first, context: tokenOf(another.first, await another.later()) };
    another.cluster.loseDisk(another.cluster.byName("n2"));
    another.watched.take(both);
  });

  it("may not count more than the disks hold, the second as little as the first", async () => {
    const { watched, first } = await startStory();
    watched.take(first);
    const receipt = { ...first.receipt, acks: 4, asked: 4 };
    assert.throws(() => watched.take({ ...first, receipt }), /no more than the disks hold/);
  });

  it("are not followed by word that the key has a value", async () => {
    const { watched, first } = await startStory();
    watched.take(DENIED);
    watched.take(first);
    assert.throws(() => watched.take(DENIED), /was acknowledged, and is told under its name/);
  });
});
