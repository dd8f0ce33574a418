/**
 * How a node's one ordered store is divided into spaces.
 *
 * The first byte of a storage key names its space. Data comes by partition, so that a transfer, a repair or a
 * clean-up of one partition is one range scan (design §2):
 *
 * | space      | byte | after it                                     | value                                 |
 * | ---------- | ---- | -------------------------------------------- | ------------------------------------- |
 * | meta       | 0x01 | name, ASCII                                  | small documents of the node itself    |
 * | data       | 0x02 | partition (uint16), place (uint32), the key  | encoded record                        |
 * | quarantine | 0x03 | partition (uint16), place (uint32), the key  | what was stored where a record failed |
 * |            |      |                                              | its checksum, byte for byte           |
 * | checkpoint | 0x04 | partition (uint16)                           | its Merkle tree, from a clean stop to |
 * |            |      |                                              | the next start                        |
 * | hint       | 0x05 | partition (uint16), target (size as a byte,  | a record for the target, see hint.ts  |
 * |            |      | name), the key                               |                                       |
 * | hint       | 0x06 | as a hint                                    | what was stored where a hint failed   |
 * | quarantine |      |                                              | its checksum, byte for byte           |
 * | horizon    | 0x07 | partition (uint16)                           | which of its tombstones may go        |
 * | doubt      | 0x08 | partition (uint16), place (uint32), the key  | a mark: its record was damaged, and   |
 * |            |      |                                              | other homes are still to be heard     |
 *
 * Numbers are big-endian. A key's place within its partition is a hash of it (`placeOf`), so that the order on disk
 * is the order of the places, and any leaf of a Merkle tree, however fine, is one range too. Which partition a key
 * belongs to is the ring's affair.
 */
import assert from "node:assert/strict";
import { compareBytes } from "./bytes.ts";
import { placeOf } from "./ring/hash.ts";

const META_SPACE = 0x01;
const DATA_SPACE = 0x02;
const QUARANTINE_SPACE = 0x03;
const CHECKPOINT_SPACE = 0x04;
const HINT_SPACE = 0x05;
const HINT_QUARANTINE_SPACE = 0x06;
const HORIZON_SPACE = 0x07;
const DOUBT_SPACE = 0x08;

const PARTITIONED_SPACES = [DATA_SPACE, QUARANTINE_SPACE, DOUBT_SPACE];

/** The space byte and the partition. */
const PARTITION_BYTES = 3;
/** All that comes before the key. */
const PREFIX_BYTES = PARTITION_BYTES + 4;
/** What comes before a target's name: the partition as above, and the name's size. */
const HINT_PREFIX_BYTES = PARTITION_BYTES + 1;
const PARTITION_MAX = 0xff_ff;
const PLACES = 2 ** 32;

/** A half-open range of storage keys. */
export type StorageRange = {
  /** First storage key inside. */
  readonly from: Uint8Array;
  /** First storage key outside. */
  readonly until: Uint8Array;
};

/** What a storage key of a partition names. */
export type PartitionedKey = {
  /** 0 .. 65_535. */
  readonly partition: number;
  /** The client's key: a view into the storage key it was parsed from, not a copy. */
  readonly key: Uint8Array;
};

/**
 * Where the record of a key is stored.
 *
 * @param partition 0 .. 65_535.
 * @param key The client's key, any bytes.
 * @returns A fresh array, owned by the caller.
 */
export function dataKey(partition: number, key: Uint8Array): Uint8Array {
  return partitionedKey(DATA_SPACE, partition, key);
}

/** Where the bytes of a corrupt record are set aside; parameters as `dataKey`. */
export function quarantineKey(partition: number, key: Uint8Array): Uint8Array {
  return partitionedKey(QUARANTINE_SPACE, partition, key);
}

/**
 * Where a named small value of the node itself is stored.
 *
 * @param name One or more printable ASCII characters.
 */
export function metaKey(name: string): Uint8Array {
  assert(/^[!-~]+$/.test(name), "the name of a meta value is printable ASCII");
  const storageKey = new Uint8Array(1 + name.length);
  storageKey[0] = META_SPACE;
  for (let index = 0; index < name.length; index++) storageKey[1 + index] = name.charCodeAt(index);
  return storageKey;
}

/** Whether a storage key is of a small value that the node itself needs, and that may use the disk's last reserve. */
export function isMetaKey(storageKey: Uint8Array): boolean {
  return storageKey[0] === META_SPACE || storageKey[0] === HORIZON_SPACE;
}

/** All records of one partition, in storage order: by the place of their keys, then by the keys' bytes. */
export function partitionRange(partition: number): StorageRange {
  return { from: partitionStart(DATA_SPACE, partition), until: partitionStart(DATA_SPACE, partition + 1) };
}

/**
 * The records of one partition whose keys have a place of `from` .. `until` − 1.
 *
 * @param from 0 .. 2^32 − 1.
 * @param until `from` .. 2^32.
 */
export function placesRange(partition: number, from: number, until: number): StorageRange {
  assert(from >= 0 && from <= until && until <= PLACES, "places are uint32");
  return { from: placeStart(partition, from), until: placeStart(partition, until) };
}

/** Order in which the records of one partition lie on disk and are paged: negative when `a` comes first. */
export function compareStored(a: Uint8Array, b: Uint8Array): number {
  return placeOf(a) - placeOf(b) || compareBytes(a, b);
}

/** Where the Merkle tree of a partition is laid down at a clean stop. */
export function checkpointKey(partition: number): Uint8Array {
  return Uint8Array.of(CHECKPOINT_SPACE, partition >>> 8, partition & 0xff);
}

/** All trees that were laid down. */
export function checkpointRange(): StorageRange {
  return { from: Uint8Array.of(CHECKPOINT_SPACE), until: Uint8Array.of(CHECKPOINT_SPACE + 1) };
}

/** The partition of what `checkpointKey` made; of other keys, whatever stands there. */
export function parseCheckpointKey(storageKey: Uint8Array): number {
  return ((storageKey[1] ?? 0) << 8) | (storageKey[2] ?? 0);
}

/** Where the collection horizon of a partition is kept. */
export function horizonKey(partition: number): Uint8Array {
  return Uint8Array.of(HORIZON_SPACE, partition >>> 8, partition & 0xff);
}

/** The horizons of all partitions. */
export function horizonRange(): StorageRange {
  return { from: Uint8Array.of(HORIZON_SPACE), until: Uint8Array.of(HORIZON_SPACE + 1) };
}

/** The partition of what `horizonKey` made. */
export function parseHorizonKey(storageKey: Uint8Array): number {
  return partitionOfStored(storageKey);
}

/** All that was set aside, over all partitions. */
export function quarantineRange(): StorageRange {
  return { from: Uint8Array.of(QUARANTINE_SPACE), until: Uint8Array.of(QUARANTINE_SPACE + 1) };
}

/** Where it is marked that a key's own copy may not be believed; parameters as `dataKey`. */
export function doubtKey(partition: number, key: Uint8Array): Uint8Array {
  return partitionedKey(DOUBT_SPACE, partition, key);
}

/** All such marks, over all partitions. */
export function doubtsRange(): StorageRange {
  return { from: Uint8Array.of(DOUBT_SPACE), until: Uint8Array.of(DOUBT_SPACE + 1) };
}

/** What a storage key in the hint space names. */
export type HintPlace = { readonly partition: number; readonly target: string; readonly key: Uint8Array };

/**
 * Where a record is kept for a home replica that missed it.
 *
 * @param target A member's name, 1 .. 255 ASCII characters.
 */
export function hintKey({ partition, target, key }: HintPlace): Uint8Array {
  const start = hintRange(partition, target).from;
  const storageKey = new Uint8Array(start.length + key.length);
  storageKey.set(start);
  storageKey.set(key, start.length);
  return storageKey;
}

/** Where the bytes of a corrupt hint are set aside. */
export function hintQuarantineKey(storageKey: Uint8Array): Uint8Array {
  assert(storageKey[0] === HINT_SPACE, "the storage key of a hint begins with its space");
  const aside = storageKey.slice();
  aside[0] = HINT_QUARANTINE_SPACE;
  return aside;
}

/** All hints of one partition for one target, in the order of their keys' bytes. */
export function hintRange(partition: number, target: string): StorageRange {
  assert(/^[!-~]{1,255}$/.test(target), "a target is a member's name");
  assert(Number.isInteger(partition) && partition >= 0 && partition <= PARTITION_MAX, "a partition is a uint16");
  const from = new Uint8Array(HINT_PREFIX_BYTES + target.length);
  from[0] = HINT_SPACE;
  from[1] = partition >>> 8;
  from[2] = partition & 0xff;
  from[3] = target.length;
  for (let index = 0; index < target.length; index++) from[HINT_PREFIX_BYTES + index] = target.charCodeAt(index);
  const until = from.slice();
  // Names are ASCII, so the last byte of the next prefix is one more and never overflows.
  until[until.length - 1] = (until.at(-1) ?? 0) + 1;
  return { from, until };
}

/** All hints, by partition, then by target. */
export function hintsRange(): StorageRange {
  return { from: Uint8Array.of(HINT_SPACE), until: Uint8Array.of(HINT_SPACE + 1) };
}

/**
 * The hints of some partitions.
 *
 * @param from 0 .. 65_536.
 * @param until `from` .. 65_536: the first partition outside.
 */
export function hintsRangeOf(from: number, until: number): StorageRange {
  return { from: partitionStart(HINT_SPACE, from), until: partitionStart(HINT_SPACE, until) };
}

/**
 * Reads back what `hintKey` made; the key is a view into it.
 *
 * @throws {AssertionError} The argument is no storage key of a hint.
 */
export function parseHintKey(storageKey: Uint8Array): HintPlace {
  const [space, high, low, size] = storageKey;
  assert(space === HINT_SPACE, "the storage key of a hint begins with its space");
  assert(high !== undefined && low !== undefined && size !== undefined, "it holds the partition and the target");
  const nameEnd = HINT_PREFIX_BYTES + size;
  assert(size > 0 && nameEnd <= storageKey.length, "it holds the whole name of the target");
  const target = String.fromCharCode(...storageKey.subarray(HINT_PREFIX_BYTES, nameEnd));
  return { partition: (high << 8) | low, target, key: storageKey.subarray(nameEnd) };
}

/** Everything a node stores, in every space. */
export function wholeRange(): StorageRange {
  return { from: Uint8Array.of(META_SPACE), until: Uint8Array.of(0xff) };
}

/**
 * Reads back what `dataKey`, `quarantineKey` or `doubtKey` made.
 *
 * @throws {AssertionError} The argument is no storage key of a partition: the caller scanned outside its range.
 */
export function parsePartitionedKey(storageKey: Uint8Array): PartitionedKey {
  const [space, high, low] = storageKey;
  assert(
    space !== undefined && PARTITIONED_SPACES.includes(space),
    "a storage key of a partition begins with its space",
  );
  assert(storageKey.length >= PREFIX_BYTES, "a storage key of a partition holds the partition and a place");
  assert(high !== undefined && low !== undefined, "a storage key of a partition holds the partition");
  return { partition: (high << 8) | low, key: storageKey.subarray(PREFIX_BYTES) };
}

/** The partition of what `dataKey` or `hintKey` made, or of where those of a partition begin. */
export function partitionOfStored(storageKey: Uint8Array): number {
  return ((storageKey[1] as number) << 8) | (storageKey[2] as number);
}

/** The place of what `dataKey` made, 0 .. 2^32 − 1. */
export function placeOfStored(storageKey: Uint8Array): number {
  const high = ((storageKey[3] as number) << 24) | ((storageKey[4] as number) << 16);
  return (high | ((storageKey[5] as number) << 8) | (storageKey[6] as number)) >>> 0;
}

function partitionedKey(space: number, partition: number, key: Uint8Array): Uint8Array {
  assert(Number.isInteger(partition) && partition >= 0 && partition <= PARTITION_MAX, "a partition is a uint16");
  const place = placeOf(key);
  const storageKey = new Uint8Array(PREFIX_BYTES + key.length);
  storageKey[0] = space;
  storageKey[1] = partition >>> 8;
  storageKey[2] = partition & 0xff;
  storageKey[3] = place >>> 24;
  storageKey[4] = (place >>> 16) & 0xff;
  storageKey[5] = (place >>> 8) & 0xff;
  storageKey[6] = place & 0xff;
  storageKey.set(key, PREFIX_BYTES);
  return storageKey;
}

/** Before the first storage key a partition may have; one past the last partition, the beginning of the next space. */
function partitionStart(space: number, partition: number): Uint8Array {
  if (partition > PARTITION_MAX) return Uint8Array.of(space + 1);
  return Uint8Array.of(space, partition >>> 8, partition & 0xff);
}

/** Before the first storage key of a place; one past the last place, the beginning of the next partition. */
function placeStart(partition: number, place: number): Uint8Array {
  if (place === PLACES) return partitionStart(DATA_SPACE, partition + 1);
  const partitionBytes = [DATA_SPACE, partition >>> 8, partition & 0xff];
  return Uint8Array.of(...partitionBytes, place >>> 24, (place >>> 16) & 0xff, (place >>> 8) & 0xff, place & 0xff);
}
