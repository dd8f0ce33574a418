/**
 * Several nodes as one service: requests go round them, and one that does not answer is passed over.
 *
 * Any node answers for any key, so that whichever is reached will do. `attempt` asks each node at most once, `soonest` does
 * so without waiting long for any: both ask those last that did not answer before. `persist`
 * goes on with growing pauses until a time is over, for work that is meant to survive a restart of nodes: its writes
 * carry an Idempotency-Key, so that a repetition is the same event wherever it arrives.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, type Call, type ClientTls, Endpoint } from "./http.ts";
import { NoAnswerError } from "./no-answer-error.ts";
import { repetitionOf } from "./request.ts";

export type NodesOptions = {
  /** Base URLs, at least one. */
  readonly urls: readonly string[];
  /** Connections to each node at once. */
  readonly connectionsMax: number;
  /** How long a node may be silent before it counts as not answering. */
  readonly timeoutMs: number;
  /** For https URLs. */
  readonly tls?: ClientTls | undefined;
  /** Bearer token; undefined: none is sent. */
  readonly token?: string | undefined;
};

/** Whether another node, or the same one a little later, may answer otherwise: from 500 on it is one node's trouble. */
const isTransient = ({ status }: Answer) => status === 408 || status === 429 || status >= 500;
/** `soonest` asks the next node as well when those asked have said nothing for so long. */
const PATIENCE_MS = 2_000;
/** What `soonest` reads is at hand where it is asked for: who says nothing for so long says nothing, in ms. */
const SOON_MS = 5_000;
/** `persist` tries a node that did not answer again after so long: each try may be held up by it. */
const LEFT_OUT_MS = 5_000;
const PAUSE_MS_FIRST = 20;
const PAUSE_MS_MAX = 2000;

/** A client of several nodes; `close` it when done. Constructing throws TypeError for URLs it cannot use. */
export class Nodes {
  readonly #endpoints: readonly Endpoint[];
  /** When one that did not answer is tried again. */
  readonly #dueMs = new Map<Endpoint, number>();
  #next = 0;

  constructor(options: NodesOptions) {
    this.#endpoints = options.urls.map((url) => new Endpoint(url, options));
    if (this.#endpoints.length === 0) throw new TypeError("expected the URL of at least one node");
    this.#next = Math.floor(Math.random() * this.#endpoints.length);
  }

  /**
   * Asks one node, and the others in turn while none answers. Any HTTP status but 429 is an answer.
   *
   * @throws {NoAnswerError} The last node's, when none answered.
   */
  async attempt(call: Call): Promise<Answer> {
    let last: Answer | NoAnswerError | undefined;
    for (const endpoint of this.#round()) {
      last = await answerOf(endpoint, call);
      if (!(last instanceof NoAnswerError) && last.status !== 429) return last;
    }
    return settled(last);
  }

  /**
   * Asks for what may be asked for several times over: one node, and the next one too after each refusal or two seconds
   * of silence. The first answer counts; one that another node may give otherwise only where there is no other.
   *
   * @param isPassedOver Tells of an answer that another node may give otherwise.
   * @throws {NoAnswerError} When none answered: that of a node which may have been reached, if there is one.
   */
  async soonest(call: Call, isPassedOver: (answer: Answer) => boolean = isTransient): Promise<Answer> {
    const over = new AbortController();
    const left = this.#round();
    const asked = new Map<Endpoint, Promise<Heard>>();
    const passed = new PassedOver();
    try {
      for (;;) {
        const next = left.shift();
        if (next !== undefined) asked.set(next, hear(next, { timeoutMs: SOON_MS, ...call, signal: over.signal }));
        if (asked.size === 0) return passed.told();
        const patience = left.length === 0 ? [] : [sleep(PATIENCE_MS, undefined, { ref: false })];
        const heard = await Promise.race([...asked.values(), ...patience]);
        if (heard === undefined) {
          for (const endpoint of asked.keys()) endpoint.isSilent = true;
          continue;
        }
        asked.delete(heard.from);
        const { result } = heard;
        if (!(result instanceof NoAnswerError) && !isPassedOver(result))
          return { ...result, isDoubtful: passed.doubts + asked.size > 0 };
        passed.add(result);
      }
    } finally {
      over.abort();
    }
  }

  /**
   * Asks node after node until one gives an answer that will stay, with growing pauses, for `forMs`.
   *
   * @param onRetry Is told of each repetition.
   * @throws {NoAnswerError} The last node's, when the time was over and none had answered.
   */
  async persist(call: Call, options: { forMs: number; onRetry?: () => void }): Promise<Answer> {
    const untilMs = performance.now() + options.forMs;
    const again = repetitionOf(call);
    for (let attempt = 0; ; attempt += 1) {
      const result = await answerOf(this.#pick(), attempt === 0 ? call : again);
      if (!(result instanceof NoAnswerError) && !isTransient(result)) return result;
      const pauseMs = pauseBefore(attempt, result, this.#endpoints.length);
      if (performance.now() + pauseMs > untilMs) return settled(result);
      options.onRetry?.();
      await sleep(pauseMs);
    }
  }

  /** The nodes in the order of the URLs. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** The nodes in the order of the URLs, those that did not answer lately last. */
  get likeliest(): readonly Endpoint[] {
    return silentLast(this.#endpoints);
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  /** The next one in turn. One that did not answer is left out, but for a try now and then. */
  #pick(): Endpoint {
    const nowMs = performance.now();
    const [first, ...others] = this.#round();
    return others.find((endpoint) => endpoint.isSilent && this.#isDue(endpoint, nowMs)) ?? (first as Endpoint);
  }

  /** Whether one that was left out is to be tried again now. */
  #isDue(endpoint: Endpoint, nowMs: number): boolean {
    const dueMs = this.#dueMs.get(endpoint);
    if (dueMs !== undefined && nowMs < dueMs) return false;
    this.#dueMs.set(endpoint, nowMs + LEFT_OUT_MS);
    return dueMs !== undefined;
  }

  /** Finds out for `likeliest` who answers at all: each is asked for a sign of life, and has two seconds. */
  async probe(): Promise<void> {
    const call: Call = { method: "GET", path: "/healthz", timeoutMs: PATIENCE_MS };
    await Promise.all(this.#endpoints.map((endpoint) => answerOf(endpoint, call)));
  }

  /** All nodes once, each time from another one on. */
  #round(): Endpoint[] {
    const first = this.#next % this.#endpoints.length;
    this.#next += 1;
    return silentLast([...this.#endpoints.slice(first), ...this.#endpoints.slice(0, first)]);
  }
}

type Heard = { readonly from: Endpoint; readonly result: Answer | NoAnswerError };

async function hear(from: Endpoint, call: Call): Promise<Heard> {
  return { from, result: await answerOf(from, call) };
}

/** What nodes said whose answer does not count while another may answer otherwise. */
class PassedOver {
  #answer: Answer | undefined;
  #silence: NoAnswerError | undefined;
  /** Nodes that may have done what they were asked, or do it yet. */
  doubts = 0;

  add(result: Answer | NoAnswerError): void {
    if (mayHaveDone(result)) this.doubts += 1;
    if (result instanceof NoAnswerError) {
      if (this.#silence === undefined || this.#silence.isUnsent) this.#silence = result;
    } else if (this.#answer === undefined || this.#answer.status === 429) this.#answer = result;
  }

  /** What all of them come to. */
  told(): Answer {
    const answer = this.#answer;
    if (answer === undefined) throw this.#silence;
    return { ...answer, isDoubtful: this.doubts > (mayHaveDone(answer) ? 1 : 0) };
  }
}

function mayHaveDone(result: Answer | NoAnswerError): boolean {
  if (result instanceof NoAnswerError) return !result.isUnsent;
  return result.status >= 500 && result.headers["kv-outcome"] !== "none";
}

function silentLast(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.toSorted((a, b) => Number(a.isSilent) - Number(b.isSilent));
}

/** The answer of one node, or why there was none. */
export async function answerOf(endpoint: Endpoint, call: Call): Promise<Answer | NoAnswerError> {
  try {
    return await endpoint.exchange(call);
  } catch (error) {
    if (error instanceof NoAnswerError) return error;
    throw error;
  }
}

function settled(result: Answer | NoAnswerError | undefined): Answer {
  if (result === undefined || result instanceof NoAnswerError) throw result;
  return result;
}

/**
 * The pause before the next attempt, in ms: none while there are nodes that were not tried, then doubling with random
 * spread, and at least what the node asked for.
 */
function pauseBefore(attempt: number, result: Answer | NoAnswerError, nodeCount: number): number {
  const rounds = Math.floor((attempt + 1) / nodeCount);
  if (rounds === 0) return result instanceof NoAnswerError ? 0 : PAUSE_MS_FIRST;
  const doubledMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_FIRST * 2 ** Math.min(rounds, 10));
  const askedS = result instanceof NoAnswerError ? 0 : Number(result.headers["retry-after"] ?? 0);
  const askedMs = Number.isFinite(askedS) ? Math.min(PAUSE_MS_MAX, askedS * 1000) : 0;
  return Math.max(askedMs, doubledMs) * (0.5 + Math.random());
}
