/**
 * Collection horizons as bytes, between members and on disk.
 *
 *   horizon  =  format, instant (varint), actors: count, 16 bytes each, ascending
 *               vector: count, then actor's place, incarnation, counter of each
 *
 * Equal horizons have equal bytes, and no other bytes are accepted, so that a checksum of them tells whether two replicas go
 * by the same one. Never cut short: a horizon that says less than what was applied would let old values in.
 */
import assert from "node:assert/strict";
import { checksumOf } from "./checksum.ts";
import type { Horizon } from "./collect.ts";
import {
  actorTable,
  checkTable,
  dotsSize,
  readTable,
  readVector,
  tableSize,
  writeDots,
  writeTable,
} from "./context-codec.ts";
import { varintSize, WireReader, writeVarint } from "./wire.ts";

const FORMAT = 1;
const NO_DOTS = [] as const;

/** The digest of a partition that has no horizon. */
export const NO_HORIZON = 0;

/** Bytes that are no horizon. */
export class HorizonMalformedError extends Error {
  constructor(reason: string) {
    super(`Cannot read a collection horizon: ${reason}`);
    this.name = new.target.name;
  }
}

/** @returns A fresh array. */
export function encodeHorizon({ vector, expiredBeforeMs }: Horizon): Uint8Array {
  const table = actorTable({ vector, dots: NO_DOTS });
  const size = 1 + varintSize(expiredBeforeMs) + tableSize(table) + dotsSize(table, vector);
  const out = new Uint8Array(size);
  out[0] = FORMAT;
  const afterInstant = writeVarint(out, 1, expiredBeforeMs);
  const end = writeDots(out, writeTable(out, afterInstant, table), table, vector);
  assert.equal(end, size, "the size of a horizon is computed as it is written");
  return out;
}

/** @throws {HorizonMalformedError} For anything but the bytes that `encodeHorizon` makes. */
export function decodeHorizon(bytes: Uint8Array): Horizon {
  const reader = new WireReader(bytes, 0, (reason) => new HorizonMalformedError(reason));
  const format = reader.byte();
  if (format !== FORMAT) throw reader.malformed(`its format is ${format}, known is ${FORMAT}`);
  const expiredBeforeMs = reader.varint();
  const table = readTable(reader);
  const vector = readVector(reader, table);
  checkTable(reader, table, { vector, dots: NO_DOTS });
  reader.end();
  return { vector, expiredBeforeMs };
}

/**
 * Tells horizons apart: 1 .. 2^32 − 1. Two that differ and look equal would be told apart after the next one is raised.
 *
 * @param bytes What `encodeHorizon` made.
 */
export function horizonDigest(bytes: Uint8Array): number {
  return checksumOf(bytes, FORMAT) || 1;
}
