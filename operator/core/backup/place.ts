/** Where the backups of a KVBackup are. */
import type { Backup } from "../../api/kvbackup.ts";
import { readInstant } from "../instant.ts";

/** Where the volume of a claim is mounted. */
export const VOLUME_DIRECTORY = "/backups";

/** The place as `annulus backup` takes it: a directory below the mounted volume, or a bucket. */
export function placeOf({ metadata, spec: { destination, cluster } }: Backup): string {
  const { pvc, s3 } = destination;
  if (pvc !== undefined) return `${VOLUME_DIRECTORY}/${pvc.path ?? cluster}`;
  return `s3://${s3?.bucket}/${s3?.prefix ?? `${metadata.namespace}/${cluster}`}`;
}

/**
 * The name of the KVBackup that has the place, where two of a namespace name the same: the older one. Runs of two would write there
 * at once. One that has taken its only backup writes no more.
 *
 * @param others All of the namespace; the backup itself may be among them.
 */
export function rivalOf(backup: Backup, others: readonly Backup[]): string | undefined {
  const rivals = others.filter(
    (other) =>
      other.metadata.uid !== backup.metadata.uid &&
      whereIs(other) === whereIs(backup) &&
      !isOver(other) &&
      isBefore(other, backup),
  );
  return rivals.sort((a, b) => (isBefore(a, b) ? -1 : 1))[0]?.metadata.name;
}

/** Whether it has done all that it is for. */
export function isOver({ spec, status }: Backup): boolean {
  if (spec.schedule !== undefined) return false;
  return status.conditions?.some(({ type, status: is }) => type === "Complete" && is === "True") ?? false;
}

/** The same for two ways to write one place. */
function whereIs(other: Backup): string {
  const { pvc, s3 } = other.spec.destination;
  if (pvc !== undefined) return `${pvc.claimName} ${foldersOf(placeOf(other)).join("/")}`;
  return `${s3?.endpoint?.replace(/\/$/, "") ?? ""} ${placeOf(other)}`;
}

function foldersOf(path: string): string[] {
  return path.split("/").filter((folder) => folder !== "" && folder !== ".");
}

function isBefore({ metadata: a }: Backup, { metadata: b }: Backup): boolean {
  const [aMs, bMs] = [readInstant(a.creationTimestamp) ?? 0, readInstant(b.creationTimestamp) ?? 0];
  return aMs === bMs ? a.name < b.name : aMs < bMs;
}
