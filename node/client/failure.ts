/** What a caller is told when a call fails: of the problem document of a node, or of a node that did not answer. */
import { counted } from "../core/counted.ts";
import type { Ask } from "./connections.ts";
import { AnnulusError, type ClientErrorCode } from "./errors.ts";
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

/** What stands for an answer that says no code. */
const CODES: Readonly<Record<number, ClientErrorCode>> = {
  429: "OVERLOADED",
  503: "QUORUM_UNAVAILABLE",
  504: "TIMED_OUT",
};

/** What is known of a call that failed: its attempts, and whether a replica may hold the write. */
export type So = { readonly attempts: number; readonly isUnknown: boolean };

/** What a caller is told whose client was closed. */
export function closedError({ attempts, isUnknown }: So): AnnulusError {
  const outcome = isUnknown ? "unknown" : "none";
  return new AnnulusError("CLOSED", "Cannot ask: the client was closed.", { outcome, attempts });
}

/**
 * What a caller is told whose own time for the call is over. That the last node had not answered by then says nothing of it:
 * it may have had a moment only.
 *
 * @param last What came of the last attempt; undefined: there was none.
 */
export function overError(last: WholeAnswer | NoAnswerError | undefined, { attempts, isUnknown }: So): AnnulusError {
  const when = attempts === 0 ? "before anything was asked" : `after ${counted(attempts, "attempt")}`;
  const parts = [`Cannot wait any longer: timeoutMs, the time of the call, was over ${when}.`];
  if (last instanceof NoAnswerError) parts.push(last.isUnasked ? `${last.message}.` : `The last was at ${last.url}.`);
  if (isUnknown)
    parts.push("The write may surface all the same; sent again with the same idempotencyKey it stays one.");
  return new AnnulusError("TIMED_OUT", parts.join(" "), {
    outcome: isUnknown ? "unknown" : "none",
    attempts,
    cause: last instanceof NoAnswerError ? last : undefined,
  });
}

/** What a caller is told when all nodes have become those of another cluster. */
export function lostError(
  { ours, other }: { readonly ours: string | undefined; readonly other: string | undefined },
  { attempts, isUnknown }: So,
): AnnulusError {
  const who = `the nodes are of the cluster "${other}" now, not of "${ours}", with which this client began`;
  const outcome = isUnknown ? "unknown" : "none";
  return new AnnulusError("UNREACHABLE", `Cannot ask: ${who}; if that is meant, make a new Client.`, {
    outcome,
    attempts,
  });
}

/** What a caller is told of an answer that is an error, or of none. */
export function errorOf(result: WholeAnswer | NoAnswerError, { attempts, isUnknown }: So): AnnulusError {
  const outcome = isUnknown ? "unknown" : "none";
  if (result instanceof NoAnswerError) {
    return new AnnulusError("UNREACHABLE", result.message, { outcome, attempts, cause: result });
  }
  const { type, detail, required, acknowledged } = problemOf(result);
  const { status } = result;
  const named = /^annulus:([A-Z_]+)$/.exec(String(type))?.[1] as ClientErrorCode | undefined;
  const code = named ?? CODES[status] ?? (status >= 500 ? "STORAGE_FAILED" : "INVALID_REQUEST");
  return new AnnulusError(code, typeof detail === "string" ? detail : `The node answered ${status}.`, {
    status,
    outcome,
    attempts,
    node: headerOf(result, "kv-node"),
    context: headerOf(result, "kv-context"),
    required: typeof required === "number" ? required : undefined,
    acknowledged: typeof acknowledged === "number" ? acknowledged : undefined,
  });
}
