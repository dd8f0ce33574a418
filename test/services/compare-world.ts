/** A comparison with a peer whose answers are scripted. */
import { createComparer } from "../../node/services/compare.ts";
import type { Replicas } from "../../node/services/replicas.ts";
import type { Trees } from "../../node/services/trees.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";

export const bytes = (text: string) => new Uint8Array(Buffer.from(text));
export const PAIRING = { epoch: 1, partition: 3, peer: "n2", peerBits: 0 };

/** A node that holds nothing of what its peer lists. `read` answers for the peer. */
export function worldOf(
  keys: readonly string[],
  read: (key: string) => Promise<Uint8Array | undefined>,
  inDoubt = false,
) {
  const merged: string[] = [];
  const telemetry = createRecordedTelemetry();
  const replicas: Pick<Replicas, "self" | "compare" | "read" | "merge"> = {
    self: "n1",
    compare: (async () => ({
      ...{ kind: "leaves", inDoubt },
      keys: keys.map((key) => ({ key: bytes(key), print: { a: 1, b: 2, c: 3, d: 4 } })),
    })) as unknown as Replicas["compare"],
    read: (_peer, _partition, { key }) => read(Buffer.from(key).toString()),
    async merge(_member, _partition, { key }) {
      merged.push(Buffer.from(key).toString());
      return "kept";
    },
  };
  const trees = { ready: () => ({ bits: 0 }), list: async () => [] } as unknown as Trees;
  const comparer = createComparer(
    {
      ...{ replicas: replicas as Replicas, trees, telemetry },
      readOwn: async () => undefined,
      covered: async () => undefined,
      budget: { spend: async () => undefined },
    },
    { timeoutMs: 1_000 },
  );
  return { comparer, merged, telemetry };
}

export const KEYS = Array.from({ length: 20 }, (_, at) => `key ${at}`);
