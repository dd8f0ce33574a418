/** Pairs that the stories of a simulated Kubernetes write, and what they find of them. */
import assert from "node:assert/strict";
import { KvError } from "../../../node/core/errors.ts";
import { answerOf } from "../answers.ts";
import type { SimulatedNode } from "../cluster.ts";
import type { KubeWorld } from "./kube-world.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
export const KEYS: readonly Uint8Array[] = Array.from({ length: 40 }, (_, index) => bytesOf(`key ${index}`));

function put(world: KubeWorld, { node }: SimulatedNode, key: Uint8Array, text: string) {
  assert(node !== undefined);
  const idempotencyKey = bytesOf(`${text} of ${new TextDecoder().decode(key)}`.padEnd(16));
  const value = { key, value: bytesOf(text), contentType: "text/plain", base: "overwrite" as const, idempotencyKey };
  return answerOf(world.cluster, node.coordinator.put(value, {}));
}

/** Writes through a node; returns the keys that it acknowledged. */
export async function putAll(world: KubeWorld, machine: SimulatedNode, keys: readonly Uint8Array[], text: string) {
  const acknowledged: Uint8Array[] = [];
  for (const key of keys) {
    if (machine.node === undefined) break;
    if (!((await put(world, machine, key, text)) instanceof KvError)) acknowledged.push(key);
  }
  return acknowledged;
}

/** What all but ghosts show is at least what was acknowledged. */
export async function assertShown(world: KubeWorld, keys: readonly Uint8Array[], text: string): Promise<void> {
  for (const key of keys) {
    for (const { node, name } of world.cluster.living) {
      if (node === undefined || !node.status.readiness().ready) continue;
      const answer = await answerOf(world.cluster, node.coordinator.get(key, { readQuorum: 2 }));
      if (answer instanceof KvError) continue;
      const shown = answer.siblings.map(({ value }) => new TextDecoder().decode(value));
      assert(shown.includes(text), `${name} shows [${shown}] of ${new TextDecoder().decode(key)}, not "${text}"`);
    }
  }
}
