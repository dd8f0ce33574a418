/** Which phase the ring is in, as a member tells it: asked every few milliseconds from inside of its own pod. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { ADMIN_URL_IN_POD, NODE_IN_POD } from "./admin-port.ts";

/** `done`: no change runs, and the last one left nothing to clean up. */
export type RingMoment = {
  readonly epoch: number;
  readonly phase: "prepare" | "switch" | "cleaning" | "done" | "cancelled";
  /** The change that runs or was cleaned up after. */
  readonly id: string | undefined;
};

export type RingFollower = {
  latest(): RingMoment;
  moments(): readonly RingMoment[];
  /** Resolves at once when a phase begins. */
  until(phase: RingMoment["phase"], withinMs: number): Promise<void>;
  end(): Promise<void>;
};

/** Prints a line whenever something is new. A change that is over is asked about until it is cleaned up. */
const FOLLOWER = `
  const base = "${ADMIN_URL_IN_POD}/v1/cluster";
  let id, last;
  const ask = (path) => fetch(base + path).then((r) => r.json());
  (async () => {
    for (;; await new Promise((r) => setTimeout(r, 10))) {
      const {ringEpoch: epoch, transition} = await ask("");
      if (transition !== null && transition !== undefined) id = transition.id;
      const phase = transition?.phase ?? (id === undefined ? "done" : (await ask("/changes/" + id)).state);
      const line = JSON.stringify({epoch, phase, id});
      if (line !== last) console.log(last = line);
    }
  })();`;

/** Follows the ring from now on by what one pod's node says. Resolves when the first answer is there. */
export async function followRing(namespace: string, pod: string): Promise<RingFollower> {
  const args = ["-n", namespace, "exec", pod, "--", ...NODE_IN_POD, FOLLOWER];
  const child = spawn("kubectl", args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  const seen: RingMoment[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => seen.push(JSON.parse(line) as RingMoment));
  await once(lines, "line");
  const latest = () => seen.at(-1) ?? assert.fail("nothing was said");
  return {
    latest,
    moments: () => seen,
    async until(phase, withinMs) {
      const signal = AbortSignal.timeout(withinMs);
      while (latest().phase !== phase) await once(lines, "line", { signal });
    },
    async end() {
      child.kill();
      await closed;
    },
  };
}
