/** What happens when there is too much of anything: refused at once, or held back, never piled up, never stuck. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import type { Reply } from "../../node/messages.ts";
import type { RequestHandler } from "../../node/ports.ts";
import { merge, read, type Scene, textIn } from "./transport-world.ts";

const MERGED: Reply = { kind: "merged", isCovered: false };
const KIB = 1_024;

/** Codes of what was refused and the number of what was answered. */
async function tally(scene: Scene, calls: readonly Promise<Reply>[]): Promise<Map<string, number>> {
  const results = await scene.settle(Promise.allSettled(calls));
  const counts = new Map<string, number>();
  for (const result of results) {
    assert(result.status === "fulfilled" || result.reason instanceof KvError);
    const what = result.status === "fulfilled" ? "answered" : `${result.reason.code} ${result.reason.outcome}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return counts;
}

export function boundsContract(scene: () => Scene): void {
  describe("too much", () => {
    it("in flight to one peer is refused as surely not sent, until replies have come", async () => {
      const [a, b] = await scene().pair({ limits: { inFlightMax: 10 } });
      const answers: ((reply: Reply) => void)[] = [];
      b.handler = () => new Promise((resolve) => answers.push(resolve));
      const calls = Array.from({ length: 10 }, () => a.request(b, read("k")));
      for (let more = 0; more < 5; more++) await scene().refused(a.request(b, read("k")), "OVERLOADED", "none");
      assert.equal(a.gauge("in_flight_requests"), 10);
      await scene().until(() => answers.length === 10);
      for (const answer of answers) answer(MERGED);
      assert.deepEqual(await tally(scene(), calls), new Map([["answered", 10]]));
      b.handler = async () => MERGED;
      assert.deepEqual(await scene().settle(a.request(b, read("k"))), MERGED);
      assert.equal(a.counted("overloaded"), 5);
    });

    it("waiting to be sent to one peer is refused as surely not sent, and the rest arrives", async () => {
      const limits = { outgoingBytesMax: 256 * KIB, frameBytesMax: 128 * KIB };
      const [a, b] = await scene().pair({ limits });
      // One turn says more than may wait; nothing of it has left this process before the turn ends or 256 KiB wait.
      const calls = Array.from({ length: 400 }, () => a.request(b, merge("k", new Uint8Array(64 * KIB))));
      assert(a.gauge("outgoing_bytes") <= limits.outgoingBytesMax + limits.frameBytesMax);
      const counts = await tally(scene(), calls);
      assert.equal((counts.get("answered") ?? 0) + (counts.get("OVERLOADED none") ?? 0), 400, String([...counts]));
      assert((counts.get("answered") ?? 0) >= 3);
      await scene().settle(a.request(b, merge("k", new Uint8Array(64 * KIB))));
    });

    it("for a slow handler is held back on the way, and all of it is answered in the end", async () => {
      const limits = { servingMax: 4, inFlightMax: 1_000 };
      const [a, b] = await scene().pair({ limits });
      let [serving, servingMost] = [0, 0];
      b.handler = (_from, request) =>
        new Promise((resolve) => {
          serving++;
          servingMost = Math.max(servingMost, serving);
          b.time.after(1, () => {
            serving--;
            resolve(request.kind === "merge" ? { kind: "record", record: request.key } : MERGED);
          });
        });
      const calls = Array.from({ length: 250 }, (_, index) =>
        a.request(b, merge(`k${index}`, new Uint8Array(2 * KIB))),
      );
      const replies = await scene().settle(Promise.all(calls));
      for (const [index, reply] of replies.entries()) assert.equal(textIn(reply), `k${index}`);
      assert.equal(servingMost, 4);
      assert.equal(a.openLinks, 1);
    });

    it("to answer at once is refused: replies that the peer has not taken do not pile up", async () => {
      const limits = { outgoingBytesMax: 512 * KIB, frameBytesMax: 300 * KIB };
      const [a, b] = await scene().pair({ limits });
      const large = new Uint8Array(256 * KIB);
      let mostBytes = 0;
      b.handler = async () => {
        mostBytes = Math.max(mostBytes, b.gauge("outgoing_bytes"));
        return { kind: "record", record: large };
      };
      const counts = await tally(
        scene(),
        Array.from({ length: 400 }, () => a.request(b, read("k"))),
      );
      assert.equal((counts.get("answered") ?? 0) + overloaded(counts), 400, String([...counts]));
      assert((counts.get("answered") ?? 0) >= 2);
      assert(mostBytes <= 2 * limits.outgoingBytesMax, `${mostBytes} bytes waited`);
      assert(a.isLinked(b));
    });

    it("said by both sides to each other at once gets through: neither waits for the other to read first", async () => {
      const limits = { outgoingBytesMax: 1_024 * KIB, frameBytesMax: 600 * KIB };
      const [a, b] = await scene().pair({ limits });
      const large = new Uint8Array(512 * KIB);
      const handler: RequestHandler = async () => ({ kind: "record", record: large });
      a.handler = handler;
      b.handler = handler;
      for (let round = 0; round < 10; round++) {
        const calls = Array.from({ length: 40 }, (_, index) =>
          index % 2 === 0 ? a.request(b, merge("k", large)) : b.request(a, merge("k", large)),
        );
        const counts = await tally(scene(), calls);
        assert.equal((counts.get("answered") ?? 0) + overloaded(counts), 40, String([...counts]));
      }
      await scene().until(() => a.gauge("outgoing_bytes") === 0 && b.gauge("outgoing_bytes") === 0);
      assert.equal((await scene().settle(a.request(b, read("k")))).kind, "record");
      assert.equal((await scene().settle(b.request(a, read("k")))).kind, "record");
      assert.deepEqual([a.counted("opened_links"), b.counted("opened_links")], [1, 1]);
    });
  });
}

function overloaded(counts: ReadonlyMap<string, number>): number {
  return (counts.get("OVERLOADED none") ?? 0) + (counts.get("OVERLOADED unknown") ?? 0);
}
