/**
 * A replica that answers only for what it is complete for: it takes every merge, but neither stamps, nor reads for a
 * quorum, nor pages through a partition that it may lack something of. Whoever coordinates turns to another home.
 */
import type { Completeness } from "./completeness.ts";
import type { Replica } from "./replica.ts";

/** @param replica The replica itself, which repair goes on to use as it is. */
export function guardReplica(replica: Replica, completeness: Completeness): Replica {
  return {
    ...replica,
    async read(partition, key) {
      completeness.requireComplete(partition);
      return replica.read(partition, key);
    },
    async stamp(partition, request, deadlineMs) {
      completeness.requireComplete(partition);
      return replica.stamp(partition, request, deadlineMs);
    },
    async scan(request) {
      completeness.requireComplete(request.partition);
      return replica.scan(request);
    },
  };
}
