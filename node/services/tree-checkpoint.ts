/** What a clean stop lays down of the trees, so that the next start need not build them: read once, and removed. */
import { KvError } from "../core/errors.ts";
import { checkpointKey, checkpointRange, parseCheckpointKey } from "../core/keyspace.ts";
import { MerkleTree } from "../core/merkle/tree.ts";
import { PARTITIONS_MAX } from "../core/ring/document.ts";
import { sealBytes, unsealBytes } from "../core/seal.ts";
import type { Engine, EngineWrite, Entry, ScanRange, Telemetry } from "../ports.ts";
import type { TreeLedger } from "./tree-ledger.ts";

const CHECKPOINT_NAME = "merkle tree";
/** Partitions of a checkpoint that are read or removed at once. */
const CHECKPOINT_PAGE = 256;
/** How many checkpoints are removed in one batch where they cannot be read. */
const CHECKPOINTS_REMOVED_AT_ONCE = 4_096;

/** Reads and removes what a clean stop laid down; without `ledger` it is only removed. */
export async function loadCheckpoint(
  engine: Engine,
  telemetry: Telemetry,
  ledger: TreeLedger | undefined,
): Promise<void> {
  const { from, until } = checkpointRange();
  const loaded: number[] = [];
  for (;;) {
    const entries = await scanOrUndefined(engine, { from, until, limit: CHECKPOINT_PAGE });
    if (entries === undefined) {
      // The trees are built by scan then: nothing is lost but time. What is left unread may not be believed at a later start.
      telemetry.log("warn", "trees.not_loaded", { partitions: loaded.length });
      for (const partition of loaded) ledger?.set(partition, undefined);
      return removeAllUnread(engine);
    }
    if (entries.length === 0) break;
    for (const { key, value } of entries) {
      const bytes = unsealBytes(CHECKPOINT_NAME, value);
      const tree = bytes === undefined ? undefined : MerkleTree.decode(bytes);
      if (tree === undefined || ledger === undefined) continue;
      const partition = parseCheckpointKey(key);
      ledger.set(partition, tree);
      loaded.push(partition);
    }
    await removeCheckpoints(
      engine,
      entries.map(({ key }) => key),
    );
  }
  telemetry.log("info", "trees.loaded", { partitions: loaded.length });
}

/** Undefined where a block cannot be read. */
async function scanOrUndefined(engine: Engine, range: ScanRange): Promise<readonly Entry[] | undefined> {
  try {
    return await engine.scan(range);
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    return undefined;
  }
}

/** Removes the checkpoint of every partition that there may be, for which of them there are cannot be read. */
async function removeAllUnread(engine: Engine): Promise<void> {
  for (let first = 0; first < PARTITIONS_MAX; first += CHECKPOINTS_REMOVED_AT_ONCE) {
    await removeCheckpoints(
      engine,
      Array.from({ length: CHECKPOINTS_REMOVED_AT_ONCE }, (_, at) => checkpointKey(first + at)),
    );
  }
}

async function removeCheckpoints(engine: Engine, keys: readonly Uint8Array[]): Promise<void> {
  await engine.batch(
    keys.map((key) => ({ kind: "delete", key })),
    { sync: true },
  );
}

/** Lays down the trees of some partitions that are surely right; nothing may be written after it. */
export async function saveCheckpoint(
  engine: Engine,
  telemetry: Telemetry,
  ledger: TreeLedger,
  owned: Iterable<number>,
): Promise<void> {
  const writes: EngineWrite[] = [];
  for (const partition of owned) {
    const tree = ledger.isInDoubt(partition) ? undefined : ledger.tree(partition);
    if (tree === undefined) continue;
    writes.push({ kind: "put", key: checkpointKey(partition), value: sealBytes(CHECKPOINT_NAME, tree.encode()) });
  }
  try {
    await engine.batch(writes, { sync: true });
  } catch (error) {
    // The next start builds the trees by scan: nothing is lost but time.
    if (!(error instanceof KvError)) throw error;
    telemetry.log("warn", "trees.not_saved", { cause: error });
  }
}
