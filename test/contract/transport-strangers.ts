/** Who is let in, who may ask without being a peer, and how a member takes its leave. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { Reply } from "../../node/messages.ts";
import { read, type Scene, textIn } from "./transport-world.ts";

export function strangersContract(scene: () => Scene): void {
  describe("a stranger", () => {
    it("of another cluster is refused, whoever of the two dials", async () => {
      const a = await scene().started("a");
      const b = await scene().started("b", { clusterId: "another-cluster" });
      a.peers(b);
      await scene().until(() => b.counted("refused_strangers") > 0 && a.counted("refused_strangers") > 0);
      b.peers(a);
      const before = b.counted("refused_strangers");
      await scene().until(() => b.counted("refused_strangers") > before + 2);
      assert(!a.isLinked(b) && !b.isLinked(a));
      assert.equal(a.transport.identityOf(b.name), undefined);
      await scene().refused(a.request(b, read("k")), "PEER_UNREACHABLE", "none");
      const refusal = await scene().refused(a.transport.ask(b.address, read("k"), 5_000), "PEER_UNREACHABLE", "none");
      assert.match(refusal.message, /cluster/);
    });

    it("is logged once, however often it comes", async () => {
      const a = await scene().started("a");
      const b = await scene().started("b", { clusterId: "another-cluster" });
      b.peers(a);
      await scene().until(() => a.counted("refused_strangers") >= 3);
      assert.equal(a.telemetry.events.filter((event) => event === "stranger.refused").length, 1);
    });

    it("at the address of a peer is refused: a name stands for one member", async () => {
      const [a, c] = [await scene().started("a"), await scene().started("c")];
      const b = await scene().started("b");
      b.kill("process");
      a.transport.setPeers([{ name: b.name, address: c.address }]);
      await scene().until(() => a.counted("refused_strangers") > 0 && c.counted("refused_strangers") > 0);
      assert(!a.isLinked(b) && !a.isLinked(c) && !c.isLinked(a));
    });

    it("is nobody who has only reached itself: that is refused, and neither told nor counted as a stranger", async () => {
      const a = await scene().started("a");
      await scene().refused(a.transport.ask(a.address, read("k"), 5_000), "PEER_UNREACHABLE", "none");
      assert.deepEqual([a.counted("refused_strangers"), a.transport.isLinked(a.name)], [0, false]);
      assert(!a.telemetry.events.includes("stranger.refused"));
      assert(a.telemetry.events.includes("handshake.refused"));
    });

    it("that has this member's own name is refused", async () => {
      const [a, double] = [await scene().started("a"), await scene().started("a")];
      const b = scene().member("b");
      a.transport.setPeers([{ name: b.name, address: double.address }]);
      await scene().until(() => a.counted("refused_strangers") > 0 && double.counted("refused_strangers") > 0);
      assert(!a.isLinked(b) && !a.transport.isLinked(a.name));
      await scene().refused(a.transport.ask(a.address, read("k"), 5_000), "PEER_UNREACHABLE", "none");
    });
  });

  describe("a member that is known by address only", () => {
    it("is asked over a link that is gone afterwards, and by many at once", async () => {
      const [a, seed] = [await scene().started("a"), await scene().started("seed")];
      const calls = Array.from({ length: 8 }, (_, index) => a.transport.ask(seed.address, read(`k${index}`), 10_000));
      const replies = await scene().settle(Promise.all(calls));
      assert.deepEqual(replies.map(textIn), ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"]);
      assert(!a.isLinked(seed) && !seed.isLinked(a));
      assert.deepEqual([a.openLinks, seed.openLinks], [0, 0]);
    });

    it("is asked beside the link that there is", async () => {
      const [a, b] = await scene().pair();
      assert.equal(textIn(await scene().settle(a.transport.ask(b.address, read("k"), 10_000))), "k");
      assert(a.isLinked(b) && b.isLinked(a));
      assert.deepEqual([a.counted("opened_links"), b.counted("opened_links")], [1, 1]);
    });

    it("and is not there, or does not answer, costs no more than the time that was given", async () => {
      const [a, gone, silent] = [await scene().started("a"), await scene().started("b"), await scene().started("c")];
      gone.kill("process");
      silent.handler = () => new Promise(() => {});
      await scene().refused(a.transport.ask(gone.address, read("k"), 10_000), "PEER_UNREACHABLE", "none");
      await scene().refused(a.transport.ask(silent.address, read("k"), 200), "TIMED_OUT", "unknown");
      await scene().refused(a.transport.ask("no address", read("k"), 10_000), "PEER_UNREACHABLE", "none");
    });
  });

  describe("a member that stops", () => {
    it("answers what it has begun, refuses what comes after, and is gone", async () => {
      const [a, b] = await scene().pair();
      let answer: ((reply: Reply) => void) | undefined;
      b.handler = () =>
        new Promise((resolve) => {
          answer = resolve;
        });
      const begun = a.request(b, read("begun"));
      await scene().until(() => answer !== undefined);
      const stopped = b.transport.stop();
      await scene().refused(a.request(b, read("late")), "NOT_READY", "none");
      assert(a.isLinked(b), "it still owes an answer");
      answer?.({ kind: "record", record: Buffer.from("done") });
      assert.equal(textIn(await scene().settle(begun)), "done");
      await scene().settle(stopped);
      await scene().until(() => !a.isLinked(b));
      assert(!b.isLinked(a));
      await scene().refused(a.request(b, read("k")), "PEER_UNREACHABLE", "none");
      await scene().refused(b.transport.ask(a.address, read("k"), 1_000), "PEER_UNREACHABLE", "none");
    });

    it("waits for the answers that others owe it", async () => {
      const [a, b] = await scene().pair();
      let answer: ((reply: Reply) => void) | undefined;
      b.handler = () =>
        new Promise((resolve) => {
          answer = resolve;
        });
      const own = a.request(b, read("own"));
      await scene().until(() => answer !== undefined);
      const stopped = a.transport.stop();
      await scene().advance(10);
      answer?.({ kind: "record", record: Buffer.from("done") });
      assert.equal(textIn(await scene().settle(own)), "done");
      await scene().settle(stopped);
    });

    it("does not wait for ever: what is not answered in time has outcome unknown on the other side", async () => {
      const [a, b] = await scene().pair({ limits: { stopTimeoutMs: 50 } });
      b.handler = () => new Promise(() => {});
      const refusal = scene().refused(a.request(b, read("k")), "PEER_UNREACHABLE", "unknown");
      await scene().advance(20);
      await scene().settle(Promise.all([b.transport.stop(), b.transport.stop()]));
      await refusal;
    });

    it("gives up what it is about to ask an address", async () => {
      const [a, b] = [await scene().started("a"), await scene().started("b")];
      b.kill("machine");
      const asked = a.transport.ask(b.address, read("k"), 60_000);
      const refusal = scene().refused(asked, "PEER_UNREACHABLE", "none");
      await scene().settle(a.transport.stop());
      await refusal;
    });
  });
}
