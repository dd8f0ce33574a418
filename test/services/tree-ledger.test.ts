/** The ledger against a plain model: every order in which a write can be applied, told, and seen by a scan. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { dataKey, placeOfStored } from "../../node/core/keyspace.ts";
import type { Fingerprint } from "../../node/core/merkle/fingerprint.ts";
import { MerkleTree, placesOf } from "../../node/core/merkle/tree.ts";
import { type Change, type Count, TreeLedger } from "../../node/services/tree-ledger.ts";

const PARTITION = 1;
const NAMES = Array.from({ length: 12 }, (_, index) => `key ${index}`);
const AT = new Map(NAMES.map((name) => [name, dataKey(PARTITION, Buffer.from(name))]));
const IN_ORDER = [...NAMES].sort((a, b) => Buffer.compare(atOf(a), atOf(b)));
const BITS = 6;

function atOf(name: string): Uint8Array {
  return AT.get(name) as Uint8Array;
}

function printOf(version: number): Fingerprint {
  return { a: version * 7_919, b: version, c: -version, d: version * version };
}

type Disk = Map<string, number>;

/** A scan that has one page under way. */
type Scan = { readonly count: Count; page: readonly string[] | undefined; snapshot: Disk | undefined; next: number };

/** What a replica and its disk do, one step at a time, with the ledger beside it. */
class Model {
  readonly ledger = new TreeLedger();
  readonly disk: Disk = new Map();
  /** Newest versions that memory knows of. */
  readonly #newest = new Map<string, number | undefined>();
  /** Writes that set out and were not told yet, in order; the first `#applied` of them are on the disk. */
  readonly #onTheirWay: { readonly name: string; readonly version: number | undefined; readonly change: Change }[] = [];
  #applied = 0;
  #version = 0;
  scan: Scan | undefined;
  counted: MerkleTree | undefined;
  /** Whether a write failed since the present scan began. */
  failedSince = false;

  write(name: string, removes: boolean): void {
    const was = this.#newest.get(name);
    if (removes && was === undefined) return;
    const version = removes ? undefined : ++this.#version;
    const [wasPrint, isPrint] = [was, version].map((held) => (held === undefined ? undefined : printOf(held)));
    const change = this.ledger.change(name, atOf(name), wasPrint, isPrint);
    this.#newest.set(name, version);
    this.#onTheirWay.push({ name, version, change });
  }

  apply(): void {
    const next = this.#onTheirWay[this.#applied];
    if (next === undefined) return;
    this.#applied += 1;
    if (next.version === undefined) this.disk.delete(next.name);
    else this.disk.set(next.name, next.version);
  }

  tell(): void {
    if (this.#applied === 0) return;
    this.#applied -= 1;
    this.#onTheirWay.shift()?.change.durable();
  }

  /** What is not on the disk yet fails; memory then knows what the disk knows. */
  fail(): void {
    while (this.#applied > 0) this.tell();
    if (this.#onTheirWay.length > 0) this.failedSince = true;
    for (const { name, change } of this.#onTheirWay.splice(0)) {
      change.failed();
      this.#newest.set(name, this.disk.get(name));
    }
  }

  isPending = (name: string): boolean => this.#onTheirWay.some((write) => write.name === name);

  /** Begins a scan, or its next page. */
  ask(): void {
    if (this.scan === undefined) {
      this.failedSince = false;
      const count = this.ledger.begin(PARTITION, placesOf(0, 0), new MerkleTree(BITS));
      this.scan = { count, page: undefined, snapshot: undefined, next: 0 };
    }
    if (this.scan.page !== undefined) return;
    this.scan.count.beginPage();
    this.scan.page = IN_ORDER.slice(this.scan.next, this.scan.next + 4);
  }

  /** The disk reads what the page will show. */
  look(): void {
    if (this.scan?.page !== undefined) this.scan.snapshot ??= new Map(this.disk);
  }

  /** The page arrives. */
  arrive(): void {
    const { scan } = this;
    if (scan?.page === undefined) return;
    this.look();
    const shown = scan.page.flatMap((name) => {
      const version = scan.snapshot?.get(name);
      return version === undefined ? [] : [{ name, at: atOf(name), print: printOf(version) }];
    });
    scan.next += scan.page.length;
    const isLast = scan.next >= IN_ORDER.length;
    const last = scan.page.at(-1) as string;
    const onTheirWay = { isPending: this.isPending, removals: this.ledger.removals };
    scan.count.endPage(shown, isLast ? undefined : atOf(last), onTheirWay);
    scan.page = undefined;
    scan.snapshot = undefined;
    if (isLast) this.finish(scan);
  }

  finish({ count }: Scan): void {
    while (this.#onTheirWay.length > 0) {
      this.apply();
      this.tell();
    }
    assert.equal(count.hasFailed, this.failedSince);
    if (!count.hasFailed) this.counted = count.tree;
    this.ledger.end(count);
    this.scan = undefined;
  }

  plain(): MerkleTree {
    const tree = new MerkleTree(BITS);
    for (const [name, version] of this.disk) tree.add(placeOfStored(atOf(name)), printOf(version));
    return tree;
  }
}

const name = fc.constantFrom(...NAMES);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("write" as const), name, removes: fc.constant(false) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("write" as const), name, removes: fc.constant(true) }) },
  { weight: 20, arbitrary: fc.record({ do: fc.constantFrom("apply", "tell", "ask", "look", "arrive") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("fail" as const) }) },
);

function take(model: Model, what: { do: string; name?: string; removes?: boolean }): void {
  switch (what.do) {
    case "write":
      return model.write(what.name as string, what.removes as boolean);
    case "apply":
      return model.apply();
    case "tell":
      return model.tell();
    case "ask":
      return model.ask();
    case "look":
      return model.look();
    case "arrive":
      return model.arrive();
    default:
      return model.fail();
  }
}

describe("the ledger of the trees", () => {
  it("counts every write exactly once, in whatever order it is applied, told, and read by a scan", () => {
    let counts = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 200 }), (steps) => {
        const model = new Model();
        for (const what of steps) {
          take(model, what);
          // The tree that the last count gave has since been kept by the ledger.
          if (model.counted === undefined) continue;
          counts += 1;
          assert.deepEqual(model.counted.encode(), model.plain().encode());
          model.ledger.set(PARTITION, model.counted);
          model.counted = undefined;
        }
        while (model.isPending(NAMES.find(model.isPending) ?? "")) {
          model.apply();
          model.tell();
        }
        const kept = model.ledger.tree(PARTITION);
        if (kept !== undefined && !model.ledger.isInDoubt(PARTITION)) {
          assert.deepEqual(kept.encode(), model.plain().encode());
        }
      }),
      { numRuns: 3_000 },
    );
    assert(counts > 500, `${counts} counts came to their end`);
  });

  it("lets no count stand that may have read a record before it was damaged (seed 2078300357 of 57fd43f)", () => {
    const ledger = new TreeLedger();
    const at = atOf("key 1");
    const [before, other] = [PARTITION, PARTITION + 1].map((partition) =>
      ledger.begin(partition, placesOf(0, 0), new MerkleTree(BITS)),
    );
    before?.beginPage();
    before?.endPage([{ name: "key 1", at, print: printOf(1) }], undefined, { isPending: () => false, removals: [] });
    ledger.doubt(at);
    const after = ledger.begin(PARTITION, placesOf(0, 0), new MerkleTree(BITS));
    assert.deepEqual([before?.hasFailed, other?.hasFailed, after.hasFailed], [true, false, false]);
  });

  it("doubts the place of a write that failed until it is settled, and only where there is a tree", () => {
    const ledger = new TreeLedger();
    let told = 0;
    ledger.onDoubt(() => {
      told += 1;
    });
    const at = atOf("key 1");
    ledger.change("key 1", at, undefined, printOf(1)).failed();
    assert.equal(ledger.isInDoubt(PARTITION), false);
    ledger.set(PARTITION, new MerkleTree(BITS));
    ledger.change("key 1", at, undefined, printOf(1)).failed();
    assert.deepEqual([ledger.isInDoubt(PARTITION), told, ledger.failures], [true, 1, 2]);
    assert.deepEqual(ledger.doubtful(), [PARTITION]);
    ledger.settle(PARTITION, ledger.doubts(PARTITION));
    assert.equal(ledger.isInDoubt(PARTITION), false);
  });
});
