/**
 * A backup's directory: one part for each partition, and `manifest.json`, which says what it is of and what is whole.
 *
 *     manifest.json    see `Manifest`
 *     part-00000.jsonl one key a line in storage order: {"key": base64url, "record": base64url}; the record as
 *                      core/version/record-codec.ts writes it
 *
 * A file gets its name when its bytes would survive the loss of power: written as `NAME.new`, fsynced, renamed. A part
 * counts once the manifest lists it with its size and SHA-256.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CommandError, EXIT } from "../exit.ts";

/** Raised when a reader of the older form would read it wrongly. */
export const BACKUP_FORMAT_VERSION = 1;

const NAME = "manifest.json";
const count = z.int().min(0);

const Part = z.strictObject({
  partition: count,
  keys: count,
  bytes: count,
  /** 64 hex digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const ManifestShape = z.strictObject({
  formatVersion: z.literal(BACKUP_FORMAT_VERSION),
  clusterId: z.string(),
  partitions: z.int().min(1),
  /** Of the ring when the backup began. */
  ringEpoch: count,
  replicationFactor: count,
  readQuorum: count,
  writeQuorum: count,
  /** ISO 8601. What W homes acknowledged before is in the backup. */
  startedAt: z.string(),
  /** Null until all parts are there. */
  completedAt: z.string().nullable(),
  parts: z.array(Part),
});

export type Part = z.infer<typeof Part>;
export type Manifest = z.infer<typeof ManifestShape>;

/** File name of a partition's part. */
export function partName(partition: number): string {
  return `part-${String(partition).padStart(5, "0")}.jsonl`;
}

/** The text of a manifest as it is stored. */
export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 1)}\n`;
}

/** @throws {CommandError} For what is no manifest of this format. */
export function parseManifest(text: string): Manifest {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new CommandError(`cannot read ${NAME}: ${(error as Error).message}`, EXIT.failed);
  }
  const version = z.object({ formatVersion: z.number() }).safeParse(found);
  if (version.success && version.data.formatVersion !== BACKUP_FORMAT_VERSION) {
    throw new CommandError(
      `cannot read the backup: it has format ${version.data.formatVersion}, this release reads ${BACKUP_FORMAT_VERSION}`,
      EXIT.failed,
    );
  }
  const parsed = ManifestShape.safeParse(found);
  if (parsed.success) return parsed.data;
  throw new CommandError(`cannot read ${NAME}: ${z.prettifyError(parsed.error)}`, EXIT.failed);
}

/** Undefined where the directory has none. */
export async function readManifest(directory: string): Promise<Manifest | undefined> {
  try {
    return parseManifest(await readFile(join(directory, NAME), "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Puts the manifest in the place of the one before it. */
export async function writeManifest(directory: string, manifest: Manifest): Promise<void> {
  const path = join(directory, `${NAME}.new`);
  const file = await open(path, "w");
  try {
    await file.writeFile(formatManifest(manifest));
    await file.sync();
  } finally {
    await file.close();
  }
  await settleName(directory, NAME);
}

/** Gives the synced file `NAME.new` its name, so that the loss of power does not take it back. */
export async function settleName(directory: string, name: string): Promise<void> {
  await rename(join(directory, `${name}.new`), join(directory, name));
  const folder = await open(directory, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** What is wrong with a part on the disk; undefined when it has the bytes that the manifest says. */
export async function faultOf(directory: string, { partition, bytes, sha256 }: Part): Promise<string | undefined> {
  const name = partName(partition);
  const digest = createHash("sha256");
  let found = 0;
  try {
    for await (const chunk of createReadStream(join(directory, name))) {
      digest.update(chunk as Buffer);
      found += (chunk as Buffer).length;
    }
  } catch (error) {
    return `${name}: ${(error as Error).message}`;
  }
  if (found !== bytes) return `${name}: expected ${bytes} bytes, found ${found}`;
  return digest.digest("hex") === sha256 ? undefined : `${name}: its SHA-256 is not the manifest's`;
}

/**
 * Reads a backup that is to be used.
 *
 * @throws {CommandError} When there is none, it is not whole, or a part is damaged; names each.
 */
export async function requireWhole(directory: string): Promise<Manifest> {
  const manifest = await readManifest(directory);
  if (manifest === undefined) throw new CommandError(`there is no backup in ${directory}`, EXIT.failed);
  const listed = new Set(manifest.parts.map(({ partition }) => partition));
  const missing = Array.from({ length: manifest.partitions }, (_, partition) => partition).filter(
    (partition) => !listed.has(partition),
  );
  if (missing.length > 0 || manifest.completedAt === null) {
    throw new CommandError(
      `the backup is not whole: ${missing.length} of ${manifest.partitions} parts are missing; repeat annulus backup`,
      EXIT.failed,
    );
  }
  const faults: string[] = [];
  for (const part of manifest.parts) {
    const fault = await faultOf(directory, part);
    if (fault !== undefined) faults.push(fault);
  }
  if (faults.length > 0) throw new CommandError(`the backup is damaged: ${faults.join("; ")}`, EXIT.failed);
  return manifest;
}
