/**
 * Files that change under a running node, and not at one instant: a mounted Secret, certificates that something renews.
 *
 * They are looked at again and again. What cannot be read or understood leaves the node with what it knew; it is told each
 * time, and as news only when it is another complaint than the last, or the first since all was well.
 */
import { KvError } from "../core/errors.ts";
import type { Time, Timer } from "../ports.ts";

export type FollowedFiles = {
  /** Looks at the files once more, now. Never rejects for what is wrong with them. */
  look(): Promise<void>;
  /** Looks no more. */
  stop(): void;
};

/**
 * Begins to look, one interval from now.
 *
 * @param takeOver Reads the files, and takes over what has changed whole or not at all; throws a `KvError` for what is wrong
 *   with them.
 * @param failed Is told what was.
 */
export function followFiles(
  time: Pick<Time, "after">,
  {
    takeOver,
    failed,
    intervalMs,
  }: {
    readonly takeOver: () => Promise<void>;
    readonly failed: (reason: string, isNews: boolean) => void;
    readonly intervalMs: number;
  },
): FollowedFiles {
  let complaint: string | undefined;
  let timer: Timer | undefined;
  let isStopped = false;

  async function look(): Promise<void> {
    try {
      await takeOver();
      complaint = undefined;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      const isNews = error.message !== complaint;
      complaint = error.message;
      failed(error.message, isNews);
    }
  }

  function wait(): void {
    if (isStopped) return;
    timer = time.after(intervalMs, () => {
      void look().then(wait);
    });
  }
  wait();
  return {
    look,
    stop() {
      isStopped = true;
      timer?.cancel();
    },
  };
}
