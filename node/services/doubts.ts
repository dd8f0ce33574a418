/**
 * Keys whose own copy may not be believed, because what this disk held of them was damaged.
 *
 * A merge makes such a record readable again, but with what one peer held: an acknowledged write may have been here and
 * on another home only, and a read that asked this node and the peer would miss it, although W homes had it and fewer
 * than W lost it (seed 100442 of 4258e72). So a doubt is on the disk beside the damaged bytes before anybody can merge, and
 * until it is settled (doubt-cure.ts) this node neither stamps the key nor counts towards R for it, nor is it complete
 * for the partition in the eyes of a home that is being rebuilt. What it is sent it stores, and that counts towards W.
 */
import { KvError } from "../core/errors.ts";
import { doubtKey, doubtsRange, parsePartitionedKey } from "../core/keyspace.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Engine, EngineWrite, Telemetry } from "../ports.ts";
import { keyName } from "./record-store.ts";
import { pagesOf } from "./stored-pages.ts";

/** A key in doubt, and what has been learnt of it from others since. */
export type Doubt = {
  readonly partition: number;
  readonly key: Uint8Array;
  /** Homes that hold all that they should, and whose record is merged here. */
  readonly sure: Set<MemberId>;
  /** Homes whose record is merged here, though they may lack something themselves. */
  readonly heard: Set<MemberId>;
};

export type Doubts = {
  /** Reads what is on the disk. */
  open(): Promise<void>;
  /** Takes a key for doubtful from now on; what it returns is to be stored with the damaged bytes. */
  raise(partition: number, key: Uint8Array): EngineWrite;
  /** What is to be settled, oldest first. */
  all(): readonly Doubt[];
  /** Believes a key again, from the moment in which `write`, handed what takes the mark away, has stored that. */
  settle(doubt: Doubt, write: (mark: EngineWrite) => Promise<void>): Promise<void>;
  /** @throws {KvError} NOT_READY while the key is in doubt. Costs one comparison when nothing is. */
  requireSure(partition: number, key: Uint8Array): void;
  /** @throws {KvError} NOT_READY while any key of the partition is in doubt. */
  requireAllSure(partition: number): void;
  /** Whether no key of the partition is in doubt. Costs the same however many are. */
  isSure(partition: number): boolean;
};

const PAGE_ENTRIES = 256;
const MARK = Uint8Array.of(1);

/** Keeps no key in doubt until `open` has read what is on the disk. */
export function createDoubts({
  engine,
  telemetry,
}: {
  readonly engine: Engine;
  readonly telemetry: Telemetry;
}): Doubts {
  const doubts = new Map<string, Doubt>();
  /** How many of them are of each partition that has any: asked for every partition of a comparison, and of every answer. */
  const countOf = new Map<number, number>();
  telemetry.gauge("annulus.store.doubtful_keys", () => doubts.size);

  function add(partition: number, key: Uint8Array): void {
    // One that is damaged once more has to be learnt of anew.
    const name = nameOf(partition, key);
    if (!doubts.has(name)) countOf.set(partition, (countOf.get(partition) ?? 0) + 1);
    doubts.set(name, { partition, key: key.slice(), sure: new Set(), heard: new Set() });
  }

  function forget(name: string, { partition }: Doubt): void {
    doubts.delete(name);
    const left = (countOf.get(partition) ?? 0) - 1;
    if (left > 0) countOf.set(partition, left);
    else countOf.delete(partition);
  }

  return {
    async open() {
      for await (const page of pagesOf(engine, doubtsRange(), PAGE_ENTRIES)) {
        for (const entry of page) {
          const { partition, key } = parsePartitionedKey(entry.key);
          add(partition, key);
        }
      }
    },
    raise(partition, key) {
      add(partition, key);
      return { kind: "put", key: doubtKey(partition, key), value: MARK };
    },
    all: () => [...doubts.values()],
    async settle(doubt, write) {
      const name = nameOf(doubt.partition, doubt.key);
      const isSame = () => doubts.get(name) === doubt;
      if (!isSame()) return;
      const at = doubtKey(doubt.partition, doubt.key);
      await write({ kind: "delete", key: at });
      if (isSame()) forget(name, doubt);
      // Damaged again meanwhile: which of the two marks came last on the disk nobody knows.
      else await write({ kind: "put", key: at, value: MARK });
    },
    requireSure(partition, key) {
      if (doubts.size > 0 && doubts.has(nameOf(partition, key))) throw inDoubt(partition);
    },
    requireAllSure(partition) {
      if (countOf.has(partition)) throw inDoubt(partition);
    },
    isSure: (partition) => !countOf.has(partition),
  };
}

function nameOf(partition: number, key: Uint8Array): string {
  return `${partition} ${keyName(key)}`;
}

function inDoubt(partition: number): KvError {
  return new KvError(
    "NOT_READY",
    `Cannot answer for a key of partition ${partition}: its record was damaged here, and the other homes have not been heard yet. Ask another home.`,
    { details: { retryAfterS: 1 } },
  );
}
