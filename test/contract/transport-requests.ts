/** What a request meets: its reply, an error of the peer, the end of its time, or of the link. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { KvError } from "../../node/core/errors.ts";
import type { Reply, Request } from "../../node/messages.ts";
import type { PeerIdentity, RequestHandler } from "../../node/ports.ts";
import { echo, merge, read, type Scene, type TestNode, textIn } from "./transport-world.ts";

/** A handler that answers when it is told to, in any order. */
function held(): { handler: RequestHandler; readonly asked: Request[]; answer(index: number, reply: Reply): void } {
  const asked: Request[] = [];
  const answers: ((reply: Reply) => void)[] = [];
  return {
    handler: (_from, request) =>
      new Promise((resolve) => {
        asked.push(request);
        answers.push(resolve);
      }),
    asked,
    answer: (index, reply) => answers[index]?.(reply),
  };
}

const MERGED: Reply = { kind: "merged", isCovered: false };

export function requestsContract(scene: () => Scene): void {
  describe("a request", () => {
    it("is answered by the peer's handler, which is told who asks and how long that one waits", async () => {
      const [a, b] = await scene().pair();
      const told: { from: PeerIdentity; budgetMs: number }[] = [];
      b.handler = (from, request, budgetMs) => {
        told.push({ from, budgetMs });
        return echo(from, request, budgetMs);
      };
      const reply = await scene().settle(a.request(b, read("hello"), 7_000));
      assert.equal(textIn(reply), "hello");
      assert.deepEqual(
        told.map(({ from }) => from),
        [{ name: "a", actor: "a".repeat(32), incarnation: 1 }],
      );
      const budgetMs = told[0]?.budgetMs ?? 0;
      assert(budgetMs > 0 && budgetMs <= 7_000, `a budget of ${budgetMs} ms`);
    });

    it("of every kind arrives as it was sent, and so does every kind of reply", async () => {
      const [a, b] = await scene().pair();
      for (const [request, reply] of EXCHANGES) {
        let arrived: Request | undefined;
        b.handler = async (_from, found) => {
          arrived = found;
          return reply;
        };
        assert.deepEqual(await scene().settle(a.request(b, request)), reply);
        assert.deepEqual(arrived, request);
      }
    });

    it("gets its own reply among many, whatever the order of the answers, both ways at once", async () => {
      const [a, b] = await scene().pair();
      const late: RequestHandler = (from, request, budgetMs) =>
        new Promise((resolve) => {
          const key = request.kind === "read" ? Buffer.from(request.key).toString() : "";
          const delayMs = (Number(key.slice(1)) * 7) % 23;
          b.time.after(delayMs, () => resolve(echo(from, request, budgetMs)));
        });
      a.handler = late;
      b.handler = late;
      const ask = (from: TestNode, to: TestNode) =>
        Array.from({ length: 300 }, async (_, index) => {
          const key = `${from.name}${index}`;
          assert.equal(textIn(await from.request(to, read(key))), key);
        });
      await scene().settle(Promise.all([...ask(a, b), ...ask(b, a)]));
    });

    it("arrives before the one that was sent after it", async () => {
      const [a, b] = await scene().pair();
      const order: string[] = [];
      b.handler = async (_from, request) => {
        if (request.kind === "read") order.push(Buffer.from(request.key).toString());
        return MERGED;
      };
      const keys = Array.from({ length: 200 }, (_, index) => `k${index}`);
      await scene().settle(Promise.all(keys.map((key) => a.request(b, read(key)))));
      assert.deepEqual(order, keys);
    });

    it("meets the error of the peer's handler, with its code, outcome and words", async () => {
      const [a, b] = await scene().pair();
      b.handler = () => Promise.reject(new KvError("STORAGE_FULL", "Cannot write: no space", { outcome: "unknown" }));
      const full = await scene().refused(a.request(b, read("k")), "STORAGE_FULL", "unknown");
      assert.equal(full.message, "Cannot write: no space");
      b.handler = () => Promise.reject(new KvError("STALE_RING", "Cannot serve: another epoch"));
      await scene().refused(a.request(b, read("k")), "STALE_RING", "none");
      b.handler = echo;
      assert.equal(textIn(await scene().settle(a.request(b, read("k")))), "k");
    });

    it("is given up at its deadline and not before; its late reply disturbs nobody", async () => {
      const [a, b] = await scene().pair();
      const peer = held();
      b.handler = peer.handler;
      const startedMs = a.time.monotonicMs();
      const short = a.request(b, read("short"), 40);
      const long = a.request(b, read("long"), 15_000);
      await scene().refused(short, "TIMED_OUT", "unknown");
      const tookMs = a.time.monotonicMs() - startedMs;
      assert(tookMs >= 40, `given up after ${tookMs} ms`);
      peer.answer(0, { kind: "record", record: Buffer.from("late") });
      await scene().until(() => a.counted("late_replies") === 1);
      peer.answer(1, { kind: "record", record: Buffer.from("in time") });
      assert.equal(textIn(await scene().settle(long)), "in time");
      assert.equal(a.counted("timed_out_requests"), 1);
      assert(a.isLinked(b));
    });

    it("that has no time left is not sent", async () => {
      const [a, b] = await scene().pair();
      const peer = held();
      b.handler = peer.handler;
      for (const timeoutMs of [0, -5]) await scene().refused(a.request(b, read("k"), timeoutMs), "TIMED_OUT", "none");
      await scene().advance(20);
      assert.equal(peer.asked.length, 0);
    });

    it("that waited behind others until its time was over is dropped unseen", async () => {
      const limits = { servingMax: 1 };
      const [a, b] = await scene().pair({ limits });
      const peer = held();
      b.handler = peer.handler;
      const first = a.request(b, read("first"));
      await scene().until(() => peer.asked.length === 1);
      // It lies on the way, unread, where no clock counts its time.
      await scene().refused(a.request(b, read("second"), 30), "TIMED_OUT", "unknown");
      await scene().advance(20);
      peer.answer(0, MERGED);
      await scene().settle(first);
      const third = a.request(b, read("third"));
      await scene().until(() => peer.asked.length >= 2);
      peer.answer(peer.asked.length - 1, MERGED);
      await scene().settle(third);
      assert.deepEqual(
        peer.asked.map((request) => request.kind === "read" && Buffer.from(request.key).toString()),
        ["first", "third"],
      );
      assert.equal(b.counted("expired_requests"), 1);
    });

    it("to a member that is not linked is refused at once, as surely not delivered", async () => {
      const a = await scene().started("a");
      const nobody = scene().member("nobody");
      await scene().refused(a.request(nobody, read("k")), "PEER_UNREACHABLE", "none");
      const gone = await scene().started("gone");
      gone.kill("process");
      a.peers(gone);
      await scene().refused(a.request(gone, read("k")), "PEER_UNREACHABLE", "none");
      assert.equal(a.transport.isLinked(gone.name), false);
    });

    it("whose link breaks before the reply has come has outcome unknown", async () => {
      const [a, b] = await scene().pair();
      const peer = held();
      b.handler = peer.handler;
      const call = a.request(b, read("k"));
      await scene().until(() => peer.asked.length === 1);
      const refusal = scene().refused(call, "PEER_UNREACHABLE", "unknown");
      b.kill("process");
      await refusal;
      assert(!a.isLinked(b));
      await scene().refused(a.request(b, read("k")), "PEER_UNREACHABLE", "none");
    });

    it("may carry a mebibyte each way, among small ones", async () => {
      const [a, b] = await scene().pair();
      const large = Uint8Array.from({ length: 1_024 * 1_024 }, (_, index) => (index * 31) >> 3);
      b.handler = async (_from, request) =>
        request.kind === "merge" ? { kind: "record", record: request.record } : echo(_from, request, 0);
      const calls = Array.from({ length: 12 }, (_, index) =>
        a.request(b, index % 4 === 0 ? merge("large", large) : read(`small ${index}`)),
      );
      const replies = await scene().settle(Promise.all(calls));
      for (const [index, reply] of replies.entries()) {
        if (index % 4 !== 0) assert.equal(textIn(reply), `small ${index}`);
        else assert(reply.kind === "record" && Buffer.compare(reply.record ?? new Uint8Array(), large) === 0);
      }
    });

    it("too large for what the other end takes is refused unsent, and the link stays", async () => {
      const [a, b] = await scene().pair({}, { limits: { frameBytesMax: 256 * 1_024 } });
      const large = new Uint8Array(512 * 1_024);
      await scene().refused(a.request(b, merge("k", large)), "TOO_LARGE", "none");
      a.handler = async () => ({ kind: "record", record: large });
      await scene().refused(b.request(a, read("k")), "TOO_LARGE", "unknown");
      b.handler = async () => ({ kind: "record", record: new Uint8Array(200 * 1_024) });
      assert.equal((await scene().settle(a.request(b, read("k")))).kind, "record");
      assert.deepEqual([a.openLinks, a.counted("opened_links")], [1, 1]);
    });

    it("as large as the largest record goes through, both ways", async () => {
      const [a, b] = await scene().pair();
      const large = new Uint8Array(19 << 20).fill(7);
      b.handler = async (_from, request) => ({
        kind: "record",
        record: request.kind === "merge" ? request.record : undefined,
      });
      const reply = await scene().settle(a.request(b, merge("large", large)));
      assert(reply.kind === "record" && Buffer.compare(reply.record ?? new Uint8Array(), large) === 0);
      assert.deepEqual([a.openLinks, a.counted("opened_links")], [1, 1]);
    });

    it("too large for a frame is refused unsent; a reply too large is told of, and has outcome unknown", async () => {
      const [a, b] = await scene().pair({ limits: { frameBytesMax: 16 * 1_024 } });
      const large = new Uint8Array(16 * 1_024);
      await scene().refused(a.request(b, merge("k", large)), "TOO_LARGE", "none");
      b.handler = async () => ({ kind: "record", record: large });
      await scene().refused(a.request(b, read("k")), "TOO_LARGE", "unknown");
      b.handler = echo;
      assert.equal(textIn(await scene().settle(a.request(b, read("k")))), "k");
      assert.equal(a.openLinks, 1);
    });
  });
}

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const ACTOR = "0123456789abcdef".repeat(2);
const BALLOT = { round: 3, proposer: "kv-1" };
const STAMP = { kind: "stamp", epoch: 7, key: bytes("k"), base: { kind: "overwrite" } } as const;
const CONTENT = { value: bytes("v"), contentType: "text/plain; charset=utf-8", expiresAtMs: 1_800_000_000_000 };

/** One of each kind at least. */
const EXCHANGES: readonly (readonly [Request, Reply])[] = [
  [
    { ...STAMP, content: CONTENT, event: { kind: "client", id: bytes("id") } },
    { kind: "stamped", record: bytes("r"), context: bytes("c") },
  ],
  [
    {
      ...STAMP,
      base: { kind: "context", context: bytes("seen") },
      content: { value: undefined, contentType: "ä", expiresAtMs: undefined },
      event: { kind: "forward", id: new Uint8Array(16).fill(0xff) },
    },
    { kind: "stamped", record: new Uint8Array(0), context: new Uint8Array(0) },
  ],
  [{ ...STAMP, base: { kind: "sibling" }, content: CONTENT, event: undefined }, MERGED],
  [{ kind: "merge", epoch: 2 ** 40, key: new Uint8Array(1_024).fill(0), record: bytes("record") }, MERGED],
  [
    { kind: "read", epoch: 0, key: Uint8Array.of(0, 255, 128) },
    { kind: "record", record: bytes("record") },
  ],
  [
    { kind: "read", epoch: 1, key: bytes("absent") },
    { kind: "record", record: undefined },
  ],
  [
    { kind: "ring" },
    { kind: "ring", document: '{"epoch":1,"name":"ä"}', hadRing: true, knowsAnother: false, actor: ACTOR },
  ],
  [{ kind: "ring" }, { kind: "ring", document: undefined, hadRing: false, knowsAnother: true, actor: ACTOR }],
  [
    { kind: "accept", epoch: 2, ballot: BALLOT, document: '{"epoch":2}' },
    {
      kind: "voted",
      vote: "no",
      promised: { round: 4, proposer: "kv-0" },
      accepted: { ballot: BALLOT, document: '{"epoch":2}' },
      newer: undefined,
    },
  ],
  [
    { kind: "scan", epoch: 1, partition: 511, after: undefined, limit: 1_000 },
    {
      kind: "scanned",
      entries: Array.from({ length: 1_000 }, (_, index) => ({ key: bytes(`k${index}`), record: bytes(`r${index}`) })),
      done: false,
    },
  ],
  [
    { kind: "scan", epoch: 1, partition: 0, after: bytes("k"), limit: 1 },
    { kind: "scanned", entries: [], done: true },
  ],
];
