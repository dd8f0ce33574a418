/**
 * Which dots the writes got: learned from the disks, where a value lies beside its dot.
 *
 * A dot names one write and no other, on all disks and for ever (design of the versions: basho/riak_kv#679 is what happens
 * else). And what an acknowledged overwrite replaced is not guessed from times but read from its token, which covers the
 * dots of just those writes.
 */
import assert from "node:assert/strict";
import { covers } from "../../node/core/version/context.ts";
import type { CausalContext, Dot, KvRecord, Sibling } from "../../node/core/version/record.ts";
import type { WriteId } from "./history.ts";

export class Stamps {
  readonly #writeOf = new Map<string, string>();
  readonly #dotsOf = new Map<WriteId, Dot[]>();
  readonly #seen = new WeakSet<KvRecord>();

  /**
   * Learns from a record that lies on a disk.
   *
   * @param idOf The write whose value a sibling is; undefined for a deletion.
   */
  observe(key: string, record: KvRecord, idOf: (sibling: Sibling) => WriteId | undefined): void {
    if (this.#seen.has(record)) return;
    this.#seen.add(record);
    for (const sibling of record.siblings) {
      const { dot } = sibling;
      const name = `${dot.actor}.${dot.incarnation}:${dot.counter}`;
      const id = idOf(sibling);
      const what = `${key}, ${id ?? "a deletion"}`;
      const known = this.#writeOf.get(name);
      if (known !== undefined) {
        assert.equal(what, known, `a dot names one write: ${name} names two`);
        continue;
      }
      this.#writeOf.set(name, what);
      if (id === undefined) continue;
      const dots = this.#dotsOf.get(id);
      if (dots === undefined) this.#dotsOf.set(id, [dot]);
      else dots.push(dot);
    }
  }

  /** Those that are known of a write. */
  dotsOf(id: WriteId): readonly Dot[] {
    return this.#dotsOf.get(id) ?? [];
  }

  /** Whether a context covers one of the dots that a write is known to have; undefined when none is known. */
  isCovered(id: WriteId, context: CausalContext): boolean | undefined {
    return this.#dotsOf.get(id)?.some((dot) => covers(context, dot));
  }
}
