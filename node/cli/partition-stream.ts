/**
 * One partition from the admin API as a stream of lines: from one node, and from the next where that breaks off.
 *
 * It is taken up again behind the last key that came, and is whole only once a node has said so.
 */
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import { z } from "zod";
import type { Answer, Endpoint } from "../client/http.ts";
import { NoAnswerError } from "../client/no-answer-error.ts";
import type { Nodes } from "../client/nodes.ts";
import { answerError } from "./connection.ts";
import { endpointsInTurn } from "./endpoints-in-turn.ts";

const End = z.object({ partition: z.number(), complete: z.literal(true) });

/** What is read, and who takes it. */
export type PartitionSource<Entry extends object> = {
  readonly route: "/v1/export" | "/v1/backup";
  readonly entry: z.ZodType<Entry>;
  /** The entry's key as the query `after` has it: percent-encoded. */
  readonly keyOf: (entry: Entry) => string;
  /** Takes the entries in storage order, each once. */
  readonly take: (entry: Entry) => Promise<void>;
};

/**
 * Reads a partition to its end.
 *
 * @returns Undefined, or why no node gave the rest of it.
 * @throws {CommandError} A node wants another token: the others would, too.
 */
export async function readPartition<Entry extends object>(
  nodes: Nodes,
  partition: number,
  source: PartitionSource<Entry>,
): Promise<string | undefined> {
  const progress: Progress = { after: undefined, isComplete: false };
  let lastError: Error | undefined;
  for await (const endpoint of endpointsInTurn(nodes)) {
    lastError = await readFrom(endpoint, partition, { ...source, progress });
    if (progress.isComplete) return undefined;
  }
  return lastError?.message ?? "no node has it whole";
}

type Progress = { after: string | undefined; isComplete: boolean };

/** Reads from one node as far as it gives it; returns what ended it early. */
async function readFrom<Entry extends object>(
  endpoint: Endpoint,
  partition: number,
  { route, entry, keyOf, take, progress }: PartitionSource<Entry> & { readonly progress: Progress },
): Promise<Error | undefined> {
  const after = progress.after === undefined ? "" : `&after=${progress.after}`;
  const line = z.union([entry, End]);
  try {
    const response = await endpoint.open({ method: "GET", path: `${route}?partition=${partition}${after}` });
    const { statusCode: status = 0, headers } = response;
    if (status !== 200) {
      const answer: Answer = { status, headers, body: await buffer(response), from: endpoint.url };
      if (status === 401 || status === 403) throw answerError(answer);
      return new Error(`${endpoint.url} answers ${status}`);
    }
    for await (const text of createInterface({ input: response })) {
      const found = line.parse(JSON.parse(text));
      if ("complete" in found) {
        progress.isComplete = true;
        continue;
      }
      await take(found as Entry);
      progress.after = keyOf(found as Entry);
    }
    return response.complete ? undefined : new Error(`${endpoint.url} broke off`);
  } catch (error) {
    if (error instanceof NoAnswerError || isBrokenOff(error)) return error as Error;
    throw error;
  }
}

/** Whether lines of JSON ended early, perhaps in the middle of one. */
export function isBrokenOff(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ECONNRESET" || error instanceof SyntaxError;
}
