/** Time in a fake cluster. */
import type { FakeCluster } from "./fake-cluster.ts";

/** Seconds pass, and the operator looks after each. */
export async function pass(cluster: FakeCluster, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    cluster.tick();
    await cluster.reconcile();
  }
}
