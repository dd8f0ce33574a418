/** Histories told by hand, for the tests of what checks them. */
import type { CausalContext, KvRecord } from "../../node/core/version/record.ts";
import { History, type ReadSeen, type Stamping, type Write } from "./history.ts";
import { Losses } from "./losses.ts";

export const KEY = "key 0";
export const [A, B, C] = ["a", "b", "c"].map((letter) => letter.repeat(32)) as [string, string, string];
export const dot = (actor: string, counter: number) => ({ actor, incarnation: 1, counter });
export const knowing = (...vector: ReturnType<typeof dot>[]): CausalContext => ({ vector, dots: [] });
export const NOTHING = knowing();

/** N=3, R=2, W=2, strict. */
export const createHistory = (losses = new Losses()) => new History({ replicationFactor: 3, writeQuorum: 2 }, losses);

export type Told = Stamping & { readonly outcome?: Write["outcome"]; readonly endedMs?: number };

/** A write that ended 10 ms later, stamped once, unless told otherwise. */
export function write(history: History, what: Partial<Write> & { readonly startedMs: number }, told: Told = {}): Write {
  const begun = history.begin({ key: KEY, kind: "context", isDelete: false, isNamed: false, past: new Set(), ...what });
  const { outcome = "acknowledged", endedMs = what.startedMs + 10, ...stamping } = told;
  if (outcome === "unknown") begun.unknownTries = 1;
  history.end(begun, outcome, outcome === "unknown" ? Number.POSITIVE_INFINITY : endedMs, { restamps: 0, ...stamping });
  return begun;
}

export function read(startedMs: number, shown: readonly Write[], more: Partial<ReadSeen> = {}): ReadSeen {
  const ids = shown.map(({ id }) => id);
  return { key: KEY, startedMs, endedMs: startedMs + 5, shown: ids, isFresh: true, readQuorum: 2, ...more };
}

/** What lies on a disk: a value with its dot. */
export function onDisk(history: History, { id }: Write, at: ReturnType<typeof dot>): void {
  const sibling = {
    dot: at,
    value: new TextEncoder().encode(`${id}`),
    contentType: "",
    writtenAtMs: 0,
    expiresAtMs: undefined,
  };
  const record: KvRecord = { context: knowing(at), eventsSeen: [], siblings: [sibling], events: [] };
  history.stamps.observe(KEY, record, ({ value }) => Number(new TextDecoder().decode(value)));
}
