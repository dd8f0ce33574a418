/**
 * Removes backups that a policy does not keep, and then the layers that no backup needs.
 *
 * A backup may be written meanwhile. Nothing that it needs goes, for each side does two things in the opposite order:
 *
 *     backup: says what it builds on, then looks whether the backup before is still there; names a layer, then lets it appear
 *     prune:  removes backups, then reads what an unfinished one says;           lists layers, then reads who names them
 *
 * So a layer that was listed was named before its names are read, and a backup that was removed is missed by a writer that was
 * not seen, which then begins anew. What an unfinished backup says is read before the manifests, for it goes after its manifest has come.
 */
import { type KeepRule, type KeepRules, keptBy } from "./keep.ts";
import { BEGUN, backupName, backupNames, type Manifest, manifestFile, parseBegun, readManifest } from "./manifest.ts";
import type { Place } from "./place.ts";
import { unfinishedParts } from "./take.ts";

export type Pruned = {
  /** The oldest first. */
  readonly kept: readonly { readonly manifest: Manifest; readonly rules: readonly KeepRule[] }[];
  readonly removed: readonly Manifest[];
  /** Of layers that nobody needs any more. */
  readonly freedBytes: number;
};

/**
 * Prunes a place of backups; the newest backup always stays.
 *
 * @param options `dryRun`: only says what it would do.
 * @throws {CommandError} A manifest cannot be read: then nothing may be swept; what the place says.
 */
export async function prune(place: Place, rules: KeepRules, options: { readonly dryRun: boolean }): Promise<Pruned> {
  const backups = await manifests(place);
  const byInstant = keptBy(
    backups.map(({ startedAt }) => startedAt),
    rules,
  );
  const removed = backups.filter(({ startedAt }) => !byInstant.has(startedAt));
  const listed = await place.list("layers");
  if (!options.dryRun) for (const manifest of removed) await place.remove(manifestFile(backupName(manifest)));
  const needed = await namesOfNeeded(place, backups, removed);
  let freedBytes = 0;
  for (const [name, bytes] of listed) {
    if (needed.has(name)) continue;
    if (!options.dryRun) await place.remove(name);
    freedBytes += bytes;
  }
  const kept = backups.flatMap((manifest) => {
    const by = byInstant.get(manifest.startedAt);
    return by === undefined ? [] : [{ manifest, rules: by }];
  });
  return { kept, removed, freedBytes };
}

async function manifests(place: Place): Promise<Manifest[]> {
  const found: Manifest[] = [];
  for (const name of await backupNames(place)) {
    const manifest = await readManifest(place, name);
    if (manifest !== undefined) found.push(manifest);
  }
  return found;
}

/**
 * Layers that a backup names, an unfinished one among them.
 *
 * @param before Those that were there before any was removed: another prune may have removed one meanwhile, and is answerable for it.
 */
async function namesOfNeeded(
  place: Place,
  before: readonly Manifest[],
  removed: readonly Manifest[],
): Promise<ReadonlySet<string>> {
  const begun = await place.read(BEGUN);
  const parts = begun === undefined ? [] : [...parseBegun(begun).parts];
  parts.push(...(await unfinishedParts(place)));
  const goes = new Set(removed.map(backupName));
  for (const manifest of [...before, ...(await manifests(place))]) {
    if (!goes.has(backupName(manifest))) parts.push(...manifest.parts);
  }
  return new Set(parts.flatMap(({ layers }) => layers.map(({ name }) => name)));
}
