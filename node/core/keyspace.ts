/**
 * How a node's one ordered store is divided into spaces.
 *
 * The first byte of a storage key names its space. Data comes by partition, so that a transfer, a repair or a
 * clean-up of one partition is one range scan (design §2):
 *
 * | space      | byte | after it                                     | value                                 |
 * | ---------- | ---- | -------------------------------------------- | ------------------------------------- |
 * | meta       | 0x01 | name, ASCII                                  | small documents of the node itself    |
 * | data       | 0x02 | partition (uint16, big-endian), the key      | encoded record                        |
 * | quarantine | 0x03 | partition (uint16, big-endian), the key      | what was stored where a record failed |
 * |            |      |                                              | its checksum, byte for byte           |
 *
 * Nothing here hashes: which partition a key belongs to is the ring's affair.
 */
import assert from "node:assert/strict";

const META_SPACE = 0x01;
const DATA_SPACE = 0x02;
const QUARANTINE_SPACE = 0x03;

/** The space byte and the partition. */
const PREFIX_BYTES = 3;
const PARTITION_MAX = 0xff_ff;

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

/** Whether a storage key belongs to the node itself: a few small values that may use the disk's last reserve. */
export function isMetaKey(storageKey: Uint8Array): boolean {
  return storageKey[0] === META_SPACE;
}

/** All records of one partition, in the order of their keys' bytes. */
export function partitionRange(partition: number): StorageRange {
  return { from: partitionStart(DATA_SPACE, partition), until: partitionStart(DATA_SPACE, partition + 1) };
}

/** All that was set aside, over all partitions. */
export function quarantineRange(): StorageRange {
  return { from: Uint8Array.of(QUARANTINE_SPACE), until: Uint8Array.of(QUARANTINE_SPACE + 1) };
}

/** Everything a node stores, in every space. */
export function wholeRange(): StorageRange {
  return { from: Uint8Array.of(META_SPACE), until: Uint8Array.of(0xff) };
}

/**
 * Reads back what `dataKey` or `quarantineKey` made.
 *
 * @throws {AssertionError} The argument is no storage key of a partition: the caller scanned outside its range.
 */
export function parsePartitionedKey(storageKey: Uint8Array): PartitionedKey {
  const [space, high, low] = storageKey;
  assert(space === DATA_SPACE || space === QUARANTINE_SPACE, "a storage key of a partition begins with its space");
  assert(high !== undefined && low !== undefined, "a storage key of a partition holds the partition");
  return { partition: (high << 8) | low, key: storageKey.subarray(PREFIX_BYTES) };
}

function partitionedKey(space: number, partition: number, key: Uint8Array): Uint8Array {
  assert(Number.isInteger(partition) && partition >= 0 && partition <= PARTITION_MAX, "a partition is a uint16");
  const storageKey = new Uint8Array(PREFIX_BYTES + key.length);
  storageKey[0] = space;
  storageKey[1] = partition >>> 8;
  storageKey[2] = partition & 0xff;
  storageKey.set(key, PREFIX_BYTES);
  return storageKey;
}

/** The first storage key a partition may have; one past the last partition, the first of the next space. */
function partitionStart(space: number, partition: number): Uint8Array {
  if (partition > PARTITION_MAX) return Uint8Array.of(space + 1);
  return partitionedKey(space, partition, new Uint8Array(0));
}
