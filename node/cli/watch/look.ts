/** One look at a cluster through the admin ports that were named: what each node says of itself and of the others. */
import { z } from "zod";
import { type Answer, NoAnswerError } from "../../client/http.ts";
import type { Nodes } from "../../client/nodes.ts";
import { ClusterAnswer, RingAnswer } from "../admin-views.ts";
import { answerError } from "../connection.ts";
import { parseMetrics, type Sample } from "./metrics-text.ts";

const LookedAtCluster = ClusterAnswer.extend({
  members: z.array(
    z.object({
      name: z.string(),
      zone: z.string(),
      weight: z.number(),
      state: z.string(),
      health: z.enum(["up", "suspect", "down"]),
      phi: z.number().optional(),
    }),
  ),
  hints: z.object({ waiting: z.array(z.object({ target: z.string(), count: z.number(), bytes: z.number() })) }),
});

/** What one node said. */
export type NodeView = {
  /** Base URL of its admin port. */
  readonly url: string;
  readonly cluster: z.infer<typeof LookedAtCluster>;
  readonly metrics: readonly Sample[];
  /** Why it does not serve clients, in its own words; undefined: it does. */
  readonly notReady: string | undefined;
  /** How far its wall clock is ahead of this program's, in ms, to about a second: `Date` has no more. */
  readonly aheadMs: number | undefined;
};

/** A node that gave no view of itself, and why. */
export type Silence = { readonly url: string; readonly why: string };

export type Look = {
  readonly atMs: number;
  readonly views: readonly NodeView[];
  readonly silent: readonly Silence[];
  /** The newest ring that a node told. */
  readonly ring: z.infer<typeof RingAnswer> | undefined;
};

/** Asks all nodes at once. @throws {CommandError} Never for one that does not answer: that is what was looked for. */
export async function look(nodes: Nodes): Promise<Look> {
  const asked = await Promise.all(
    ["/v1/cluster", "/metrics", "/readyz", "/v1/ring"].map((path) => nodes.each({ method: "GET", path })),
  );
  const atMs = Date.now();
  const [clusters = [], metrics = [], ready = [], rings = []] = asked;
  const views: NodeView[] = [];
  const silent: Silence[] = [];
  for (const [index, { url }] of nodes.endpoints.entries()) {
    const answer = clusters[index];
    const cluster = parsed(answer, LookedAtCluster);
    if (cluster === undefined) {
      silent.push({ url, why: whyNot(answer) });
      continue;
    }
    views.push({
      url,
      cluster,
      metrics: parseMetrics(textOf(metrics[index])),
      notReady: whyNotReady(ready[index]),
      aheadMs: aheadOf(answer, atMs),
    });
  }
  const known = rings.flatMap((answer) => parsed(answer, RingAnswer) ?? []);
  return { atMs, views, silent, ring: known.sort((a, b) => b.epoch - a.epoch)[0] };
}

type Answered = Answer | NoAnswerError | undefined;

function parsed<T>(answer: Answered, schema: z.ZodType<T>): T | undefined {
  if (answer === undefined || answer instanceof NoAnswerError || answer.status !== 200) return undefined;
  try {
    return schema.safeParse(JSON.parse(answer.body.toString("utf8"))).data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

function textOf(answer: Answered): string {
  return answer === undefined || answer instanceof NoAnswerError || answer.status !== 200
    ? ""
    : answer.body.toString("utf8");
}

function whyNot(answer: Answered): string {
  if (answer === undefined || answer instanceof NoAnswerError) return answer?.message ?? "it was not asked";
  return answer.status === 200 ? "this is not the admin port of a node" : answerError(answer).message;
}

function whyNotReady(answer: Answered): string | undefined {
  if (answer === undefined || answer instanceof NoAnswerError || answer.status === 200) return undefined;
  return answerError(answer).message;
}

function aheadOf(answer: Answered, atMs: number): number | undefined {
  if (answer === undefined || answer instanceof NoAnswerError) return undefined;
  const toldMs = Date.parse(answer.headers.date ?? "");
  return Number.isNaN(toldMs) ? undefined : toldMs - atMs;
}
