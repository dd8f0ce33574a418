/**
 * Raw classic-level in a process of its own: what one copy of the data costs with nothing around it.
 *
 * `limit-level.js VALUE_BYTES KEYS SECONDS` prints one JSON line per way of asking. CPU is the process's own, so it
 * includes LevelDB's background compaction while it is measured.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { seededUniform, zipfianKeys } from "./keys.ts";

export type LevelFigures = {
  readonly name: string;
  readonly operations: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
};

const CALLERS = 16;

type Store = ClassicLevel<Uint8Array, Uint8Array>;
type PutOperation = { type: "put"; key: Uint8Array; value: Uint8Array };

async function main(valueBytes: number, keyCount: number, seconds: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "annulus-level-"));
  const store: Store = new ClassicLevel(directory, { keyEncoding: "view", valueEncoding: "view" });
  await store.open();
  const uniform = seededUniform(7);
  const filler = Buffer.from(Array.from({ length: valueBytes + 65_536 }, () => Math.floor(uniform() * 256)));
  const choose = zipfianKeys(keyCount, uniform);
  const key = (index: number): Uint8Array => Buffer.from(`key${String(index).padStart(12, "0")}`, "latin1");
  const value = (): Uint8Array => {
    const from = Math.floor(uniform() * 65_536);
    return filler.subarray(from, from + valueBytes);
  };
  const put = (index: number): PutOperation => ({ type: "put", key: key(index), value: value() });
  const batchOf = (next: () => number): PutOperation[] => Array.from({ length: CALLERS }, () => put(next()));
  for (let index = 0; index < keyCount; index += CALLERS) {
    let next = index;
    await store.batch(batchOf(() => next++));
  }
  const ways: readonly [string, number, () => Promise<unknown>][] = [
    ["put, one at a time", 1, () => store.put(key(choose()), value())],
    [`put, batches of ${CALLERS}`, CALLERS, () => store.batch(batchOf(choose))],
    ["get, one at a time", 1, () => store.get(key(choose()))],
    [
      `get, ${CALLERS} at once`,
      CALLERS,
      () => Promise.all(Array.from({ length: CALLERS }, () => store.get(key(choose())))),
    ],
  ];
  for (const [name, each, run] of ways) {
    process.stdout.write(`${JSON.stringify(await measure(name, each, run, seconds))}\n`);
  }
  await store.close();
  rmSync(directory, { recursive: true, force: true });
}

async function measure(
  name: string,
  each: number,
  run: () => Promise<unknown>,
  seconds: number,
): Promise<LevelFigures> {
  const warmUntil = performance.now() + seconds * 250;
  while (performance.now() < warmUntil) await run();
  const cpu = process.cpuUsage();
  const start = performance.now();
  let operations = 0;
  while (performance.now() - start < seconds * 1000) {
    await run();
    operations += each;
  }
  const { user, system } = process.cpuUsage(cpu);
  return { name, operations, seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 };
}

await main(Number(process.argv[2]), Number(process.argv[3]), Number(process.argv[4]));
