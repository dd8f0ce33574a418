/**
 * Takes a backup: one partition after the other from the admin API, each into its own part.
 *
 * A part is listed in the manifest once its bytes would survive the loss of power, so that a backup that was killed goes on
 * where it was: the parts that are listed and have their bytes stay, all others are read again.
 */
import { createHash } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Nodes } from "../../client/nodes.ts";
import { byteText } from "../change/figures.ts";
import type { ProgressLine } from "../change/follow.ts";
import { CommandError, EXIT } from "../exit.ts";
import { readPartition } from "../partition-stream.ts";
import {
  BACKUP_FORMAT_VERSION,
  faultOf,
  type Manifest,
  type Part,
  partName,
  readManifest,
  settleName,
  writeManifest,
} from "./manifest.ts";
import type { BytePace } from "./pace.ts";

const Entry = z.object({ key: z.string(), record: z.string() });

/** What a new manifest says of the cluster. */
export type BackupOf = Omit<Manifest, "parts" | "completedAt" | "formatVersion">;

/**
 * Writes a backup into a directory, or goes on with the one that is there.
 *
 * @throws {CommandError} The directory holds a backup that is whole, or one of another cluster; a partition cannot be read.
 */
export async function takeBackup(
  nodes: Nodes,
  directory: string,
  { of, pace, line }: { readonly of: BackupOf; readonly pace: BytePace; readonly line: ProgressLine },
): Promise<Manifest> {
  await mkdir(directory, { recursive: true });
  let manifest = await begun(directory, of);
  const kept = new Map(manifest.parts.map((part) => [part.partition, part]));
  for (let partition = 0; partition < manifest.partitions; partition += 1) {
    if (kept.has(partition)) continue;
    kept.set(partition, await takePart(nodes, directory, { partition, pace }));
    manifest = { ...manifest, parts: [...kept.values()].sort((a, b) => a.partition - b.partition) };
    await writeManifest(directory, manifest);
    line.show(`${kept.size} of ${manifest.partitions} partitions, ${byteText(bytesOf(manifest))}`, false);
  }
  manifest = { ...manifest, completedAt: new Date().toISOString() };
  await writeManifest(directory, manifest);
  return manifest;
}

/** Bytes of all parts. */
export function bytesOf({ parts }: Manifest): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Keys of all parts, deleted ones whose tombstones are kept among them. */
export function keysOf({ parts }: Manifest): number {
  return parts.reduce((sum, { keys }) => sum + keys, 0);
}

async function begun(directory: string, of: BackupOf): Promise<Manifest> {
  const found = await readManifest(directory);
  if (found === undefined) {
    const fresh: Manifest = { formatVersion: BACKUP_FORMAT_VERSION, ...of, completedAt: null, parts: [] };
    await writeManifest(directory, fresh);
    return fresh;
  }
  if (found.completedAt !== null) {
    throw new CommandError(
      `${directory} holds a backup of ${found.startedAt}, which is whole: name another`,
      EXIT.usage,
    );
  }
  if (found.clusterId !== of.clusterId || found.partitions !== of.partitions) {
    throw new CommandError(`${directory} holds a backup of another cluster: name another directory`, EXIT.usage);
  }
  const parts: Part[] = [];
  for (const part of found.parts) if ((await faultOf(directory, part)) === undefined) parts.push(part);
  return { ...found, parts };
}

async function takePart(
  nodes: Nodes,
  directory: string,
  { partition, pace }: { readonly partition: number; readonly pace: BytePace },
): Promise<Part> {
  const name = partName(partition);
  const file = await open(join(directory, `${name}.new`), "w");
  const digest = createHash("sha256");
  let [keys, bytes] = [0, 0];
  let why: string | undefined;
  try {
    why = await readPartition(nodes, partition, {
      route: "/v1/backup",
      entry: Entry,
      keyOf: ({ key }) => percentEncoded(key),
      async take({ key, record }) {
        const stored = Buffer.from(`${JSON.stringify({ key, record })}\n`);
        await file.writeFile(stored);
        digest.update(stored);
        keys += 1;
        bytes += stored.length;
        await pace(stored.length);
      },
    });
    if (why === undefined) await file.sync();
  } finally {
    await file.close();
  }
  if (why !== undefined) {
    throw new CommandError(`cannot back partition ${partition} up: ${why}; repeat to go on`, EXIT.unavailable);
  }
  await settleName(directory, name);
  return { partition, keys, bytes, sha256: digest.digest("hex") };
}

/** A base64url key as the query of the admin API has it: its bytes, each percent-encoded. */
function percentEncoded(key: string): string {
  return Buffer.from(key, "base64url").toString("hex").replace(/../g, "%$&");
}
