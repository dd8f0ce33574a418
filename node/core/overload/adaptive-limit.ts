/**
 * How many requests a node works on at once: a limit that finds its value from how long they take.
 *
 *     a window of answers ── median within the target? ── yes, and the limit was felt: raise it
 *                                       └── no: lower what was in work by target / median, at most by half
 *
 * The target is twice the time that a request takes when none waits for another, learned as the *base*: it follows lower
 * medians quickly, and higher ones slowly, and only while the limit was not felt; for under load the wait is our own doing.
 * Under a load that lasts the base would never be seen again. So now and then, while the limit is felt, a third
 * is let in until an answer's time is one without a queue, and that is the base then. Limits are raised by half their
 * square root a window, and by a quarter while nothing waits.
 *
 * Sources: the gradient of the long and the short latency, and the probe, are those of Netflix's concurrency-limits
 * (`Gradient2Limit`, `GradientLimit`; Eran Landau et al., "Performance under load", 2018), which take them from TCP Vegas
 * (Brakmo and Peterson 1995). It differs by taking the median of a window: of three replicas one that is slow, or
 * silent, makes a share of the requests slow, and says nothing of what this node can do.
 *
 * Not here: what is refused and how (services/coordinator.ts), and the bound on memory (adapters/http/kv-handler.ts).
 */

export type AdaptiveLimitOptions = {
  /** The limit never falls below it: fewer requests at once would not share a flush or a system call any more. */
  readonly min: number;
  /** Where it begins, before anything is known. */
  readonly start: number;
  /** The limit never passes it. */
  readonly max: number;
  /** How long a request may take at most by default, in ms; a median near it is too long whatever the base is. */
  readonly timeoutMs: number;
};

/**
 * How far over the base the median may be: a factor, and a share of the timeout. A wait that is short for who waits is
 * no overload, and on a machine that is busy with other things quick requests often take several times as long.
 */
const TOLERANCE = 2;
const SLACK_SHARE = 0.1;
/** A median below it is short whatever the base is. */
const SHORT_MS = 10;
/** The median may be at most this share of the timeout. */
const TIMEOUT_SHARE = 0.7;
/** Below this times the base nothing waits. */
const NO_QUEUE = 1.25;
/** A window ends after so long if so many answers came, and in the end with any. */
const WINDOW_MS = 100;
const WINDOW_SAMPLES = 10;
const WINDOW_MS_MAX = 1_000;
/** What a window may take off at most. */
const SHRINK_MIN = 0.5;
/** Weight of a lower and of a higher median in the base. */
const BASE_DOWN = 0.5;
const BASE_UP = 0.05;
/** A load is probed for the first time soon, then seldom: in a probe some are refused who could be served. */
const FIRST_PROBE_MS = 1_000;
const PROBE_MS = 5_000;
/** Less than 1 / TOLERANCE: else each probe's base could lie above the last, and the limit would creep up. */
const PROBE_SHARE = 1 / 3;

/** Buckets of the histogram for each doubling of a latency, and the least one that is told apart, in ms. */
const BUCKETS_PER_DOUBLING = 8;
const LEAST_MS = 1 / 16;
const BUCKETS = 256;

/** How a request that was let in came to its end. */
export type RequestEnd = "served" | "expired" | "refused";

/** What is being done about the base: nothing; letting the number in work fall; timing those that came after that. */
type Probe = "none" | "draining" | "timing";

/** A limit on requests in work, of one kind: those that take alike. It allocates nothing after it was made. */
export class AdaptiveLimit {
  readonly #options: AdaptiveLimitOptions;
  readonly #histogram = new Uint32Array(BUCKETS);
  #limit: number;
  #inFlight = 0;
  #baseMs: number | undefined;
  #samples = 0;
  #windowStartMs: number | undefined;
  /** Of the present window: the most in work, and whether somebody was refused. */
  #inFlightMost = 0;
  #refused = false;
  #probe: Probe = "none";
  /** What the limit was before a probe. */
  #limitBefore: number;
  /** When the limit is probed if it is still felt; undefined while it is not. */
  #probeAtMs: number | undefined;

  constructor(options: AdaptiveLimitOptions) {
    this.#options = options;
    this.#limit = options.start;
    this.#limitBefore = options.start;
  }

  /** How many may be in work at once at present. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** What a request takes when none waits for another, in ms, as far as is known. */
  get baseMs(): number | undefined {
    return this.#baseMs;
  }

  /** Whether the next one would be refused. */
  get isFull(): boolean {
    return this.#inFlight >= this.limit;
  }

  /** Takes one more into work, or refuses it. Whoever was taken must leave. */
  tryEnter(): boolean {
    if (this.isFull) {
      this.#refused = true;
      return false;
    }
    this.#inFlight += 1;
    if (this.#inFlight > this.#inFlightMost) this.#inFlightMost = this.#inFlight;
    return true;
  }

  /**
   * One has left.
   *
   * @param startedMs When it entered, by the same clock as `nowMs`.
   * @param end How it ended: `expired` says that it took at least so long, for its client waits no longer; `refused`
   *   says nothing of load.
   */
  leave(startedMs: number, nowMs: number, end: RequestEnd): void {
    this.#inFlight -= 1;
    this.#windowStartMs ??= nowMs;
    if (this.#probe === "draining") return this.#drain(nowMs);
    if (this.#probe === "timing" && startedMs < this.#windowStartMs) return;
    const tookMs = nowMs - startedMs;
    if (end === "refused" || (end === "expired" && tookMs <= this.#toleratedMs(this.#baseMs ?? 0))) return;
    const bucket = bucketOf(tookMs);
    this.#histogram[bucket] = (this.#histogram[bucket] ?? 0) + 1;
    this.#samples += 1;
    const elapsedMs = nowMs - this.#windowStartMs;
    if (elapsedMs >= WINDOW_MS_MAX || (elapsedMs >= WINDOW_MS && this.#samples >= WINDOW_SAMPLES)) this.#review(nowMs);
  }

  /** Those who entered before the probe wait for each other; the time of those after them is asked for. */
  #drain(nowMs: number): void {
    if (this.#inFlight > this.#limit && nowMs - (this.#windowStartMs as number) < WINDOW_MS_MAX) return;
    this.#probe = "timing";
    this.#beginWindow(nowMs);
  }

  #review(nowMs: number): void {
    const medianMs = this.#median();
    if (this.#probe === "timing") {
      this.#probe = "none";
      this.#baseMs = medianMs;
      this.#limit = this.#limitBefore;
    } else {
      const isFelt = this.#refused || this.#inFlightMost * 2 >= this.#limit;
      this.#learn(medianMs, isFelt);
      const isLow = this.#adjust(medianMs, isFelt);
      this.#considerProbe(nowMs, isFelt || isLow);
    }
    this.#beginWindow(nowMs);
  }

  #learn(medianMs: number, isFelt: boolean): void {
    this.#baseMs ??= medianMs;
    if (medianMs < this.#baseMs) this.#baseMs += (medianMs - this.#baseMs) * BASE_DOWN;
    else if (!isFelt) this.#baseMs += (medianMs - this.#baseMs) * BASE_UP;
  }

  /** Moves the limit. Returns whether the median was over the target. */
  #adjust(medianMs: number, isFelt: boolean): boolean {
    const { min, max, timeoutMs } = this.#options;
    const baseMs = this.#baseMs as number;
    const targetMs = Math.min(this.#toleratedMs(baseMs), timeoutMs * TIMEOUT_SHARE);
    const stepUp = Math.max(1, Math.sqrt(this.#limit) / 2);
    if (medianMs > targetMs) {
      const used = Math.min(this.#limit, this.#inFlightMost);
      // As few as the least are in work: it is not they who wait for each other.
      if (used <= min) return false;
      const lowered = used * Math.max(SHRINK_MIN, targetMs / medianMs) + Math.sqrt(used) / 2;
      this.#limit = Math.min(max, Math.max(min, lowered));
      return true;
    }
    if (!isFelt) return false;
    const step = medianMs <= Math.max(baseMs * NO_QUEUE, SHORT_MS) ? Math.max(stepUp, this.#limit / 4) : stepUp;
    this.#limit = Math.min(max, this.#limit + step);
    return false;
  }

  #toleratedMs(baseMs: number): number {
    return Math.max(baseMs * TOLERANCE, baseMs + this.#options.timeoutMs * SLACK_SHARE);
  }

  #considerProbe(nowMs: number, isPressed: boolean): void {
    if (!isPressed || this.#limit >= this.#options.max) {
      this.#probeAtMs = undefined;
      return;
    }
    this.#probeAtMs ??= nowMs + FIRST_PROBE_MS;
    if (nowMs < this.#probeAtMs) return;
    this.#probeAtMs = nowMs + PROBE_MS;
    this.#limitBefore = this.#limit;
    this.#limit = Math.max(1, this.#limit * PROBE_SHARE);
    this.#probe = "draining";
  }

  #beginWindow(nowMs: number): void {
    this.#windowStartMs = nowMs;
    this.#samples = 0;
    this.#refused = false;
    this.#inFlightMost = this.#inFlight;
    this.#histogram.fill(0);
  }

  #median(): number {
    let left = this.#samples / 2;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#histogram[bucket] ?? 0;
      if (left <= 0) return LEAST_MS * 2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING);
    }
    return this.#options.timeoutMs;
  }
}

function bucketOf(latencyMs: number): number {
  if (latencyMs <= LEAST_MS) return 0;
  return Math.min(BUCKETS - 1, Math.floor(Math.log2(latencyMs / LEAST_MS) * BUCKETS_PER_DOUBLING));
}
