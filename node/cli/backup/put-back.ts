/**
 * Puts a backup back: batch after batch to `POST /v1/restore`, each until every record of it was judged.
 *
 * Not every node can judge every record (services/restore.ts), so what one leaves is sent to the next. Records are merged,
 * so that a batch that was sent twice, or a restore that begins anew, changes nothing.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Endpoint } from "../../client/http.ts";
import { NoAnswerError } from "../../client/no-answer-error.ts";
import { answerOf, type Nodes } from "../../client/nodes.ts";
import { counted } from "../../core/counted.ts";
import { parseAnswer } from "../admin-views.ts";
import type { ProgressLine } from "../change/follow.ts";
import { answerError } from "../connection.ts";
import { CommandError, EXIT } from "../exit.ts";
import { linesOf } from "./layer.ts";
import type { Manifest } from "./manifest.ts";
import type { BytePace } from "./pace.ts";
import type { Place } from "./place.ts";

const BATCH_ENTRIES = 128;
/** Far below what a node takes; one record that is larger goes alone. */
const BATCH_BYTES = 524_288;
const ROUNDS_MAX = 120;
const PAUSE_MS = 500;

const Outcome = z.object({ merged: z.number(), outdated: z.number(), unjudged: z.array(z.number()) });

export type Restored = { readonly merged: number; readonly outdated: number };

/**
 * @param options `from`: the partition of the backup to begin with.
 * @throws {CommandError} A batch was refused, or no node could judge what is left; says which partition to go on with.
 */
export async function putBack(
  nodes: Nodes,
  { place, manifest }: { readonly place: Place; readonly manifest: Manifest },
  { from, pace, line }: { readonly from: number; readonly pace: BytePace; readonly line: ProgressLine },
): Promise<Restored> {
  let [merged, outdated] = [0, 0];
  for (const { partition, layers } of manifest.parts) {
    if (partition < from) continue;
    try {
      for await (const batch of batchesOf(linesOf(place, layers))) {
        await pace(batch.reduce((sum, { length }) => sum + length, 0));
        const outcome = await sendBatch(nodes, batch);
        merged += outcome.merged;
        outdated += outcome.outdated;
      }
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new CommandError(`${error.message.replace(/\.$/, "")}; to go on: --from ${partition}`, error.exitCode);
    }
    line.show(`${partition + 1} of ${manifest.partitions} partitions, ${merged} records`, false);
  }
  return { merged, outdated };
}

/** Lines, some at a time. */
async function* batchesOf(lines: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  let batch: string[] = [];
  let bytes = 0;
  for await (const text of lines) {
    if (batch.length >= BATCH_ENTRIES || (batch.length > 0 && bytes + text.length > BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(text);
    bytes += text.length;
  }
  if (batch.length > 0) yield batch;
}

async function sendBatch(nodes: Nodes, lines: readonly string[]): Promise<Restored> {
  let left = lines;
  let [merged, outdated] = [0, 0];
  let lastError: Error | undefined;
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    if (round > 0) await sleep(PAUSE_MS);
    for (const endpoint of nodes.likeliest) {
      const outcome = await send(nodes, endpoint, left);
      if (outcome instanceof Error) {
        lastError = outcome;
        continue;
      }
      merged += outcome.merged;
      outdated += outcome.outdated;
      left = outcome.unjudged.map((place) => left[place] as string);
      if (left.length === 0) return { merged, outdated };
    }
  }
  throw new CommandError(
    `cannot restore ${counted(left.length, "record")}: ${lastError?.message ?? "no node named is home to them and can judge them: name all nodes"}`,
    EXIT.unavailable,
  );
}

/** An error that is returned may pass; one that is thrown does not. */
async function send(nodes: Nodes, endpoint: Endpoint, lines: readonly string[]) {
  const body = Buffer.from(`{"entries":[${lines.join(",")}]}`);
  const headers = { "content-type": "application/json" };
  const answer = await answerOf(endpoint, { method: "POST", path: "/v1/restore", headers, body });
  if (answer instanceof NoAnswerError) return answer;
  if (answer.status === 200) return parseAnswer(nodes, answer, Outcome);
  const error = answerError(answer);
  if (error.exitCode !== EXIT.unavailable) throw error;
  return error;
}
