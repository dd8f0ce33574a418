/** What `GET /v1/cluster` answers, as JSON. */
import type { ClusterView, RepairView } from "./admin-api.ts";
import { transitionJson } from "./changes.ts";
import { formatInstant } from "./respond.ts";

/** Instants become texts, and what anti-entropy found a summary beside its list. */
export function clusterJson(cluster: ClusterView) {
  const transition = cluster.transition === null ? null : transitionJson(cluster.transition);
  return { ...cluster, transition, repair: repairJson(cluster.repair) };
}

function repairJson({ running, rounds, owned, built, partitions }: RepairView) {
  const times = partitions.flatMap(({ equalAtMs }) => (equalAtMs === undefined ? [] : [equalAtMs]));
  const all = times.length === partitions.length && times.length > 0;
  return {
    running,
    rounds,
    owned,
    built,
    oldest: all ? formatInstant(Math.min(...times)) : undefined,
    newest: times.length > 0 ? formatInstant(Math.max(...times)) : undefined,
    partitions: partitions.map(({ partition, equalAtMs }) =>
      equalAtMs === undefined ? { partition } : { partition, equalAt: formatInstant(equalAtMs) },
    ),
  };
}
