/**
 * Takes a backup: of each partition only what differs from the layers that are there, or all of it where there are none.
 *
 *     newest backup's layers ─┐
 *     an unfinished one's ────┴─> compared with the cluster ── same: taken over ── differs: one more layer
 *                                 └─ none, or more dead than alive ── read as a whole: one layer
 *
 * A backup that was killed goes on where it was, for what it wrote is compared like what was there before: every partition is as
 * of this run. What it builds on, and each part before its layer, is written down where `prune` sees it.
 *
 * One run at a time: another that comes while this one goes on (a pod that was given up, and was only cut off) puts its name in the
 * place of this one's, or takes what is written down away at its end. Whoever does not find its own word any more cannot know what was
 * swept since, and ends without a manifest.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Nodes } from "../../client/nodes.ts";
import { byteText } from "../change/figures.ts";
import type { ProgressLine } from "../change/follow.ts";
import { CommandError, EXIT } from "../exit.ts";
import { readPartition } from "../partition-stream.ts";
import { compareWith, takeDifference } from "./difference.ts";
import { beginLayer, type Held, heldBy, type Index, type LayerWriter, readIndex } from "./layer.ts";
import {
  BACKUP_FORMAT_VERSION,
  BEGUN,
  type Begun,
  backupName,
  backupNames,
  bytesOf,
  formatDocument,
  type Manifest,
  manifestFile,
  type Part,
  parseBegun,
  parsePart,
  partFile,
  readManifest,
} from "./manifest.ts";
import type { BytePace } from "./pace.ts";
import type { Place } from "./place.ts";

const Entry = z.object({ key: z.string(), record: z.string() });

/** A part with more layers is read as a whole again; not all parts at the same time. */
const LAYERS_MAX = 48;
const LAYERS_SPREAD = 16;
/** So is one of which so many times as many records are stored as count. */
const STORED_MAX = 2;
/** A part with fewer records is no matter. */
const STORED_MIN = 256;

/** What a new manifest says of the cluster. */
export type BackupOf = Omit<Manifest, "parts" | "completedAt" | "formatVersion" | "newBytes">;

/** How a backup is taken. */
export type Taking = { readonly of: BackupOf; readonly pace: BytePace; readonly line: ProgressLine };

/** What was taken, and the bytes of all questions and answers. */
export type Taken = { readonly manifest: Manifest; readonly movedBytes: number };

/**
 * Writes a backup, or goes on with the one that was broken off.
 *
 * @throws {CommandError} The place holds backups of another cluster; a partition cannot be read; what the place says.
 */
export async function takeBackup(nodes: Nodes, place: Place, { of, pace, line }: Taking): Promise<Taken> {
  const base = await begin(place, of);
  const requireOwn = () => requireWriter(place, base.writer);
  const before = new Set(base.before.flatMap(({ layers }) => layers.map(({ name }) => name)));
  const bytesOfNew = (some: readonly Part[]) =>
    bytesOf({ parts: some.map((part) => ({ ...part, layers: part.layers.filter(({ name }) => !before.has(name)) })) });
  const sizes = await place.list("layers");
  let movedBytes = 0;
  const onMoved = async (bytes: number) => {
    movedBytes += bytes;
    await pace(bytes);
  };
  const parts: Part[] = [];
  for (let partition = 0; partition < of.partitions; partition += 1) {
    const old = await soundest(place, sizes, [base.unfinished, base.before], partition);
    parts.push(await takePart(nodes, place, { partition, old, name: backupName(of), onMoved, requireOwn }));
    line.show(`${parts.length} of ${of.partitions} partitions, ${byteText(bytesOfNew(parts))} new`, false);
  }
  const completedAt = new Date().toISOString();
  const newBytes = bytesOfNew(parts);
  const manifest: Manifest = { formatVersion: BACKUP_FORMAT_VERSION, ...of, completedAt, newBytes, parts };
  await requireOwn();
  await place.write(manifestFile(backupName(of)), formatDocument(manifest));
  await clear(place);
  return { manifest, movedBytes };
}

/** What a backup builds on: the parts of the backup before it, and those that it has got a layer for since. */
type Base = { readonly before: readonly Part[]; readonly unfinished: readonly Part[]; readonly writer: string };

/** Says what the backup builds on, which something unfinished may say already, and that this run writes it. */
async function begin(place: Place, of: BackupOf): Promise<Base> {
  const writer = randomBytes(8).toString("hex");
  for (;;) {
    const newestName = (await backupNames(place)).at(-1);
    const newest = newestName === undefined ? undefined : await readManifest(place, newestName);
    const text = await place.read(BEGUN);
    const begun = text === undefined ? undefined : parseBegun(text);
    for (const found of [newest, begun]) if (found !== undefined) requireSame(place, found, of);
    if (newest !== undefined && newest.startedAt >= of.startedAt) {
      throw new CommandError(
        `the newest backup began at ${newest.startedAt}, and this clock says it is ${of.startedAt}`,
        EXIT.failed,
      );
    }
    const isUnfinished = begun !== undefined && (newest === undefined || newest.startedAt < begun.startedAt);
    // Of one that ended, and was killed before it could tidy up.
    if (!isUnfinished) await clear(place);
    const { clusterId, partitions, startedAt } = of;
    const parts = newest?.parts ?? [];
    const fresh: Begun = { formatVersion: BACKUP_FORMAT_VERSION, clusterId, partitions, startedAt, writer, parts };
    const own = isUnfinished ? { ...begun, writer } : fresh;
    await place.write(BEGUN, formatDocument(own));
    // What was pruned before that was written may be swept away; what is pruned after is kept for it. One that ended meanwhile may have
    // had what was unfinished, and pruned by it.
    const isStill = newestName === undefined || (await place.read(manifestFile(newestName))) !== undefined;
    if (isStill && (await backupNames(place)).at(-1) === newestName) {
      return { before: own.parts, unfinished: isUnfinished ? await unfinishedParts(place) : [], writer };
    }
    await place.remove(BEGUN);
  }
}

/** @throws {CommandError} Another run has taken the place, or has ended and tidied up. */
async function requireWriter(place: Place, writer: string): Promise<void> {
  const text = await place.read(BEGUN);
  if (text !== undefined && parseBegun(text).writer === writer) return;
  throw new CommandError(
    `another backup is written to ${place.title} at the same time: run one at a time`,
    EXIT.failed,
  );
}

function requireSame(place: Place, found: Pick<Begun, "clusterId" | "partitions">, of: BackupOf): void {
  if (found.clusterId === of.clusterId && found.partitions === of.partitions) return;
  throw new CommandError(`${place.title} holds backups of another cluster: name another place`, EXIT.usage);
}

/** Parts that an unfinished backup has written down. */
export async function unfinishedParts(place: Place): Promise<Part[]> {
  const parts: Part[] = [];
  for (const name of (await place.list("unfinished")).keys()) {
    if (!/^unfinished\/part-\d+\.json$/.test(name)) continue;
    const text = await place.read(name);
    if (text !== undefined) parts.push(parsePart(text, name));
  }
  return parts;
}

/** Removes what an unfinished backup has written down, the word that there is one last. */
async function clear(place: Place): Promise<void> {
  for (const name of (await place.list("unfinished")).keys()) if (name !== BEGUN) await place.remove(name);
  await place.remove(BEGUN);
}

/** A part all of whose layers are there, with what they hold: the first of those that are known. */
async function soundest(
  place: Place,
  sizes: ReadonlyMap<string, number>,
  known: readonly (readonly Part[])[],
  partition: number,
): Promise<PartJob["old"]> {
  for (const parts of known) {
    const part = parts.find((one) => one.partition === partition);
    if (part?.layers.every(({ name, bytes }) => sizes.get(name) === bytes) !== true) continue;
    const indexes: Index[] = [];
    for (const layer of part.layers) {
      const index = await readIndex(place, layer);
      if (index !== undefined) indexes.push(index);
    }
    if (indexes.length === part.layers.length) return { part, indexes };
  }
  return undefined;
}

type PartJob = {
  readonly partition: number;
  /** What is there of it, sound. */
  readonly old: { readonly part: Part; readonly indexes: readonly Index[] } | undefined;
  /** Of the backup. */
  readonly name: string;
  readonly onMoved: (bytes: number) => Promise<void>;
  /** Throws once another run has the place. */
  readonly requireOwn: () => Promise<void>;
};

async function takePart(nodes: Nodes, place: Place, job: PartJob): Promise<Part> {
  const { partition, old, name, onMoved, requireOwn } = job;
  const isWorthIt = old !== undefined && !isWornOut(old.part);
  const held = isWorthIt ? heldBy(old.indexes) : [];
  const found = isWorthIt ? await compareWith(nodes, partition, held, onMoved) : undefined;
  if (old !== undefined && found !== undefined && found.leaves.length === 0) return old.part;
  if (old !== undefined && found !== undefined) {
    const writer = await beginLayer(place, partition, name);
    try {
      const gone = await takeDifference(nodes, { partition, ...found, held }, { writer, onMoved });
      if (gone !== undefined) return await keep(place, writer, { old, partition, gone, requireOwn });
    } finally {
      await writer.draft.discard();
    }
  }
  const writer = await beginLayer(place, partition, name);
  try {
    await takeWhole(nodes, writer, job);
    return await keep(place, writer, { old: undefined, partition, gone: [], requireOwn });
  } finally {
    await writer.draft.discard();
  }
}

/** Whether reading it as a whole is better than one more layer. */
function isWornOut({ partition, keys, layers }: Part): boolean {
  const stored = layers.reduce((sum, { records }) => sum + records, 0);
  return layers.length >= LAYERS_MAX - (partition % LAYERS_SPREAD) || stored > Math.max(STORED_MIN, STORED_MAX * keys);
}

async function takeWhole(nodes: Nodes, writer: LayerWriter, { partition, onMoved }: PartJob): Promise<void> {
  const why = await readPartition(nodes, partition, {
    route: "/v1/backup",
    entry: Entry,
    keyOf: ({ key }) => percentEncoded(key),
    take: async (line) => onMoved(await writer.add(line)),
  });
  if (why === undefined) return;
  throw new CommandError(`cannot back partition ${partition} up: ${why}; repeat to go on`, EXIT.unavailable);
}

/** Lets a layer appear, after it was written down that the unfinished backup has it. */
async function keep(
  place: Place,
  writer: LayerWriter,
  what: Pick<PartJob, "old" | "partition" | "requireOwn"> & { readonly gone: readonly bigint[] },
): Promise<Part> {
  const { old, partition, gone, requireOwn } = what;
  const { layer, index } = await writer.finish(gone);
  // Leaves that the homes did not agree on may have held nothing new after all.
  if (old !== undefined && layer.records === 0 && gone.length === 0) return old.part;
  const held: Held[] = heldBy([...(old?.indexes ?? []), index]);
  const part = { partition, keys: held.length, layers: [...(old?.part.layers ?? []), layer] };
  await requireOwn();
  await place.write(partFile(partition), formatDocument(part));
  await writer.draft.keep();
  return part;
}

/** A base64url key as the query of the admin API has it: its bytes, each percent-encoded. */
function percentEncoded(key: string): string {
  return Buffer.from(key, "base64url").toString("hex").replace(/../g, "%$&");
}
