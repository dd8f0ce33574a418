/** What a history is given to check: what a client saw by one read, and how many replicas the ring asks. */
import type { CausalContext } from "../../node/core/version/record.ts";
import type { WriteId } from "./writes.ts";

export type ReadSeen = {
  readonly key: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** Ids of the values shown. */
  readonly shown: readonly WriteId[];
  /** A read of fewer replicas than R + W > N needs is only checked for values that were never written. */
  readonly isFresh: boolean;
  /** The world is quiet and all replicas were asked. */
  readonly isLast?: boolean;
  /** Replicas that it asked for; undefined where the history does not know the quorums. */
  readonly readQuorum?: number;
  /** It asked for the ring's own R, which meets every write by the ring's own W, whatever the two are at either time. */
  readonly meetsAll?: boolean;
  /** Of the answer; undefined when it found nothing. */
  readonly context?: CausalContext | undefined;
};

/** What a history knows of the ring. */
export type Quorums = {
  readonly replicationFactor: number;
  readonly writeQuorum: number;
  /** Whether the homes of keys change. */
  readonly isElastic?: boolean;
};
