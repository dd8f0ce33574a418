/** A steady load of writes from the client's pod, and the count of what is missing afterwards. */
import assert from "node:assert/strict";
import { kubectl } from "./kubectl.ts";
import { NAME, type Store, tell } from "./store.ts";

/** Writes keys until it is told to stop by a file; prints `acknowledged failed`. Each write is tried four times. */
const WRITER = `
  const fs = require("node:fs");
  const base = "http://${NAME}:7400/v1/kv/";
  const run = process.argv[1];
  (async () => {
    let done = 0, failed = 0;
    for (; !fs.existsSync("/tmp/stop-" + run); done++) {
      let ok = false;
      for (let n = 0; n < 4 && !ok; n++) {
        ok = await fetch(base + run + "-" + done, {method: "PUT", body: "v" + done, signal: AbortSignal.timeout(3000),
          headers: {"Idempotency-Key": run + done}}).then((r) => r.status === 204, () => false);
        if (!ok) await new Promise((r) => setTimeout(r, 500));
      }
      if (!ok) failed++;
      await new Promise((r) => setTimeout(r, 20));
    }
    console.log(done, failed);
  })();`;

/** Reads all keys back; prints how many are missing. */
const READER = `
  const base = "http://${NAME}:7400/v1/kv/";
  const [run, count] = process.argv.slice(1);
  (async () => {
    let lost = 0;
    for (let i = 0; i < Number(count); i++) {
      const text = await fetch(base + run + "-" + i).then((r) => r.text());
      if (text !== "v" + i) lost++;
    }
    console.log(lost);
  })();`;

/** Reads and writes as fast as it can until it is told to stop by a file; prints how many requests were answered. */
const PRESSER = `
  const fs = require("node:fs");
  const base = "http://${NAME}:7400/v1/kv/pressure-";
  let answered = 0;
  (async () => {
    await Promise.all(Array.from({length: 24}, async (_, client) => {
      for (let i = 0; !fs.existsSync("/tmp/stop-pressure"); i++) {
        const request = i % 4 === 0 ? {method: "PUT", body: "x".repeat(200)} : {};
        await fetch(base + (client * 100 + i % 100), {...request, signal: AbortSignal.timeout(3000)})
          .then((r) => r.text()).then(() => answered++, () => new Promise((r) => setTimeout(r, 100)));
      }
    }));
    console.log(answered);
  })();`;

/** Presses a store with all that one pod can ask for. Resolves at once; `end` with the number of answers. */
export async function press(store: Store): Promise<{ end(): Promise<number> }> {
  const marker = "/tmp/stop-pressure";
  await kubectl(["-n", store.namespace, "exec", "client", "--", "rm", "-f", marker]);
  const pressing = inClient(store, PRESSER);
  return {
    async end() {
      await kubectl(["-n", store.namespace, "exec", "client", "--", "touch", marker]);
      const [answered = 0] = await pressing;
      tell(`${answered} answers under pressure`);
      return answered;
    },
  };
}

async function inClient(store: Store, script: string, ...args: string[]): Promise<number[]> {
  const exec = ["-n", store.namespace, "exec", "client", "--", "node", "-e", script, "--", ...args];
  return (await kubectl(exec)).trim().split(" ").map(Number);
}

/** Writes while something happens: nothing that was acknowledged may be missing, and no write may fail for good. */
export async function underLoad(store: Store, name: string, happening: () => Promise<void>): Promise<void> {
  const writing = inClient(store, WRITER, name);
  try {
    await happening();
  } finally {
    await kubectl(["-n", store.namespace, "exec", "client", "--", "touch", `/tmp/stop-${name}`]);
  }
  const [count = 0, failed] = await writing;
  const [lost] = await inClient(store, READER, name, String(count));
  tell(`${name}: ${count} writes, ${failed} failed, ${lost} lost`);
  assert.ok(count > 100, `${count} writes prove little`);
  assert.equal(failed, 0);
  assert.equal(lost, 0);
}
