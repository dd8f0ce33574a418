/** What a caller is told when a call fails: of the problem document of a node, or of a node that did not answer. */
import { counted } from "../core/counted.ts";
import type { Ask } from "./connections.ts";
import { AnnulusError, type ClientErrorCode, type ClientErrorDetails, isNodesCode } from "./errors.ts";
import { headerOf, type WholeAnswer } from "./exchange.ts";
import { NoAnswerError } from "./no-answer-error.ts";

type Problem = {
  readonly type?: unknown;
  readonly detail?: unknown;
  readonly required?: unknown;
  readonly acknowledged?: unknown;
};

function problemOf(answer: WholeAnswer): Problem {
  if (headerOf(answer, "content-type")?.startsWith("application/problem+json") !== true) return {};
  try {
    return (JSON.parse(answer.body.toString("utf8")) ?? {}) as Problem;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return {};
  }
}

/** The `type` of an answer that is an error of the node or of a proxy; empty for another. */
export function typeOf(answer: WholeAnswer): string {
  return answer.status < 500 ? "" : String(problemOf(answer).type ?? "");
}

/**
 * Whether an answer is that of no node, which would say its name, and can be taken for one: a proxy's "not found" would read
 * as a key that was never written, and a page to log in as its value. A write's success is left: who strips headers may
 * have passed it on. So are refusals, and errors of who is in between; they are what they say.
 */
export function isForeign({ method }: Pick<Ask, "method">, answer: WholeAnswer): boolean {
  const { status } = answer;
  const isConfusable = status === 404 || (status < 400 && (method === "GET" || status >= 300));
  return isConfusable && headerOf(answer, "kv-node") === undefined;
}

/** Says that what is at a URL is no node: nothing was asked of one. */
export function foreignError(url: string, { status }: WholeAnswer): NoAnswerError {
  const why = `what is there is no node, for it answers ${status} without KV-Node; is this the URL of a node's data port?`;
  return new NoAnswerError(url, new Error(why), false);
}

/** What stands for a node's answer that says no code, or one that is not known here. */
const CODES: Readonly<Record<number, ClientErrorCode>> = {
  401: "UNAUTHENTICATED",
  403: "FORBIDDEN",
  405: "METHOD_NOT_ALLOWED",
  413: "TOO_LARGE",
  429: "OVERLOADED",
  503: "QUORUM_UNAVAILABLE",
  504: "TIMED_OUT",
};

/** What is known of a call that failed. */
export type So = {
  readonly attempts: number;
  /** Whether a replica may hold the write. */
  readonly isUnknown: boolean;
  /** Name of the write; undefined for a read. */
  readonly idempotencyKey: string | undefined;
};

function detailsOf({ attempts, isUnknown, idempotencyKey }: So): ClientErrorDetails {
  return { attempts, outcome: isUnknown ? "unknown" : "none", idempotencyKey };
}

/** What to do about a write that may surface. */
const SENT_AGAIN = "sent again with the idempotencyKey of this error it stays one write";

/** What a caller is told whose client was closed. */
export function closedError(so: So): AnnulusError {
  return new AnnulusError("CLOSED", "Cannot ask: the client was closed.", detailsOf(so));
}

/**
 * What a caller is told whose own time for the call is over. That the last node had not answered by then says nothing of it:
 * it may have had a moment only.
 *
 * @param last What came of the last attempt; undefined: there was none.
 * @param when In words.
 */
export function overError(
  last: WholeAnswer | NoAnswerError | undefined,
  so: So,
  when = so.attempts === 0 ? "before anything was asked" : `after ${counted(so.attempts, "attempt")}`,
): AnnulusError {
  const { isUnknown } = so;
  const parts = [`Cannot wait any longer: timeoutMs, the time of the call, was over ${when}.`];
  if (last instanceof NoAnswerError) parts.push(last.isUnasked ? `${last.message}.` : `The last was at ${last.url}.`);
  if (isUnknown) parts.push(`The write may surface all the same; ${SENT_AGAIN}.`);
  const cause = last instanceof NoAnswerError ? last : undefined;
  return new AnnulusError("TIMED_OUT", parts.join(" "), { ...detailsOf(so), cause });
}

/** What a caller is told when all nodes have become those of another cluster. */
export function lostError(
  { ours, other }: { readonly ours: string | undefined; readonly other: string | undefined },
  so: So,
): AnnulusError {
  const who = `the nodes are of the cluster "${other}" now, not of "${ours}", with which this client began`;
  return new AnnulusError("UNREACHABLE", `Cannot ask: ${who}; if that is meant, make a new Client.`, detailsOf(so));
}

/** What a caller is told of an answer that is an error, or of none. */
export function errorOf(result: WholeAnswer | NoAnswerError, so: So): AnnulusError {
  if (result instanceof NoAnswerError) {
    const { message } = result;
    const text = so.isUnknown ? `${message}. The write may surface all the same; ${SENT_AGAIN}.` : message;
    return new AnnulusError("UNREACHABLE", text, { ...detailsOf(so), cause: result });
  }
  const { required, acknowledged } = problemOf(result);
  return new AnnulusError(codeOf(result), textOf(result, so), {
    ...detailsOf(so),
    status: result.status,
    node: headerOf(result, "kv-node"),
    context: headerOf(result, "kv-context"),
    required: typeof required === "number" ? required : undefined,
    acknowledged: typeof acknowledged === "number" ? acknowledged : undefined,
  });
}

function codeOf(answer: WholeAnswer): ClientErrorCode {
  const { status } = answer;
  const named = /^annulus:([A-Z_]+)$/.exec(String(problemOf(answer).type))?.[1] ?? "";
  if (isNodesCode(named)) return named;
  const isNodes = headerOf(answer, "kv-node") !== undefined;
  if (status >= 500 && status !== 504 && !isNodes) return "UNREACHABLE";
  return CODES[status] ?? (status >= 500 ? "STORAGE_FAILED" : "INVALID_REQUEST");
}

function textOf(answer: WholeAnswer, { attempts, isUnknown }: So): string {
  const { detail } = problemOf(answer);
  const who = headerOf(answer, "kv-node") === undefined ? "What is before the nodes, or in their place," : "The node";
  const text = typeof detail === "string" ? asSpelt(detail) : `${who} answered ${answer.status}.`;
  // What one attempt was told, "nothing was sent" perhaps, does not hold for the write where another may have done it.
  const isOthers = isUnknown && attempts > 1 && headerOf(answer, "kv-outcome") !== "unknown";
  if (!isOthers) return text;
  const end = text.endsWith(".") ? "" : ".";
  const what = `One of ${attempts} attempts may have written it all the same`;
  return `${what}; another was told: ${text}${end} Read the key first, or repeat it: ${SENT_AGAIN}.`;
}

/** Names an option as the caller spelt it, where the API has another word for it. */
function asSpelt(detail: string): string {
  return detail
    .replace('the parameter "ttl"', 'the option "ttlSeconds"')
    .replace('the parameter "timeout"', 'the option "nodeTimeoutMs"');
}
