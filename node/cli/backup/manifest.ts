/**
 * What a place of backups holds:
 *
 *     backups/NAME.json           a manifest for each backup that is whole; NAME is the instant of its beginning
 *     layers/PARTITION-NAME-ID    records of one partition (layer.ts); backups share them, and none is ever changed
 *     unfinished/begun.json       of the backup that is being written: what it builds on, and which run writes it
 *     unfinished/part-PARTITION   of the same: each part that got a layer, written before the layer itself
 *
 * A manifest names every layer that its backup takes, so that each backup is restored by itself, and one that goes takes nothing of
 * another with it. What is named nowhere may be swept away (prune.ts).
 */
import { z } from "zod";
import { CommandError, EXIT } from "../exit.ts";
import type { Place } from "./place.ts";

/** Raised when a reader of the older form would read it wrongly. */
export const BACKUP_FORMAT_VERSION = 2;

/** Of the unfinished backup. */
export const BEGUN = "unfinished/begun.json";

const count = z.int().min(0);

const LayerShape = z.strictObject({
  name: z.string().regex(/^layers\/[\w-]+\.jsonl$/),
  bytes: count,
  /** Bytes at its end that say what it holds. */
  indexBytes: count,
  records: count,
  /** Of all its bytes, 64 hex digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const PartShape = z.strictObject({
  partition: count,
  /** Deleted ones whose tombstones are kept among them. */
  keys: count,
  /** The oldest first. */
  layers: z.array(LayerShape),
});

const formatVersion = z.literal(BACKUP_FORMAT_VERSION);

const BegunShape = z.strictObject({
  formatVersion,
  clusterId: z.string(),
  partitions: z.int().min(1),
  /** ISO 8601. */
  startedAt: z.string(),
  /** The run that goes on with it, by a name that no other has; earlier ones did not say it. */
  writer: z.string().optional(),
  parts: z.array(PartShape),
});

const ManifestShape = z.strictObject({
  formatVersion,
  clusterId: z.string(),
  partitions: z.int().min(1),
  /** Of the ring when the backup began. */
  ringEpoch: count,
  replicationFactor: count,
  readQuorum: count,
  writeQuorum: count,
  /** ISO 8601. What W homes acknowledged before is in the backup. */
  startedAt: z.string(),
  completedAt: z.string(),
  /** Bytes of the layers that this backup wrote. */
  newBytes: count,
  /** One for each partition, in order. */
  parts: z.array(PartShape),
});

export type Layer = z.infer<typeof LayerShape>;
export type Part = z.infer<typeof PartShape>;
export type Begun = z.infer<typeof BegunShape>;
export type Manifest = z.infer<typeof ManifestShape>;

/** The name of a backup: `20260101T000000000Z`. Names sort by time. */
export function backupName({ startedAt }: Pick<Manifest, "startedAt">): string {
  return startedAt.replace(/[-:.]/g, "");
}

/** The file of a backup's manifest. */
export function manifestFile(name: string): string {
  return `backups/${name}.json`;
}

/** The file that says what an unfinished backup has of a partition. */
export function partFile(partition: number): string {
  return `unfinished/part-${numberText(partition)}.json`;
}

/** A partition's number as names have it. */
export function numberText(partition: number): string {
  return String(partition).padStart(5, "0");
}

/** The text of a manifest, or of what an unfinished backup says of itself, as it is stored. */
export function formatDocument(document: Manifest | Begun | Part): string {
  return `${JSON.stringify(document)}\n`;
}

/** @throws {CommandError} For what is no manifest of this format. */
export function parseManifest(text: string, name: string): Manifest {
  return parseAs(ManifestShape, text, name);
}

/** As `parseManifest`. */
export function parseBegun(text: string): Begun {
  return parseAs(BegunShape, text, BEGUN);
}

/** As `parseManifest`; parts have no version of their own. */
export function parsePart(text: string, name: string): Part {
  return parseAs(PartShape, text, name);
}

function parseAs<T>(shape: z.ZodType<T>, text: string, name: string): T {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new CommandError(`cannot read ${name}: ${(error as Error).message}`, EXIT.failed);
  }
  const version = z.object({ formatVersion: z.number() }).safeParse(found);
  if (version.success && version.data.formatVersion !== BACKUP_FORMAT_VERSION) {
    throw new CommandError(
      `cannot read the backup: ${name} has format ${version.data.formatVersion}, this release reads ${BACKUP_FORMAT_VERSION}`,
      EXIT.failed,
    );
  }
  const parsed = shape.safeParse(found);
  if (parsed.success) return parsed.data;
  throw new CommandError(`cannot read ${name}: ${z.prettifyError(parsed.error)}`, EXIT.failed);
}

/** Names of the backups that are whole, the oldest first. */
export async function backupNames(place: Place): Promise<string[]> {
  const files = [...(await place.list("backups")).keys()];
  const names = files.flatMap((file) => /^backups\/(\d{8}T\d{9}Z)\.json$/.exec(file)?.[1] ?? []);
  return names.sort();
}

/** Undefined where there is none of that name. */
export async function readManifest(place: Place, name: string): Promise<Manifest | undefined> {
  const text = await place.read(manifestFile(name));
  return text === undefined ? undefined : parseManifest(text, manifestFile(name));
}

/** The manifest of the newest backup, or of the one with this name. @throws {CommandError} When there is none. */
export async function requireManifest(place: Place, name: string | undefined): Promise<Manifest> {
  const wanted = name ?? (await backupNames(place)).at(-1);
  const manifest = wanted === undefined ? undefined : await readManifest(place, wanted);
  if (manifest !== undefined) return manifest;
  const which = name === undefined ? "no whole backup" : `no backup ${name}`;
  throw new CommandError(`there is ${which} in ${place.title}`, EXIT.failed);
}

/** Bytes of all layers that a backup takes. */
export function bytesOf({ parts }: Pick<Manifest, "parts">): number {
  return parts.flatMap(({ layers }) => layers).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Keys of all parts, deleted ones whose tombstones are kept among them. */
export function keysOf({ parts }: Manifest): number {
  return parts.reduce((sum, { keys }) => sum + keys, 0);
}
