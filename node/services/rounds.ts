/** Background work in rounds: each begins a fixed time after the end of the one before it. */
import { KvError } from "../core/errors.ts";
import type { Time, Timer } from "../ports.ts";

export type Rounds = {
  /** Begins to wait for the first round. */
  start(): void;
  /** Begins no further round; resolves when the one under way has ended. */
  stop(): Promise<void>;
  /** Whether no more is to be done: before `start`, and from `stop` on. A long round looks now and then. */
  isStopped(): boolean;
};

/**
 * @param round What is done each time. A `KvError` that it throws is handed to `failed`, and the next round tries again;
 *   any other error is a broken invariant, and stops the node through the unhandled rejection.
 * @param pauseMs Between two rounds.
 */
export function createRounds(
  { time, failed }: { readonly time: Time; readonly failed: (error: KvError) => void },
  round: () => Promise<void>,
  pauseMs: number,
): Rounds {
  let timer: Timer | undefined;
  let running: Promise<void> | undefined;
  let stopped = true;

  function later(): void {
    if (stopped) return;
    timer = time.after(pauseMs, () => {
      running = round()
        .catch((error: unknown) => {
          if (!(error instanceof KvError)) throw error;
          failed(error);
        })
        .then(later);
    });
  }

  return {
    start() {
      stopped = false;
      later();
    },
    async stop() {
      stopped = true;
      timer?.cancel();
      await running;
    },
    isStopped: () => stopped,
  };
}
