/** What the admin API answers, as far as the commands look at it; checked, for a URL may name another server. */
import { z } from "zod";
import { NoAnswerError } from "../client/http.ts";
import type { Nodes } from "../client/nodes.ts";
import { answerError } from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";

const Member = z.object({
  name: z.string(),
  actor: z.string().nullish(),
  address: z.string(),
  zone: z.string(),
  weight: z.number(),
  state: z.string(),
  health: z.string(),
});

export const ClusterAnswer = z.object({
  id: z.string(),
  node: z.string(),
  ringEpoch: z.number(),
  members: z.array(Member),
});

export const RingAnswer = z.object({
  epoch: z.number(),
  partitions: z.number(),
  n: z.number(),
  r: z.number(),
  w: z.number(),
  mode: z.string(),
  members: z.array(z.object({ name: z.string(), zone: z.string(), weight: z.number(), state: z.string() })),
  preferenceLists: z.array(z.array(z.string())),
});

export const LocationAnswer = z.object({
  epoch: z.number(),
  partition: z.number(),
  token: z.string(),
  homes: z.array(z.object({ name: z.string(), zone: z.string(), address: z.string() })),
});

/**
 * Reads a JSON document of the admin API from the first node that gives it.
 *
 * @throws {CommandError} When the node refuses, or what answers is no node.
 */
export async function adminJson<T>(nodes: Nodes, path: string, schema: z.ZodType<T>): Promise<T> {
  try {
    const answer = await nodes.attempt({ method: "GET", path });
    if (answer.status !== 200) throw answerError(answer);
    return schema.parse(JSON.parse(answer.body.toString()));
  } catch (error) {
    if (error instanceof CommandError || error instanceof NoAnswerError) throw error;
    const urls = nodes.endpoints.map((endpoint) => endpoint.url).join(", ");
    throw new CommandError(`${urls}: this is not the admin port of a node (is ANNULUS_ADMIN_URL right?)`, EXIT.failed);
  } finally {
    nodes.close();
  }
}
