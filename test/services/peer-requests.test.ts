/** Which peers are served, by the data directory that they come with. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { Request } from "../../node/messages.ts";
import type { PeerIdentity } from "../../node/ports.ts";
import { createPeerRequests, type PeerRequestParts } from "../../node/services/peer-requests.ts";

const EPOCH = 7;
const [FIRST, LISTED, NEW] = ["1".repeat(32), "2".repeat(32), "3".repeat(32)] as [string, string, string];

/** A node whose ring lists `b` with its second directory, and listed it with its first one before. */
function createNode(isSuperseded = false) {
  const ring = {
    epoch: EPOCH,
    member: (name: string) => (name === "b" ? { name, actor: LISTED } : undefined),
    partitionOf: () => 0,
  };
  const parts = {
    own: { merge: async () => "kept", read: async () => undefined },
    rings: {
      current: () => ring,
      required: () => ring,
      hasListed: (_name: string, actor: string) => actor !== NEW,
      catchUp: async () => ring,
    },
    actors: { note() {}, isAnother: () => false },
    identity: { isSuperseded: () => isSuperseded },
    gossiper: { exchange: () => [] },
    progress: { own: () => ({ kind: "progress" }) },
    telemetry: {},
  } as unknown as PeerRequestParts;
  const handle = createPeerRequests(parts);
  return (actor: string, request: object) =>
    handle({ name: "b", actor, incarnation: 1 } as PeerIdentity, request as Request, 1_000);
}

const read = (epoch: number) => ({ kind: "read", key: Uint8Array.of(1), epoch });
const gossip = { kind: "gossip", epoch: EPOCH, news: [] };

describe("a peer whose data directory is not the one that the ring lists", () => {
  it("is refused when its directory was listed before: another took its place", async () => {
    const ask = createNode();
    await assert.rejects(async () => ask(FIRST, read(EPOCH)), { code: "STALE_RING" });
    await assert.rejects(async () => ask(FIRST, { kind: "progress" }), { code: "STALE_RING" });
  });

  it("is refused when it goes by an older ring, until it knows who is listed", async () => {
    await assert.rejects(async () => createNode()(NEW, read(EPOCH - 1)), { code: "STALE_RING" });
  });

  it("is served when its directory is new and waits to be listed, as is the one that is listed", async () => {
    const ask = createNode();
    for (const actor of [NEW, LISTED]) assert.equal((await ask(actor, read(EPOCH))).kind, "record");
    assert.equal((await ask(LISTED, read(EPOCH - 1))).kind, "record");
  });

  it("is told of the ring all the same", async () => {
    assert.equal((await createNode()(FIRST, gossip)).kind, "gossiped");
  });
});

describe("a node whose own data directory has a successor", () => {
  it("serves nobody, and gossips", async () => {
    const ask = createNode(true);
    await assert.rejects(async () => ask(LISTED, { kind: "progress" }), { code: "STALE_RING" });
    assert.equal((await ask(LISTED, gossip)).kind, "gossiped");
  });
});
