/**
 * One request of a caller until it has its answer: which node, again where it failed, a second one where it is late.
 *
 *     choose ── attempt ── settled ─► answer
 *       ▲          ├── silent, refused ── elsewhere, while the budget of repetitions lasts
 *       └──────────┴── no quorum, timed out ── later
 *
 * A read that is later than usual asks a second node and takes the answer that comes first; how many do is bounded by a
 * budget of its own (Dean and Barroso 2013, "The Tail at Scale"). All attempts of a write carry one Idempotency-Key.
 */
import { QuantileFollower } from "../core/quorum/latency.ts";
import { Budget, type BudgetOptions } from "./budget.ts";
import type { Ask } from "./connections.ts";
import type { Directory, KnownNode } from "./directory.ts";
import { headerOf, type WholeAnswer } from "./exchange.ts";
import { closedError, errorOf, foreignError, isForeign, lostError, overError, typeOf } from "./failure.ts";
import { NoAnswerError } from "./no-answer-error.ts";
import { atMost, pause } from "./pause.ts";
import { repetitionOf } from "./request.ts";
import { chooseNode, type Wish } from "./route.ts";
import { judge, pauseMs, type Verdict } from "./verdict.ts";

export type OperationOptions = {
  readonly zone: string | undefined;
  /** How long one attempt may take, in ms. */
  readonly attemptTimeoutMs: number;
  readonly attemptsMax: number;
  /** Share of requests that may be repeated, and share of reads that may ask a second node; 0 is never. */
  readonly retryRatio: number;
  readonly hedgeRatio: number;
};

export type Operation = {
  readonly key: Uint8Array;
  readonly call: Ask;
  readonly wish: Wish;
  /** Whether a second node may be asked meanwhile. */
  readonly mayHedge: boolean;
  /** From the first attempt to the last, pauses included, in ms; 0 or less: it is over before the first. */
  readonly timeoutMs: number;
  /** How long one attempt may take, in ms; as for all when undefined. */
  readonly attemptTimeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
};

/** What was done besides what was asked, since the client was made. */
export type OperationCounters = { requests: number; attempts: number; retries: number; hedges: number };

/** The answer of a node that any other would give as well. */
export type Done = {
  readonly answer: WholeAnswer;
  /** With the one that was answered so. */
  readonly attempts: number;
  /** A replica may hold the write by an earlier attempt, even if this answer is a refusal. */
  readonly isUnknown: boolean;
  /** Name of the write; undefined for a read. */
  readonly idempotencyKey: string | undefined;
};

type Attempt = {
  readonly node: KnownNode;
  readonly result: WholeAnswer | NoAnswerError;
  readonly verdict: Verdict;
};

/**
 * Reads later than this share of them ask a second node. Not the 95 of 100 of the paper: the node that is asked hedges its
 * own replicas by that rule, so that what is left for the client is a node that hangs, and each needless second read
 * costs the cluster as much as a first one.
 */
const LATE = { quantile: 0.99, startMs: 50, minMs: 2, maxMs: 1_000 };

/** A timer may end so much before its time by the other clock. */
const EARLY_MS = 2;

/** Runs the requests of one client, within its budgets. */
export class Operations {
  readonly counters: OperationCounters = { requests: 0, attempts: 0, retries: 0, hedges: 0 };
  readonly #directory: Directory;
  readonly #options: OperationOptions;
  readonly #retries: Budget;
  readonly #hedges: Budget;
  readonly #late = new QuantileFollower(LATE);
  #turn = Math.floor(Math.random() * 1024);

  constructor(directory: Directory, options: OperationOptions) {
    this.#directory = directory;
    this.#options = options;
    this.#retries = budget(options.retryRatio, { perSecond: 10, tokensMax: 200 });
    this.#hedges = budget(options.hedgeRatio, { perSecond: 1, tokensMax: 10 });
  }

  /**
   * Runs one to its answer, which any node would give.
   *
   * @throws {AnnulusError} What the last attempt was told, when no further one was allowed; else what the signal says.
   */
  async run(operation: Operation): Promise<Done> {
    const { signal, timeoutMs, call } = operation;
    const idempotencyKey = call.headers?.["idempotency-key"];
    const again = { ...operation, call: repetitionOf(call) };
    signal?.throwIfAborted();
    const untilMs = performance.now() + timeoutMs;
    if (this.#directory.ring === undefined || this.#directory.lostTo !== undefined)
      await atMost(this.#directory.open(), Math.max(0, timeoutMs), signal);
    this.counters.requests += 1;
    this.#retries.deposit();
    if (operation.mayHedge) this.#hedges.deposit();
    const tried = new Set<KnownNode>();
    let isUnknown = false;
    let told: WholeAnswer | undefined;
    for (let attempts = 1; ; attempts++) {
      const { lostTo } = this.#directory;
      if (lostTo !== undefined) throw lostError(lostTo, { attempts: attempts - 1, isUnknown, idempotencyKey });
      if (attempts === 1 && performance.now() >= untilMs)
        throw overError(undefined, { attempts: 0, isUnknown, idempotencyKey });
      const { result, verdict } = await this.#attempt(attempts === 1 ? operation : again, tried, untilMs);
      signal?.throwIfAborted();
      isUnknown ||= verdict.isUnknown && call.method !== "GET";
      const so = { attempts, isUnknown, idempotencyKey };
      if (verdict.next === "settled" && !(result instanceof NoAnswerError)) {
        return { answer: result, ...so };
      }
      if (this.#directory.isClosed) throw closedError(so);
      // The last attempt may have had no time left for an answer; what an earlier one was told says more.
      if (!(result instanceof NoAnswerError)) told = result;
      const restMs = this.#pauseBeforeNext({ verdict, tried, attempts, untilMs });
      if (restMs === undefined) {
        const isOver = told === undefined && performance.now() >= untilMs - EARLY_MS;
        throw isOver ? overError(result, so) : errorOf(told ?? result, so);
      }
      if (restMs > 0) await pause(restMs, signal);
      this.counters.retries += 1;
    }
  }

  /** The pause before one more attempt, in ms; undefined when there may be none. */
  #pauseBeforeNext({
    verdict,
    tried,
    attempts,
    untilMs,
  }: {
    readonly verdict: Verdict;
    readonly tried: Set<KnownNode>;
    readonly attempts: number;
    readonly untilMs: number;
  }): number | undefined {
    if (attempts >= this.#options.attemptsMax) return undefined;
    const isRoundOver = this.#directory.all.every((node) => tried.has(node));
    if (isRoundOver) tried.clear();
    const restMs = isRoundOver || verdict.next === "later" ? pauseMs(attempts, Math.random()) : 0;
    const nowMs = performance.now();
    if (nowMs + restMs >= untilMs) return undefined;
    return verdict.isFree || this.#retries.tryWithdraw(nowMs) ? restMs : undefined;
  }

  /** One attempt, and for a read that is late a second one beside it. */
  async #attempt(operation: Operation, tried: Set<KnownNode>, untilMs: number): Promise<Attempt> {
    const startedMs = performance.now();
    const first = this.#ask(operation, tried, untilMs);
    if (!operation.mayHedge || this.#options.hedgeRatio === 0) return first;
    const hedge = () => this.#hedge(operation, { first, tried, untilMs });
    const attempted = await unlessLate(first, this.#late.estimateMs, hedge);
    if (attempted.verdict.next === "settled") this.#late.add(performance.now() - startedMs);
    return attempted;
  }

  async #hedge(
    operation: Operation,
    so: { readonly first: Promise<Attempt>; readonly tried: Set<KnownNode>; readonly untilMs: number },
  ): Promise<Attempt> {
    const { first, tried, untilMs } = so;
    const isAnyLeft = this.#directory.all.some((node) => !tried.has(node));
    if (!isAnyLeft || !this.#hedges.tryWithdraw(performance.now())) return first;
    this.counters.hedges += 1;
    const second = this.#ask(operation, tried, untilMs);
    const quicker = await Promise.race([first, second]);
    if (quicker.verdict.next === "settled") return quicker;
    const both = await Promise.all([first, second]);
    return both.find(({ verdict }) => verdict.next === "settled") ?? quicker;
  }

  async #ask(
    { key, call, wish, signal, attemptTimeoutMs }: Operation,
    tried: Set<KnownNode>,
    untilMs: number,
  ): Promise<Attempt> {
    const directory = this.#directory;
    const { zone } = this.#options;
    const nowMs = performance.now();
    const turn = this.#turn++;
    const choosing = { homes: directory.homesOf(key), all: directory.all, tried, wish, zone, nowMs, turn };
    const node = chooseNode(choosing) ?? (directory.all[turn % directory.all.length] as KnownNode);
    tried.add(node);
    node.inFlight += 1;
    this.counters.attempts += 1;
    const timeoutMs = attemptTimeoutMs ?? this.#options.attemptTimeoutMs;
    try {
      const answer = await node.connections.exchange(call, { timeoutMs, untilMs, signal });
      if (isForeign(call, answer)) throw foreignError(node.connections.url, answer);
      const outcome = headerOf(answer, "kv-outcome");
      const verdict = judge({ kind: "answered", status: answer.status, type: typeOf(answer), outcome });
      directory.learn(node, answer);
      if (verdict.isAway) node.failed();
      else node.served();
      return { node, result: answer, verdict };
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      const { isUnsent, isNobodyThere, isUnasked } = error;
      const verdict = judge({ kind: "silent", isUnsent, isNobodyThere, isUnasked });
      if (verdict.isAway && signal?.aborted !== true) {
        node.failed();
        directory.missed(node);
      }
      return { node, result: error, verdict };
    } finally {
      node.inFlight -= 1;
    }
  }
}

/** What a promise gives; when that takes longer than a time in ms, what `late` gives, which knows of the promise. */
function unlessLate<T>(promise: Promise<T>, limitMs: number, late: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      late().then(resolve, reject);
    }, limitMs);
    const inTime = (settle: () => void): void => {
      clearTimeout(timer);
      if (!isLate) settle();
    };
    promise.then(
      (value) => inTime(() => resolve(value)),
      (error: unknown) => inTime(() => reject(error)),
    );
  });
}

/** A bucket that stays empty where nothing is allowed. */
function budget(ratio: number, { perSecond, tokensMax }: Pick<BudgetOptions, "perSecond" | "tokensMax">): Budget {
  const isNever = ratio === 0;
  return new Budget(
    isNever ? { ratio, perSecond: 0, tokensMax: 0 } : { ratio, perSecond, tokensMax },
    performance.now(),
  );
}
