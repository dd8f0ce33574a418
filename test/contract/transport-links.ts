/** What becomes of links: one per pair, made again after every loss, given up when the peer has gone silent. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { echo, read, type Scene, type TestNode, textIn } from "./transport-world.ts";

/** Notices silence soon, yet not so soon that a busy machine is taken for a dead one. */
const QUICK_TO_NOTICE = { silenceMs: 250, keepAliveMs: 300 };
/** Never notices silence: what a test sees has another cause. */
const SLOW_TO_NOTICE = { silenceMs: 600_000, keepAliveMs: 600_000 };

/** Waits until no link is made or given up any more, then asserts that each pair has one, and that both ends use it. */
async function assertOneLinkEach(scene: Scene, nodes: readonly TestNode[]): Promise<void> {
  await scene.linked(...nodes);
  await scene.until(() => nodes.every((node) => node.openLinks === nodes.length - 1));
  const opened = nodes.map((node) => node.counted("opened_links"));
  await scene.advance(30);
  assert.deepEqual(
    nodes.map((node) => node.counted("opened_links")),
    opened,
    "links went on being made",
  );
  for (const from of nodes) {
    for (const to of nodes) {
      if (from === to) continue;
      assert.equal(textIn(await scene.settle(from.request(to, read(from.name)))), from.name);
    }
  }
  assert.deepEqual(
    nodes.map((node) => node.openLinks),
    nodes.map(() => nodes.length - 1),
  );
}

export function linksContract(scene: () => Scene): void {
  describe("a link", () => {
    it("is made by one side that knows the other, and serves both", async () => {
      const [a, b] = [await scene().started("a"), await scene().started("b")];
      b.peers(a);
      await scene().linked(a, b);
      assert.equal(textIn(await scene().settle(a.request(b, read("to b")))), "to b");
      assert.equal(textIn(await scene().settle(b.request(a, read("to a")))), "to a");
    });

    it("is one for each pair, however the two dial each other at the same moment", async () => {
      for (let round = 0; round < 16; round++) {
        const [a, b] = [await scene().started(`a-${round}`), await scene().started(`b-${round}`)];
        const [first, second] = round % 2 === 0 ? [a, b] : [b, a];
        first.peers(second);
        if (round % 4 >= 2) await scene().advance(round % 3);
        second.peers(first);
        await assertOneLinkEach(scene(), [a, b]);
        a.kill("process");
        b.kill("process");
      }
    });

    it("is one for each pair of five that all start at once, and again after two of them died", async () => {
      const nodes: TestNode[] = [];
      for (const name of ["a", "b", "c", "d", "e"]) nodes.push(await scene().started(name));
      const meet = (node: TestNode) => node.peers(...nodes.filter((other) => other !== node));
      for (const node of nodes) meet(node);
      await assertOneLinkEach(scene(), nodes);
      const died = nodes.slice(1, 3);
      for (const node of died) node.kill("process");
      const rest = nodes.filter((node) => !died.includes(node));
      await scene().until(() => rest.every((node) => died.every((dead) => !node.isLinked(dead))));
      for (const node of died) {
        await scene().settle(node.start());
        meet(node);
      }
      await scene().linked(...nodes);
      for (const node of rest) await scene().until(() => node.openLinks === 4);
    });

    it("is made again when a peer that was away comes back, with what that one now says of itself", async () => {
      const [a, b] = await scene().pair();
      assert.equal(a.transport.identityOf(b.name)?.incarnation, 1);
      b.kill("process");
      await scene().until(() => !a.isLinked(b));
      // Away for long enough that the pauses between attempts have grown.
      await scene().advance(120);
      assert(!a.isLinked(b));
      assert.equal(a.transport.identityOf(b.name)?.incarnation, 1);
      await scene().settle(b.start({ incarnation: 2, actor: "b".repeat(32) }));
      await scene().until(() => a.isLinked(b));
      const { name } = b;
      assert.deepEqual(a.transport.identityOf(name), { name, actor: "b".repeat(32), incarnation: 2 });
      assert.equal(textIn(await scene().settle(a.request(b, read("again")))), "again");
    });

    it("to a peer that starts later than this member is made when it does", async () => {
      const b = await scene().started("b");
      b.kill("process");
      const a = await scene().started("a");
      a.peers(b);
      await scene().advance(50);
      await scene().settle(b.start());
      await scene().until(() => a.isLinked(b));
    });

    it("to a machine that died with a request of ours is given up after a silence", async () => {
      const [a, b] = await scene().pair({ limits: { ...QUICK_TO_NOTICE, keepAliveMs: 600_000 } });
      b.handler = () => new Promise(() => {});
      const call = a.request(b, read("k"));
      const refusal = scene().refused(call, "PEER_UNREACHABLE", "unknown");
      b.kill("machine");
      await refusal;
      await scene().until(() => !a.isLinked(b));
    });

    it("to a machine that died while nothing was asked is given up too", async () => {
      const [a, b] = await scene().pair({ limits: QUICK_TO_NOTICE });
      b.kill("machine");
      await scene().advance(20);
      assert(a.isLinked(b), "nobody can know yet");
      await scene().until(() => !a.isLinked(b));
    });

    it("on which nothing is asked stays for as long as the peer answers pings", async () => {
      const [a, b] = await scene().pair({ limits: { silenceMs: 250, keepAliveMs: 50 } });
      await scene().advance(800);
      assert(a.isLinked(b) && b.isLinked(a));
      assert.deepEqual([a.counted("opened_links"), b.counted("opened_links")], [1, 1]);
    });

    it("that hangs gives way to the new one of a peer that has restarted", async () => {
      const [a, b] = await scene().pair({ limits: SLOW_TO_NOTICE });
      b.handler = () => new Promise(() => {});
      const refusal = scene().refused(a.request(b, read("k")), "PEER_UNREACHABLE", "unknown");
      await scene().advance(20);
      b.kill("machine");
      await scene().advance(20);
      assert(a.isLinked(b), "the link hangs");
      b.handler = echo;
      await scene().settle(b.start({ incarnation: 2 }));
      b.peers(a);
      await refusal;
      await scene().until(() => a.transport.identityOf(b.name)?.incarnation === 2);
      assert.equal(textIn(await scene().settle(a.request(b, read("new")))), "new");
      assert.equal(a.openLinks, 1);
    });

    it("to a member that is no peer any more is closed once it is unused, and not before", async () => {
      const limits = { unusedMs: 250, silenceMs: 100 };
      const [a, b] = await scene().pair({ limits });
      b.peers();
      a.peers();
      await scene().settle(a.request(b, read("k")));
      assert(a.isLinked(b));
      await scene().until(() => !a.isLinked(b) && !b.isLinked(a));
      await scene().advance(60);
      assert(!a.isLinked(b), "nobody dials it any more");
    });

    it("goes to a peer's new address when that one moves", async () => {
      const [a, b, c] = [await scene().started("a"), await scene().started("b"), await scene().started("c")];
      c.kill("process");
      a.transport.setPeers([{ name: b.name, address: c.address }]);
      await scene().advance(30);
      assert(!a.isLinked(b));
      a.peers(b);
      await scene().until(() => a.isLinked(b));
    });

    it("tells who is at its other end from when it was made, also after it is gone", async () => {
      const a = await scene().started("a");
      const b = await scene().started("b", { actor: "0123456789abcdef".repeat(2), incarnation: 5 });
      assert.equal(a.transport.identityOf(b.name), undefined);
      a.peers(b);
      await scene().linked(a, b);
      const identity = { name: "b", actor: "0123456789abcdef".repeat(2), incarnation: 5 };
      assert.deepEqual(a.transport.identityOf(b.name), identity);
      assert.deepEqual(b.transport.identityOf(a.name), { name: "a", actor: "a".repeat(32), incarnation: 1 });
      b.kill("process");
      await scene().until(() => !a.isLinked(b));
      assert.deepEqual(a.transport.identityOf(b.name), identity);
    });
  });
}
