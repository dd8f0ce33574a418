import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { Response } from "undici";
import { createListWatch } from "../../operator/adapters/list-watch.ts";
import { PODS } from "../../operator/core/kinds.ts";
import type { KubeObject } from "../../operator/core/objects.ts";
import { KubeError } from "../../operator/ports.ts";

const SECOND_MS = 1_000;

function pod(name: string, resourceVersion: string): KubeObject {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default", resourceVersion } };
}

/** A server whose lists and connections the test plays, and a clock that it moves. */
function createScene(lists: (readonly KubeObject[] | KubeError)[], resyncMs = 3_600 * SECOND_MS) {
  let nowMs = 0;
  const timers = new Set<{ dueMs: number; run: () => void }>();
  const opened: { from: string; send: (event: object) => void; end: () => void; signal: AbortSignal }[] = [];
  const told: string[] = [];
  const counted = new Map<string, number>();
  let listed = 0;
  const encoder = new TextEncoder();
  const source = {
    async list() {
      const next = lists[Math.min(listed, lists.length - 1)];
      listed += 1;
      if (next === undefined || next instanceof KubeError) throw next ?? new Error("no list");
      return { items: next, resourceVersion: `list-${listed}` };
    },
    async open(from: string, _seconds: number, signal: AbortSignal) {
      let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
      const body = new ReadableStream<Uint8Array>({
        start(given) {
          controller = given;
        },
      });
      signal.addEventListener("abort", () => {
        try {
          controller?.error(new Error("aborted"));
        } catch (error) {
          assert.ok(error instanceof TypeError, "it had ended before");
        }
      });
      const send = (event: object) => controller?.enqueue(encoder.encode(`${JSON.stringify(event)}\n`));
      opened.push({ from, send, end: () => controller?.close(), signal });
      return new Response(body as never);
    },
  };
  const time = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    after(delayMs: number, run: () => void) {
      const timer = { dueMs: nowMs + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
  };
  const telemetry = {
    count: (name: string) => void counted.set(name, (counted.get(name) ?? 0) + 1),
    observe() {},
    gauge() {},
    log() {},
  };
  const random = { uint32: () => 0, bytes: (count: number) => new Uint8Array(count) };
  const settle = async () => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  };
  const pass = async (ms: number) => {
    const endMs = nowMs + ms;
    await settle();
    for (;;) {
      const next = [...timers].sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      timers.delete(next);
      nowMs = next.dueMs;
      next.run();
      await settle();
    }
    nowMs = endMs;
    await settle();
  };
  const watch = createListWatch(source, { time, random, telemetry }, { resource: PODS, resyncMs }, (object) =>
    told.push(object.metadata.name),
  );
  return { opened, told, counted, pass, settle, watch, listed: () => listed };
}

describe("a list-watch", () => {
  it("tells what is there, then what changes, and goes on after an ended connection where it was", async () => {
    const scene = createScene([[pod("a", "1"), pod("b", "2")]]);
    await scene.settle();
    assert.deepEqual(scene.told, ["a", "b"]);
    const [first] = scene.opened;
    assert.equal(first?.from, "list-1");
    first?.send({ type: "MODIFIED", object: pod("a", "7") });
    first?.send({ type: "BOOKMARK", object: pod("", "9") });
    first?.end();
    await scene.settle();
    assert.deepEqual(scene.told, ["a", "b", "a"]);
    assert.equal(scene.opened[1]?.from, "9");
    assert.equal(scene.listed(), 1);
    scene.watch.end();
  });

  it("lists anew when the server no longer keeps what it asks for", async () => {
    const scene = createScene([[pod("a", "1")], [pod("a", "5"), pod("c", "6")]]);
    await scene.settle();
    scene.opened[0]?.send({ type: "ERROR", object: { code: 410 } });
    await scene.pass(1);
    assert.deepEqual(scene.told, ["a", "a", "c"]);
    assert.equal(scene.opened[1]?.from, "list-2");
    scene.watch.end();
  });

  it("gives up a connection that has gone silent, and hears of the server again", async () => {
    const scene = createScene([[pod("a", "1")]]);
    await scene.settle();
    await scene.pass(100 * SECOND_MS);
    assert.equal(scene.opened.length, 1);
    await scene.pass(100 * SECOND_MS);
    assert.ok(scene.opened[0]?.signal.aborted);
    assert.equal(scene.opened.length, 2);
    assert.equal(scene.counted.get("annulus.operator.watches_silent"), 1);
    scene.watch.end();
  });

  it("does not run in circles where each connection is ended as soon as it stands", async () => {
    const scene = createScene([[pod("a", "1")]]);
    for (let turn = 0; turn < 30; turn += 1) {
      await scene.settle();
      const last = scene.opened.at(-1);
      if (last?.signal.aborted === false) last.end();
    }
    assert.equal(scene.opened.length, 1);
    for (let second = 0; second < 60; second += 1) {
      await scene.pass(SECOND_MS);
      const last = scene.opened.at(-1);
      if (last?.signal.aborted === false) last.end();
    }
    assert.ok(scene.opened.length > 3 && scene.opened.length < 12, `${scene.opened.length} connections in a minute`);
    scene.watch.end();
  });

  it("begins again after failures, ever later, and lists anew after its time whatever it heard", async () => {
    const away = new KubeError("unavailable", "away");
    const scene = createScene([away, away, away, [pod("a", "1")]], 600 * SECOND_MS);
    await scene.pass(4 * SECOND_MS);
    assert.equal(scene.counted.get("annulus.operator.watches_broken"), 3);
    assert.deepEqual(scene.told, ["a"]);
    await scene.pass(601 * SECOND_MS);
    scene.opened.at(-1)?.end();
    await scene.pass(SECOND_MS);
    assert.equal(scene.listed(), 5);
    scene.watch.end();
  });

  it("tells nothing after its end", async () => {
    const scene = createScene([[pod("a", "1")]]);
    await scene.settle();
    scene.watch.end();
    await scene.pass(1_000 * SECOND_MS);
    assert.deepEqual(scene.told, ["a"]);
    assert.equal(scene.listed(), 1);
  });
});
