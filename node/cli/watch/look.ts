/** One look at a cluster through the admin ports that were named: what each node says of itself and of the others. */
import { z } from "zod";
import { type Answer, type Endpoint, NoAnswerError } from "../../client/http.ts";
import { answerOf, type Nodes } from "../../client/nodes.ts";
import type { Look, NodeView, SeenRing, Silence } from "../../core/watch/look.ts";
import { parseMetrics } from "../../core/watch/metrics-text.ts";
import { ClusterAnswer, RingAnswer, TransitionAnswer } from "../admin-views.ts";
import { answerError } from "../connection.ts";

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
  transition: TransitionAnswer.transform((each) => ({ ...each, startedAtMs: Date.parse(each.startedAt) })).nullish(),
  hints: z.object({ waiting: z.array(z.object({ target: z.string(), count: z.number(), bytes: z.number() })) }),
});

/** Asks all nodes at once. One that does not answer is no error: that is what was looked for. */
export async function look(nodes: Nodes): Promise<Look> {
  const asked = await Promise.all(nodes.endpoints.map(askOne));
  const rings = asked.flatMap(({ ring }) => ring ?? []);
  return {
    atMs: Date.now(),
    views: asked.flatMap(({ view }) => view ?? []),
    silent: asked.flatMap(({ silence }) => silence ?? []),
    ring: rings.sort((a, b) => b.epoch - a.epoch)[0],
  };
}

type Heard = {
  readonly view?: NodeView;
  readonly silence?: Silence;
  readonly ring?: SeenRing | undefined;
};

async function askOne(endpoint: Endpoint): Promise<Heard> {
  const { url } = endpoint;
  const startedMs = Date.now();
  const answer = await answerOf(endpoint, { method: "GET", path: "/v1/cluster" });
  const endedMs = Date.now();
  const cluster = parsed(answer, LookedAtCluster);
  if (cluster === undefined) return { silence: { url, why: whyNot(answer) } };
  const paths = ["/metrics", "/readyz", "/v1/ring"];
  const [metrics, ready, ring] = await Promise.all(paths.map((path) => answerOf(endpoint, { method: "GET", path })));
  const aheadMs = aheadOf(answer, { startedMs, endedMs });
  const view = { url, cluster, metrics: parseMetrics(textOf(metrics)), notReady: whyNotReady(ready), aheadMs };
  return { view, ring: parsed(ring, RingAnswer) };
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

/** Only what lies outside of the time that the question took counts: a late answer is no fast or slow clock. */
function aheadOf(
  answer: Answered,
  { startedMs, endedMs }: { readonly startedMs: number; readonly endedMs: number },
): number | undefined {
  if (answer === undefined || answer instanceof NoAnswerError) return undefined;
  const toldMs = Date.parse(answer.headers.date ?? "");
  if (Number.isNaN(toldMs)) return undefined;
  // `Date` is the beginning of a second.
  return Math.max(0, toldMs - endedMs) + Math.min(0, toldMs + 1_000 - startedMs);
}
