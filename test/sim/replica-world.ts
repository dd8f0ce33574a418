/** One replica over a simulated disk, without anybody else. */
import { createDoubts } from "../../node/services/doubts.ts";
import { createGroupCommit } from "../../node/services/group-commit.ts";
import { openIdentity } from "../../node/services/identity.ts";
import { createReplica } from "../../node/services/replica.ts";
import { createInstantTime } from "../contract/instant-time.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk } from "./disk.ts";
import { createSeededRandom } from "./random.ts";

export async function createReplicaWorld(seed = 1) {
  const time = createInstantTime();
  const telemetry = createRecordedTelemetry();
  const random = createSeededRandom(seed);
  const disk = createSimulatedDisk({ time, random: random.stream("disk") });
  const engine = disk.open();
  const sizes = { batchBytesMax: 4_000, queueBytesMax: 1_000_000, queueMsMax: 60_000 };
  const commit = createGroupCommit({ engine, time, telemetry }, { sync: false, intervalMs: 1, ...sizes });
  const ports = { engine, random: random.stream("identity"), telemetry };
  const identity = await openIdentity(ports, { clusterId: "c", member: "n1", bootId: "b" });
  const doubts = createDoubts({ engine, telemetry });
  const parts = { engine, commit, identity, doubts, ledger: undefined, collection: undefined, time, telemetry };
  const limits = { siblingsMax: 50, siblingBytesMax: 1 << 20, contextEntriesMax: 32, mayForget: () => false };
  const replica = createReplica(parts, { ...limits, cacheBytes: 3_000 });
  return { time, disk, replica };
}
