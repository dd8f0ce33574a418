/**
 * `annulus export`: all pairs as JSON Lines that `annulus import` reads back.
 *
 * Partition after partition from the admin API (partition-stream.ts); only one that said it was complete counts as exported.
 */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { Command } from "commander";
import { z } from "zod";
import type { Nodes } from "../client/nodes.ts";
import { counted } from "../core/counted.ts";
import { adminJson, RingAnswer } from "./admin-views.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type ExportedKey, pairLine } from "./export-line.ts";
import { closeOutput, openOutput } from "./output.ts";
import { readPartition } from "./partition-stream.ts";

const Entry = z.object({ key: z.string(), context: z.string(), siblings: z.array(z.unknown()) });

/** `annulus export`. */
export function exportCommand(): Command {
  return withConnection(new Command("export").description("Write all pairs as JSON Lines that import reads back"))
    .option("-o, --out <file>", "write to this file instead of standard output")
    .action(async (options: ConnectionOptions & { out?: string }) => {
      const { partitions } = await adminJson(adminNodes(options), "/v1/ring", RingAnswer);
      const output = await openOutput(options.out);
      const nodes = adminNodes(options);
      const startMs = performance.now();
      let pairs = 0;
      try {
        await nodes.probe();
        for (let partition = 0; partition < partitions; partition += 1) {
          pairs += await exportPartition(nodes, partition, output);
        }
      } finally {
        nodes.close();
      }
      await closeOutput(output);
      const seconds = (performance.now() - startMs) / 1000;
      process.stderr.write(`annulus: exported ${counted(pairs, "pair")} in ${seconds.toFixed(1)} s\n`);
    });
}

async function exportPartition(nodes: Nodes, partition: number, output: Writable): Promise<number> {
  let pairs = 0;
  const why = await readPartition(nodes, partition, {
    route: "/v1/export",
    entry: Entry,
    keyOf: ({ key }) => key,
    async take(entry) {
      const pair = pairLine(entry as ExportedKey);
      if (pair === undefined) return;
      pairs += 1;
      if (!output.write(`${pair}\n`)) await once(output, "drain");
    },
  });
  if (why === undefined) return pairs;
  throw new CommandError(`cannot export partition ${partition}: ${why}`, EXIT.unavailable);
}
