/**
 * A load whose every answer goes into a history, and the check of every promise afterwards.
 *
 * The clients run here and not in a pod, so that they need neither the API server nor the cluster's DNS: the Service's and
 * the pods' addresses must be reachable from this machine.
 */
import assert from "node:assert/strict";
import { textAt } from "../../operator/core/objects.ts";
import type { Endpoint } from "../process/calls.ts";
import { Clients } from "../process/clients.ts";
import { checkHistory } from "../process/rest.ts";
import { History } from "../sim/history.ts";
import { get, until } from "./kubectl.ts";
import { NAME, type Store, tell } from "./store.ts";

const DATA_PORT = 7400;
const REPLICATION_FACTOR = 3;
/** Three more tries, for longer than a machine that does much else keeps a member from answering. */
const RETRY_MS = [500, 1_000, 2_000];
/** Printed with the figures; `FAULT_SEED` repeats what clients do, though not when. */
const SEED = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000);

/** The spec of a store that may be loaded so: reads see every write that was acknowledged before. */
export const STRICT_QUORUM = { n: REPLICATION_FACTOR, r: 2, w: 2, mode: "strict" } as const;

export type HistoryLoad = {
  /**
   * Clients work while something happens; afterwards every promise is held against what each member shows. `progress`
   * resolves when so many more reads and writes have been acknowledged.
   */
  during(title: string, happening: (progress: (requests: number) => Promise<void>) => Promise<void>): Promise<void>;
};

/**
 * One history for a store's whole life, for its keys keep what was written before.
 *
 * @param tls How its data ports are spoken to where they speak TLS.
 */
export function createHistoryLoad(store: Store, tls?: Endpoint["tls"]): HistoryLoad {
  const history = new History();
  const over = tls === undefined ? {} : { tls };
  let runs = 0;

  async function endpoints() {
    const pods = await store.pods();
    return pods.map((pod) => ({
      name: pod.metadata.name,
      host: textAt(pod, "status", "podIP") ?? "",
      dataPort: DATA_PORT,
      ...over,
    }));
  }

  return {
    async during(title, happening) {
      const host = textAt(await get(store.namespace, "service", NAME), "spec", "clusterIP") ?? "";
      runs += 1;
      const clients = new Clients([{ host, dataPort: DATA_PORT, ...over }], history, {
        seed: SEED + runs,
        clients: 6,
        keys: 48,
        thinkMsMax: 60,
        mix: ["read", "read", "context", "context", "overwrite", "sibling", "remove"],
        isFresh: true,
        // Where a connection ends under a request, only a named write may be tried again.
        allNamed: true,
        retryMs: RETRY_MS,
      });
      const { counters } = clients;
      try {
        await happening(async (requests) => {
          const wanted = counters.acknowledged + requests;
          await until(`${requests} more acknowledged`, 120, async () => counters.acknowledged >= wanted);
        });
      } finally {
        await clients.stop();
      }
      await store.untilSettled("at rest", 180);
      await checkHistory({ nodes: await endpoints() }, history, clients.keys, REPLICATION_FACTOR);
      const { operations, acknowledged, retries, readsFailed, writesRefused, writesUnknown, reasons } = counters;
      const told = [...reasons].map(([reason, count]) => `${count} × ${reason}`).join("; ");
      tell(
        `${title} (seed ${SEED}): ${operations} operations, ${acknowledged} reads and writes acknowledged, ` +
          `${retries} tries more, failed for good: ${readsFailed} reads, ${writesRefused + writesUnknown} writes; 0 lost; told: ${told}`,
      );
      assert.ok(acknowledged > 400, `${acknowledged} requests prove little`);
      assert.deepEqual([readsFailed, writesRefused, writesUnknown], [0, 0, 0], "failed for good");
    },
  };
}
