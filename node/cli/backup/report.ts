/**
 * What `annulus backup --report FILE` writes: one JSON object of some hundred bytes, for whoever started the command. In Kubernetes the
 * file is the container's termination message, from which the operator reads it (`operator/core/backup/facts.ts`).
 */
import { backupName, bytesOf, keysOf } from "./manifest.ts";
import type { Pruned } from "./prune.ts";
import type { Taken } from "./take.ts";

/** @param pruned Undefined: nothing was told to be pruned. */
export function formatReport({ manifest, movedBytes }: Taken, pruned: Pruned | undefined): string {
  const { startedAt, completedAt, newBytes } = manifest;
  const report = {
    ...{ backup: backupName(manifest), startedAt, completedAt },
    ...{ keys: keysOf(manifest), bytes: bytesOf(manifest), newBytes, movedBytes },
    ...(pruned === undefined
      ? {}
      : { kept: pruned.kept.length, removed: pruned.removed.length, freedBytes: pruned.freedBytes }),
  };
  return `${JSON.stringify(report)}\n`;
}
