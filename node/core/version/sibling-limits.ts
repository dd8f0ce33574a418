/**
 * How many concurrent values a key may hold, and how many bytes of them: asked where a client's write is stamped, and
 * nowhere else. Merging takes what there is, so that homes agree (design §4).
 *
 * Members that cannot hear each other stamp apart, each up to the limit, and what they stamped meets in one record. So
 * past a limit a member may replace what it has stamped itself by as much, and no more: whatever is replaced and merged
 * in whatever order, the values of one record and their bytes are at most the limit times the members that stamped it apart.
 * Of bytes that many have to fit into a frame between nodes (adapters/tcp/limits.ts), or the record could neither be read nor be repaired.
 */
import { KvError } from "../errors.ts";
import { standingSiblings } from "./closure.ts";
import type { ActorId, KvRecord, Sibling } from "./record.ts";

/** Longest `Content-Type`, which is stored with each value. */
export const CONTENT_TYPE_CHARACTERS_MAX = 1_024;

export type SiblingLimits = {
  /** Concurrent values past which a write that adds one is refused. */
  readonly siblingsMax: number;
  /** Bytes of them, content types included, past which a write that adds to them is refused. At least those of one. */
  readonly siblingBytesMax: number;
};

/** What the concurrent values of a key may take however small they are: far more than they do by default. */
const SIBLING_BYTES = 2 * 1_024 * 1_024;

/** The most that `siblingBytesMax` allows, whatever is set. */
export const SIBLING_BYTES_CEILING = 2 * (1_024 * 1_024 + CONTENT_TYPE_CHARACTERS_MAX);

/**
 * The limit in bytes that goes with what is set: as many siblings of the largest size as are allowed where they take up to
 * 2 MiB together, and else 2 MiB, or two pairs of the largest size if those are more.
 *
 * @param pairBytesMax Key and value of the largest pair, up to 1 MiB.
 */
export function siblingBytesMaxOf(pairBytesMax: number, siblingsMax: number): number {
  const largest = pairBytesMax + CONTENT_TYPE_CHARACTERS_MAX;
  return Math.min(siblingsMax * largest, Math.max(SIBLING_BYTES, 2 * largest));
}

/**
 * Refuses a write that adds a value past a limit. What is alone in its record has replaced all the others, and always fits.
 *
 * @param before What the stamping replica held. `after`: the same with the write of `actor`; `standing`: those of its siblings that stand.
 * @throws {KvError} CONFLICT, with what to do.
 */
export function checkSiblingLimits(
  {
    before,
    after,
    standing,
    actor,
  }: {
    readonly before: KvRecord;
    readonly after: KvRecord;
    readonly standing: readonly Sibling[];
    readonly actor: ActorId;
  },
  { siblingsMax, siblingBytesMax }: SiblingLimits,
): void {
  if (standing.length > siblingsMax && countOf(standing, actor) > countOf(standingSiblings(before), actor))
    throw tooMuch(`with it the key would hold ${standing.length}, at most ${siblingsMax} are allowed`);
  if (after.siblings.length < 2) return;
  const bytes = bytesOf(after.siblings);
  if (bytes <= siblingBytesMax || bytesOf(after.siblings, actor) <= bytesOf(before.siblings, actor)) return;
  throw tooMuch(`with it the key would hold ${bytes} bytes of them, at most ${siblingBytesMax} are allowed`);
}

/** How many of them one actor stamped. */
function countOf(siblings: readonly Sibling[], actor: ActorId): number {
  let count = 0;
  for (const { dot } of siblings) if (dot.actor === actor) count += 1;
  return count;
}

/** Bytes of values and content types: of all, or of those that one actor stamped. A deletion has none, and always fits. */
function bytesOf(siblings: readonly Sibling[], actor?: ActorId): number {
  let bytes = 0;
  for (const { dot, value, contentType } of siblings)
    if (value !== undefined && (actor === undefined || dot.actor === actor)) bytes += value.length + contentType.length;
  return bytes;
}

function tooMuch(found: string): KvError {
  return new KvError(
    "CONFLICT",
    `Cannot add a concurrent value: ${found}. Read the key and write once with the context of that answer`,
  );
}
