/** What the home replicas of one key hold of it, each by itself: for a person who wants to see where they differ. Types only. */
import type { KvError } from "../errors.ts";
import type { MemberId } from "../ring/document.ts";
import type { KvRecord } from "./record.ts";

/** One home's answer: its record, undefined where it has none, or why there is no answer. */
export type HeldVersion = {
  readonly name: MemberId;
  readonly zone: string;
} & (
  | {
      readonly record: KvRecord | undefined;
      /** Equal for homes that hold equal bytes; undefined where there is no record. */
      readonly checksum: number | undefined;
    }
  | { readonly error: KvError }
);

export type KeyVersions = {
  readonly epoch: number;
  readonly partition: number;
  /** In the order of the preference list. */
  readonly homes: readonly HeldVersion[];
};
