/**
 * What clients write, and whether what is found is that and nothing else.
 *
 * The bytes and the content type of a value follow from the id and the key of its write alone: `<id>:<key>:`, then as many
 * bytes as the id says, all drawn from it. So whoever finds a value anywhere can tell which write it is of, and holds every
 * byte of it, and its type, against what was written. Most values are short, as those of most stores are; a few are as large
 * as a pair may be by default.
 */
import assert from "node:assert/strict";
import { createSeededRandom, type SeededRandom } from "./random.ts";
import type { Write, WriteId } from "./writes.ts";

export type Content = { readonly value: Uint8Array; readonly contentType: string };

/** What a read or a record shows; `value` undefined: a deletion. */
export type Found = { readonly value: Uint8Array | undefined; readonly contentType: string };

/** Of a hundred values so many have a body of so many bytes. The largest leaves room for its key in a pair of 10,240 bytes. */
const BODIES: readonly (readonly [ofHundred: number, min: number, max: number])[] = [
  [70, 0, 24],
  [20, 200, 800],
  [8, 801, 3_072],
  [2, 5_000, 10_200],
];
/** The last is longer than texts that a node keeps encoded. */
const CONTENT_TYPES = [
  "text/plain",
  "application/octet-stream",
  "application/json; charset=utf-8",
  `application/vnd.annulus.simulated; name=${"x".repeat(160)}`,
];
/** Where the id ends is looked for in so many bytes. */
const HEAD_BYTES = 20;
const [ZERO, COLON] = [0x30, 0x3a];

const contents = new WeakMap<Pick<Write, "id" | "key">, Content>();

/** What a write writes. The bytes are the caller's own. */
export function contentOf(write: Pick<Write, "id" | "key">): Content {
  const { value, contentType } = known(write);
  return { value: new Uint8Array(value), contentType };
}

function known(write: Pick<Write, "id" | "key">): Content {
  const made = contents.get(write);
  if (made !== undefined) return made;
  const { id, key } = write;
  const random = createSeededRandom(id).stream("value");
  const contentType = random.pick(CONTENT_TYPES);
  const value = Buffer.concat([Buffer.from(`${id}:${key}:`), random.bytes(drawLength(random))]);
  const content = { value, contentType };
  contents.set(write, content);
  return content;
}

function drawLength(random: SeededRandom): number {
  let left = random.below(100);
  for (const [ofHundred, min, max] of BODIES) {
    if (left < ofHundred) return random.between(min, max);
    left -= ofHundred;
  }
  return assert.fail("there is a length for each of a hundred");
}

/**
 * Of each value that is found under a key, the write; deletions are left out.
 *
 * @param writes All that were begun so far.
 * @throws {AssertionError} One of them was never written to this key, or is not byte for byte what was.
 */
export function idsOf(
  found: readonly Found[],
  key: string,
  writes: ReadonlyMap<WriteId, Pick<Write, "id" | "key" | "isDelete">>,
): WriteId[] {
  return found.flatMap(({ value, contentType }) =>
    value === undefined ? [] : [idOf({ value, contentType }, key, writes)],
  );
}

function idOf(
  { value, contentType }: Content,
  key: string,
  writes: ReadonlyMap<WriteId, Pick<Write, "id" | "key" | "isDelete">>,
): WriteId {
  const id = numberIn(value);
  const write = writes.get(id);
  if (write === undefined || write.key !== key || write.isDelete) {
    const head = Buffer.from(value.subarray(0, HEAD_BYTES)).toString("latin1");
    assert.fail(`${key} showed a value that nobody wrote: ${JSON.stringify(head)}`);
  }
  const written = known(write);
  // Told only where there is one: every value on every disk comes by here.
  if (Buffer.compare(value, written.value) !== 0)
    assert.fail(`${key} showed write ${id} with other bytes than were written: ${difference(value, written.value)}`);
  assert.equal(
    contentType,
    written.contentType,
    `${key} showed write ${id} with the content type that it was written with`,
  );
  return id;
}

/** The digits before the first colon. */
function numberIn(value: Uint8Array): number {
  let number = 0;
  for (const [index, byte] of value.subarray(0, HEAD_BYTES).entries()) {
    if (byte === COLON && index > 0) return number;
    if (byte < ZERO || byte > ZERO + 9) break;
    number = number * 10 + byte - ZERO;
  }
  return Number.NaN;
}

function difference(found: Uint8Array, written: Uint8Array): string {
  const at = written.findIndex((byte, index) => byte !== found[index]);
  return `${found.length} bytes of ${written.length}, another one at ${at < 0 ? written.length : at}`;
}
