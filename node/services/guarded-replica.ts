/**
 * A replica that answers only for what it is complete for, and for no key whose own copy is in doubt: it takes every merge, but neither stamps, nor reads for a
 * quorum, nor pages through a partition that it may lack something of. Whoever coordinates turns to another home.
 */
import type { Completeness } from "./completeness.ts";
import type { Doubts } from "./doubts.ts";
import type { Replica } from "./replica.ts";

/** @param replica The replica itself, which repair goes on to use as it is. */
export function guardReplica(
  replica: Replica,
  { completeness, doubts }: { readonly completeness: Completeness; readonly doubts: Doubts },
): Replica {
  return {
    ...replica,
    async read(partition, key) {
      completeness.requireComplete(partition);
      doubts.requireSure(partition, key);
      return replica.read(partition, key);
    },
    async stamp(partition, request, deadlineMs) {
      completeness.requireComplete(partition);
      doubts.requireSure(partition, request.key);
      return replica.stamp(partition, request, deadlineMs);
    },
    async scan(request) {
      completeness.requireComplete(request.partition);
      doubts.requireAllSure(request.partition);
      return replica.scan(request);
    },
  };
}
