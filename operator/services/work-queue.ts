/**
 * A queue of keys: each at most once in the queue, each in work at most once, failures tried again ever later.
 *
 *   add ──► waiting ──► in work ──► done                      (nothing more to do)
 *              ▲           │  └───► again after a time        (success, look again)
 *              └───────────┴──────► again after a back-off    (failure; doubles, with jitter, up to a bound)
 *
 * A key that is added while it is in work is worked on once more afterwards: what was heard of meanwhile may not have
 * been seen. Keys wait independently: one that fails holds no other up.
 */
import type { Random, Time, Timer } from "../ports.ts";

export type WorkQueue = {
  /** Work on the key soon. */
  add(key: string): void;
  /** Starts no work any more; resolves when what is in work has ended. */
  stop(): Promise<void>;
  /** Keys that wait for their turn now, not those that wait for a time. */
  depth(): number;
};

export type WorkQueueOptions = {
  /** Keys in work at once. */
  readonly workersMax: number;
  /** The first pause after a failure; each further one doubles it. Jitter takes up to half of it away. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
};

type Entry = {
  state: "idle" | "waiting" | "working";
  isAddedAgain: boolean;
  failures: number;
  timer: Timer | undefined;
};

/**
 * @param work Works on one key; resolves with when to look again (ms), or undefined when never.
 * @param report Is told of each failure; the key is tried again.
 */
export function createWorkQueue(
  ports: { readonly time: Time; readonly random: Random },
  work: (key: string) => Promise<number | undefined>,
  report: (key: string, error: unknown, againMs: number) => void,
  options: WorkQueueOptions,
): WorkQueue {
  const { time, random } = ports;
  const entries = new Map<string, Entry>();
  const waiting: string[] = [];
  const working = new Set<Promise<void>>();
  let isStopped = false;

  function entryOf(key: string): Entry {
    let entry = entries.get(key);
    if (entry === undefined) {
      entry = { state: "idle", isAddedAgain: false, failures: 0, timer: undefined };
      entries.set(key, entry);
    }
    return entry;
  }

  function add(key: string): void {
    if (isStopped) return;
    const entry = entryOf(key);
    if (entry.state === "working") entry.isAddedAgain = true;
    if (entry.state !== "idle") return;
    entry.timer?.cancel();
    entry.timer = undefined;
    entry.state = "waiting";
    waiting.push(key);
    // Not at once: what is heard of in one turn is one piece of work.
    time.after(0, pump);
  }

  function pump(): void {
    while (!isStopped && working.size < options.workersMax) {
      const key = waiting.shift();
      if (key === undefined) return;
      const running: Promise<void> = workOn(key, entryOf(key)).finally(() => {
        working.delete(running);
        pump();
      });
      working.add(running);
    }
  }

  async function workOn(key: string, entry: Entry): Promise<void> {
    entry.state = "working";
    let againMs: number | undefined;
    try {
      againMs = await work(key);
      entry.failures = 0;
    } catch (error) {
      againMs = backoffMs(entry.failures);
      entry.failures += 1;
      report(key, error, againMs);
    }
    entry.state = "idle";
    if (entry.isAddedAgain && entry.failures === 0) {
      entry.isAddedAgain = false;
      return add(key);
    }
    entry.isAddedAgain = false;
    if (againMs === undefined) entries.delete(key);
    else if (!isStopped) entry.timer = time.after(againMs, () => add(key));
  }

  function backoffMs(failures: number): number {
    const wholeMs = Math.min(options.backoffMsMax, options.backoffMsMin * 2 ** Math.min(failures, 30));
    return wholeMs * (1 - random.uint32() / 2 ** 33);
  }

  return {
    add,
    depth: () => waiting.length,
    async stop() {
      isStopped = true;
      for (const { timer } of entries.values()) timer?.cancel();
      while (working.size > 0) await Promise.all(working);
    },
  };
}
