/** `annulus ring`: the ring that a running cluster goes by. */
import type { Command } from "commander";
import type { z } from "zod";
import { adminDocument, RingAnswer } from "./admin-views.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { alignTable } from "./table.ts";

type RingView = z.infer<typeof RingAnswer>;

/** Makes the command `ring`, called without a sub-command, show the live ring. */
export function addRingDisplay(ring: Command): void {
  withConnection(ring)
    .option("--json", "print the ring document as it is")
    .option("--partitions", "show the home replicas of each partition")
    .action(async (options: ConnectionOptions & { json?: boolean; partitions?: boolean }) => {
      const { value: view, line } = await adminDocument(adminNodes(options), "/v1/ring", RingAnswer);
      if (options.json === true) process.stdout.write(line);
      else process.stdout.write(options.partitions === true ? partitionTable(view) : shareTable(view));
    });
}

function shareTable(view: RingView): string {
  const { epoch, partitions, n, r, w, mode, members, preferenceLists } = view;
  const places = preferenceLists.flat();
  const rows = members.map(({ name, zone, weight, state }) => {
    const replicas = places.filter((home) => home === name).length;
    const first = preferenceLists.filter(([home]) => home === name).length;
    const share = places.length === 0 ? 0 : (replicas / places.length) * 100;
    return [name, zone, String(weight), state, String(replicas), `${share.toFixed(1)} %`, String(first)];
  });
  const head = ["MEMBER", "ZONE", "WEIGHT", "STATE", "REPLICAS", "SHARE", "FIRST"];
  const title = `epoch ${epoch}: ${partitions} partitions, N=${n} R=${r} W=${w}, ${mode}\n\n`;
  return title + alignTable([head, ...rows]);
}

function partitionTable({ preferenceLists }: RingView): string {
  const rows = preferenceLists.map((homes, partition) => [String(partition), homes.join(" ")]);
  return alignTable([["PARTITION", "HOMES"], ...rows]);
}
