/**
 * A layer: records of one partition, and which records of the layers before it do not count any more.
 *
 *     {"key": base64url, "record": base64url}     a line for each record; the record as core/version/record-codec.ts writes it
 *     {"places": …, "briefs": …, "gone": …}       the last line, base64url: of each record above, in their order, its key's
 *                                                 place (uint32) and its brief (8 bytes, core/merkle/brief.ts); then briefs of
 *                                                 older layers' records that were replaced, or whose tombstones were collected
 *
 * A record counts when no later layer calls it gone. The last line is read by itself, so that what a backup holds is known
 * without reading its records; a damaged one would cost a backup bytes and no records, and is found by the layer's SHA-256.
 */
import { createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { z } from "zod";
import { briefOf, packBriefs, unpackBriefs } from "../../core/merkle/brief.ts";
import { fingerprintOf } from "../../core/merkle/fingerprint.ts";
import { packNumbers, unpackNumbers } from "../../core/merkle/packed.ts";
import { placeOf } from "../../core/ring/hash.ts";
import { decodeRecord, RecordCorruptError } from "../../core/version/record-codec.ts";
import { CommandError, EXIT } from "../exit.ts";
import { type Layer, numberText } from "./manifest.ts";
import { collect, type Draft, type Place } from "./place.ts";

/** A key and its record, base64url. */
export type Line = { readonly key: string; readonly record: string };

/** What is known of a record without reading it. */
export type Held = { readonly place: number; readonly brief: bigint };

export type Index = { readonly held: readonly Held[]; readonly gone: readonly bigint[] };

/** A layer that is being written. */
export type LayerWriter = {
  /** @returns Bytes that the line takes. */
  add(line: Line): Promise<number>;
  /** Ends it, but does not let it appear yet. */
  finish(gone: readonly bigint[]): Promise<{ readonly layer: Layer; readonly index: Index }>;
  readonly draft: Draft;
};

/** @param ofBackup Name of the backup that writes it. */
export async function beginLayer(place: Place, partition: number, ofBackup: string): Promise<LayerWriter> {
  const name = `layers/${numberText(partition)}-${ofBackup}-${randomBytes(4).toString("hex")}.jsonl`;
  const draft = await place.draft(name);
  const digest = createHash("sha256");
  const held: Held[] = [];
  let bytes = 0;
  const write = async (text: string) => {
    const stored = Buffer.from(text);
    await draft.write(stored);
    digest.update(stored);
    bytes += stored.length;
    return stored.length;
  };
  return {
    draft,
    async add({ key, record }) {
      held.push(heldOf(Buffer.from(key, "base64url"), Buffer.from(record, "base64url")));
      return await write(`${JSON.stringify({ key, record })}\n`);
    },
    async finish(gone) {
      const indexBytes = await write(formatIndex({ held, gone }));
      const layer = { name, bytes, indexBytes, records: held.length, sha256: digest.digest("hex") };
      return { layer, index: { held, gone } };
    },
  };
}

function heldOf(key: Uint8Array, record: Uint8Array): Held {
  try {
    return { place: placeOf(key), brief: briefOf(fingerprintOf(key, record, decodeRecord(record))) };
  } catch (error) {
    if (!(error instanceof RecordCorruptError)) throw error;
    throw new CommandError(`a node sent what is no record: ${error.message}`, EXIT.failed);
  }
}

/** The last line of a layer. */
export function formatIndex({ held, gone }: Index): string {
  const places = base64(packNumbers(held.map(({ place }) => place)));
  const briefs = base64(packBriefs(held.map(({ brief }) => brief)));
  return `${JSON.stringify({ places, briefs, gone: base64(packBriefs(gone)) })}\n`;
}

const packed = z.base64url().transform((text) => Buffer.from(text, "base64url"));
const IndexLine = z.strictObject({ places: packed, briefs: packed, gone: packed });

/** What `formatIndex` made; undefined for anything else. */
export function parseIndex(text: string): Index | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  const line = IndexLine.safeParse(found);
  if (!line.success) return undefined;
  const [places, briefs, gone] = [
    unpackNumbers(line.data.places),
    unpackBriefs(line.data.briefs),
    unpackBriefs(line.data.gone),
  ];
  if (places === undefined || briefs === undefined || gone === undefined) return undefined;
  if (places.length !== briefs.length) return undefined;
  return { held: briefs.map((brief, index) => ({ place: places[index] as number, brief })), gone };
}

/** What a layer says of itself; undefined where it is missing or its last line is none. */
export async function readIndex(place: Place, { name, bytes, indexBytes }: Layer): Promise<Index | undefined> {
  const stream = await place.open(name, bytes - indexBytes);
  return stream === undefined ? undefined : parseIndex((await collect(stream)).toString());
}

/** What the layers of a part hold together, the oldest given first. */
export function heldBy(indexes: readonly Index[]): Held[] {
  const gone = new Set<bigint>();
  const held: Held[] = [];
  for (const index of indexes.toReversed()) {
    for (const one of index.held) if (!gone.has(one.brief)) held.push(one);
    for (const brief of index.gone) gone.add(brief);
  }
  return held;
}

/**
 * The lines of a part's records that count, as they are stored, from the newest layer to the oldest.
 *
 * @throws {CommandError} For a layer that is not what it was.
 */
export async function* linesOf(place: Place, layers: readonly Layer[]): AsyncGenerator<string> {
  const gone = new Set<bigint>();
  for (const layer of layers.toReversed()) {
    const index = await readIndex(place, layer);
    const stream = await place.open(layer.name, 0);
    if (index === undefined || stream === undefined) {
      throw new CommandError(`cannot read ${layer.name} of ${place.title}: it is not what it was`, EXIT.failed);
    }
    let at = 0;
    for await (const text of createInterface({ input: stream })) {
      const held = index.held[at];
      if (held === undefined) break;
      if (!gone.has(held.brief)) yield text;
      at += 1;
    }
    for (const brief of index.gone) gone.add(brief);
  }
}

/** What is wrong with a layer; undefined when it has the bytes that the manifest says. */
export async function faultOf(place: Place, { name, bytes, sha256 }: Layer): Promise<string | undefined> {
  const stream: Readable | undefined = await place.open(name, 0);
  if (stream === undefined) return `${name}: it is missing`;
  const digest = createHash("sha256");
  let found = 0;
  for await (const chunk of stream) {
    digest.update(chunk as Buffer);
    found += (chunk as Buffer).length;
  }
  if (found !== bytes) return `${name}: expected ${bytes} bytes, found ${found}`;
  return digest.digest("hex") === sha256 ? undefined : `${name}: its SHA-256 is not the manifest's`;
}

/**
 * Reads every layer of some backups.
 *
 * @throws {CommandError} When one is missing or damaged; names each.
 */
export async function requireSound(
  place: Place,
  backups: readonly { readonly parts: readonly { readonly layers: readonly Layer[] }[] }[],
): Promise<void> {
  const layers = new Map(
    backups.flatMap(({ parts }) => parts.flatMap((part) => part.layers)).map((one) => [one.name, one]),
  );
  const faults: string[] = [];
  for (const layer of layers.values()) {
    const fault = await faultOf(place, layer);
    if (fault !== undefined) faults.push(fault);
  }
  if (faults.length > 0) throw new CommandError(`the backup is damaged: ${faults.join("; ")}`, EXIT.failed);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");
}
