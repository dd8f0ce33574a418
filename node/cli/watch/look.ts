/** One look at a cluster through the admin ports that were named: what each node says of itself and of the others. */
import { z } from "zod";
import type { Answer, Endpoint } from "../../client/http.ts";
import { NoAnswerError } from "../../client/no-answer-error.ts";
import { answerOf, type Nodes } from "../../client/nodes.ts";
import type { Look, NodeView, SeenRing, Silence } from "../../core/watch/look.ts";
import { parseMetrics } from "../../core/watch/metrics-text.ts";
import { ClusterAnswer, RingAnswer, TransitionAnswer } from "../admin-views.ts";
import { answerError } from "../connection.ts";
import { CommandError, EXIT } from "../exit.ts";

const LookedAtCluster = ClusterAnswer.extend({
  members: z.array(
    z.object({
      name: z.string(),
      actor: z.string().nullish(),
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

/** How long the others may take once one has answered, in ms: a node that hangs holds up no look. */
const GRACE_MS = 2_000;
/** The same for those that did not answer the last time, once all others have, in ms. */
const SHORT_GRACE_MS = 250;
/** How long all may take, in ms. */
const PATIENCE_MS = 5_000;

/** Asks all nodes at once. One that does not answer is no error: that is what was looked for. */
export async function look(nodes: Nodes): Promise<Look> {
  const over = new AbortController();
  const timers: NodeJS.Timeout[] = [];
  const awaited = new Set(nodes.endpoints.filter(({ isSilent }) => !isSilent));
  const onAnswer = (endpoint: Endpoint) => {
    awaited.delete(endpoint);
    if (timers.length === 0) timers.push(setTimeout(() => over.abort(), GRACE_MS));
    if (awaited.size === 0) timers.push(setTimeout(() => over.abort(), SHORT_GRACE_MS));
  };
  const asked = await Promise.all(
    nodes.endpoints.map((endpoint) => askOne(endpoint, over.signal, () => onAnswer(endpoint))),
  );
  for (const timer of timers) clearTimeout(timer);
  const rings = asked.flatMap(({ ring }) => ring ?? []);
  return {
    atMs: Date.now(),
    views: asked.flatMap(({ view }) => view ?? []),
    silent: asked.flatMap(({ silence }) => silence ?? []),
    ring: rings.sort((a, b) => b.epoch - a.epoch)[0],
  };
}

/**
 * Ends a command that nobody told anything.
 *
 * @throws {CommandError} As refused where a node asks for a token, else as unavailable.
 */
export function requireView({ views, silent }: Look): void {
  if (views.length > 0) return;
  const isRefused = silent.some(({ isRefusal }) => isRefusal);
  const told = silent.map(({ url, why }) => `${url}: ${why}`).join("; ");
  throw new CommandError(told, isRefused ? EXIT.failed : EXIT.unavailable);
}

type Heard = {
  readonly view?: NodeView;
  readonly silence?: Silence;
  readonly ring?: SeenRing | undefined;
};

async function askOne(endpoint: Endpoint, signal: AbortSignal, onAnswer: () => void): Promise<Heard> {
  const { url } = endpoint;
  const startedMs = Date.now();
  const answer = await answerOf(endpoint, { method: "GET", path: "/v1/cluster", timeoutMs: PATIENCE_MS, signal });
  const endedMs = Date.now();
  const cluster = parsed(answer, LookedAtCluster);
  if (cluster === undefined) return { silence: silenceOf(url, answer, signal) };
  onAnswer();
  const paths = ["/metrics", "/readyz", "/v1/ring"];
  const [metrics, ready, ring] = await Promise.all(
    paths.map((path) => answerOf(endpoint, { method: "GET", path, timeoutMs: PATIENCE_MS })),
  );
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

function silenceOf(url: string, answer: Answer | NoAnswerError, { aborted }: AbortSignal): Silence {
  if (answer instanceof NoAnswerError) {
    return { url, why: `no answer (${aborted ? "in time" : answer.why})` };
  }
  if (answer.status === 200) return { url, why: "this is not the admin port of a node" };
  return { url, why: answerError(answer).message, isRefusal: answer.status === 401 || answer.status === 403 };
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
