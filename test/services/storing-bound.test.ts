/** What one peer may have waiting for the disk, so that what needs no disk is served. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { TRANSPORT_LIMITS } from "../../node/adapters/tcp/limits.ts";
import type { Reply, Request } from "../../node/messages.ts";
import type { PeerIdentity } from "../../node/ports.ts";
import { boundStoring, STORING_MAX } from "../../node/services/storing-bound.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";

const MERGED: Reply = { kind: "merged", isCovered: false };
const NOTHING: Reply = { kind: "record", record: undefined };

/** A node of which the disk takes writes only when it is told to, or refuses them; reads are answered by memory. */
function createWorld() {
  const telemetry = createRecordedTelemetry();
  const waiting: { readonly resolve: (reply: Reply) => void; readonly reject: (why: Error) => void }[] = [];
  const handle = boundStoring(
    (_from, request) =>
      request.kind === "read"
        ? Promise.resolve(NOTHING)
        : new Promise((resolve, reject) => waiting.push({ resolve, reject })),
    telemetry,
  );
  const ask = (name: string, kind: Request["kind"]) => handle({ name } as PeerIdentity, { kind } as Request, 1_000);
  const fill = (kind: Request["kind"]) => Array.from({ length: STORING_MAX }, () => ask("n1", kind));
  return { telemetry, waiting, ask, fill };
}

describe("a node whose disk hangs", () => {
  it("keeps places of a link for reads", () => {
    assert(STORING_MAX < TRANSPORT_LIMITS.servingMax);
  });

  it.each(["merge", "stamp", "leaves", "accept", "promise"] as const)(
    "refuses a peer's next %s past the bound, at once, with nothing done, and serves its reads",
    async (kind) => {
      const { telemetry, waiting, ask, fill } = createWorld();
      const asked = fill(kind);
      await assert.rejects(ask("n1", kind), { code: "OVERLOADED", outcome: "none" });
      assert.equal(waiting.length, STORING_MAX, "nobody saw what was refused");
      assert.equal(telemetry.counted("annulus.transport.writes_refused"), 1);
      assert.deepEqual(await ask("n1", "read"), NOTHING);
      for (const { resolve } of waiting) resolve(MERGED);
      await Promise.all(asked);
    },
  );

  it("counts each peer apart, and takes more once some have ended, well or not", async () => {
    const { waiting, ask, fill } = createWorld();
    const asked = fill("merge");
    const ofAnother = ask("n2", "merge");
    waiting[0]?.resolve(MERGED);
    waiting[1]?.reject(new Error("the disk failed"));
    await asked[0];
    await assert.rejects(async () => asked[1], /the disk failed/);
    asked.push(ask("n1", "merge"), ask("n1", "merge"));
    await assert.rejects(ask("n1", "merge"), { code: "OVERLOADED" });
    for (const { resolve } of waiting) resolve(MERGED);
    assert.deepEqual(await ofAnother, MERGED);
    await Promise.allSettled(asked);
  });
});
