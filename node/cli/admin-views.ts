/** What the admin API answers, as far as the commands look at it; checked, for a URL may name another server. */
import { z } from "zod";
import type { Answer } from "../client/http.ts";
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

const moved = {
  movedBytes: z.number(),
  totalBytes: z.number(),
  movedPartitions: z.number(),
  totalPartitions: z.number(),
};

export const TransitionAnswer = z.object({
  id: z.string(),
  phase: z.string(),
  kind: z.string(),
  startedAt: z.string(),
  ...moved,
});

export const PlanAnswer = z.object({
  movedPartitions: z.number(),
  movedBytes: z.number(),
  members: z.array(
    z.object({
      name: z.string(),
      zone: z.string(),
      weight: z.number(),
      replicasBefore: z.number(),
      replicasAfter: z.number(),
      replicasIdeal: z.number(),
      gains: z.number(),
      loses: z.number(),
    }),
  ),
  notes: z.array(z.string()),
});

export const BegunAnswer = PlanAnswer.extend({ id: z.string() });

export const ChangeAnswer = z.object({
  id: z.string(),
  state: z.enum(["prepare", "switch", "cleaning", "done", "cancelled"]),
  kind: z.string().optional(),
  startedAt: z.string().optional(),
  epoch: z.number(),
  ...moved,
  waitsFor: z.string().optional(),
  members: z.array(z.object({ name: z.string(), epoch: z.number(), complete: z.boolean(), ...moved })),
});

export const ClusterAnswer = z.object({
  id: z.string(),
  node: z.string(),
  ringEpoch: z.number(),
  members: z.array(Member),
  transition: TransitionAnswer.nullish(),
});

export const RingAnswer = z.object({
  epoch: z.number(),
  partitions: z.number(),
  n: z.number(),
  r: z.number(),
  w: z.number(),
  mode: z.string(),
  members: z.array(
    z.object({
      name: z.string(),
      zone: z.string(),
      weight: z.number(),
      state: z.string(),
      actor: z.string().optional(),
      isDestroyed: z.boolean().optional(),
    }),
  ),
  preferenceLists: z.array(z.array(z.string())),
});

export const LocationAnswer = z.object({
  epoch: z.number(),
  partition: z.number(),
  token: z.string(),
  homes: z.array(z.object({ name: z.string(), zone: z.string(), address: z.string() })),
});

/**
 * Reads a JSON document of the admin API from the node that gives it first.
 *
 * @throws {CommandError} When the node refuses, or what answers is no node.
 */
export async function adminJson<T>(nodes: Nodes, path: string, schema: z.ZodType<T>): Promise<T> {
  return (await adminDocument(nodes, path, schema)).value;
}

/** As `adminJson`; `line` is the document as the node sent it, with what no schema here knows. */
export async function adminDocument<T>(
  nodes: Nodes,
  path: string,
  schema: z.ZodType<T>,
): Promise<{ readonly value: T; readonly line: string }> {
  try {
    const answer = await nodes.soonest({ method: "GET", path });
    if (answer.status !== 200) throw answerError(answer);
    return { value: parseAnswer(nodes, answer, schema), line: `${answer.body.toString().trim()}\n` };
  } finally {
    nodes.close();
  }
}

/**
 * Reads the JSON document of an answer.
 *
 * @throws {CommandError} What answers is no node.
 */
export function parseAnswer<T>(nodes: Nodes, answer: Answer, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(answer.body.toString());
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const urls = nodes.endpoints.map((endpoint) => endpoint.url).join(", ");
  throw new CommandError(`${urls}: this is not the admin port of a node (is ANNULUS_ADMIN_URL right?)`, EXIT.failed);
}
