/**
 * `annulus export`: all pairs as JSON Lines that `annulus import` reads back.
 *
 * Partition after partition from the admin API. A partition's stream that breaks is taken up again behind the last
 * key that came, at the next node; only a partition that said it was complete counts as exported.
 */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { z } from "zod";
import { type Endpoint, NoAnswerError } from "../client/http.ts";
import type { Nodes } from "../client/nodes.ts";
import { adminJson, RingAnswer } from "./admin-views.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type ExportedKey, pairLine } from "./export-line.ts";

const ATTEMPTS_MAX = 20;
const PAUSE_MS = 250;

const Line = z.union([
  z.object({ key: z.string(), context: z.string(), siblings: z.array(z.unknown()) }),
  z.object({ partition: z.number(), complete: z.literal(true) }),
]);

/** `annulus export`. */
export function exportCommand(): Command {
  return withConnection(new Command("export").description("Write all pairs as JSON Lines that import reads back"))
    .option("-o, --out <file>", "write to this file instead of standard output")
    .action(async (options: ConnectionOptions & { out?: string }) => {
      const { partitions } = await adminJson(adminNodes(options), "/v1/ring", RingAnswer);
      const output = options.out === undefined ? process.stdout : createWriteStream(options.out);
      const nodes = adminNodes(options);
      const startMs = performance.now();
      let pairs = 0;
      try {
        for (let partition = 0; partition < partitions; partition += 1) {
          pairs += await exportPartition(nodes, partition, output);
        }
      } finally {
        nodes.close();
      }
      if (output !== process.stdout) {
        output.end();
        await once(output, "finish");
      }
      const seconds = (performance.now() - startMs) / 1000;
      process.stderr.write(`annulus: exported ${pairs} pairs in ${seconds.toFixed(1)} s\n`);
    });
}

async function exportPartition(nodes: Nodes, partition: number, output: Writable): Promise<number> {
  const progress: Progress = { pairs: 0, after: undefined, isComplete: false };
  let lastError: Error | undefined;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const endpoint = nodes.endpoints[attempt % nodes.endpoints.length] as Endpoint;
    if (attempt >= nodes.endpoints.length) await sleep(PAUSE_MS);
    lastError = await readPart(endpoint, { partition, progress, output });
    if (progress.isComplete) return progress.pairs;
  }
  throw new CommandError(
    `cannot export partition ${partition}: ${lastError?.message ?? "no node has it whole"}`,
    EXIT.unavailable,
  );
}

type Progress = { pairs: number; after: string | undefined; isComplete: boolean };

/** Reads a partition from one node as far as it gives it; returns what ended it early. */
async function readPart(
  endpoint: Endpoint,
  { partition, progress, output }: { partition: number; progress: Progress; output: Writable },
): Promise<Error | undefined> {
  const after = progress.after === undefined ? "" : `&after=${progress.after}`;
  try {
    const response = await endpoint.open({ method: "GET", path: `/v1/export?partition=${partition}${after}` });
    if (response.statusCode !== 200) {
      response.resume();
      return new Error(`${endpoint.url} answers ${response.statusCode}`);
    }
    for await (const text of createInterface({ input: response })) await takeLine(text, progress, output);
    return response.complete ? undefined : new Error(`${endpoint.url} broke off`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof NoAnswerError || code === "ECONNRESET" || error instanceof SyntaxError) return error as Error;
    throw error;
  }
}

async function takeLine(text: string, progress: Progress, output: Writable): Promise<void> {
  const line = Line.parse(JSON.parse(text));
  if ("complete" in line) {
    progress.isComplete = true;
    return;
  }
  progress.after = line.key;
  const pair = pairLine(line as ExportedKey);
  if (pair === undefined) return;
  progress.pairs += 1;
  if (!output.write(`${pair}\n`)) await once(output, "drain");
}
