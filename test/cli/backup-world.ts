/** A place of backups in memory whose every step waits for its turn, and nodes that keep some records: for backups and prunes at once. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { createBytePace } from "../../node/cli/backup/pace.ts";
import type { Place } from "../../node/cli/backup/place.ts";
import { type BackupOf, takeBackup } from "../../node/cli/backup/take.ts";
import type { Call } from "../../node/client/http.ts";
import type { Nodes } from "../../node/client/nodes.ts";
import { briefOf, briefSums, leafOf, packBriefs, unpackBriefs } from "../../node/core/merkle/brief.ts";
import { fingerprintOf } from "../../node/core/merkle/fingerprint.ts";
import { partitionOf, placeOf } from "../../node/core/ring/hash.ts";
import { decodeRecord, encodeRecord } from "../../node/core/version/record-codec.ts";
import { stampWrite } from "../../node/core/version/stamp.ts";
import { createSeededRandom, type SeededRandom } from "../sim/random.ts";

export const PARTITIONS = 2;
const BITS = 4;

/** Gives one waiting step after the other its turn, as a seed says. */
export class Turns {
  readonly #random: SeededRandom;
  #waiting: { readonly who: string; readonly go: () => void }[] = [];
  readonly #dead = new Set<string>();

  constructor(seed: number) {
    this.#random = createSeededRandom(seed);
  }

  next(who: string): Promise<void> {
    return new Promise((go) => this.#waiting.push({ who, go }));
  }

  /** From now on nothing that `who` waits for comes: its process was killed. */
  kill(who: string): void {
    this.#dead.add(who);
  }

  /** Runs until all have ended; `onTurn` may kill somebody. */
  async run(all: readonly Promise<unknown>[], onTurn: (turn: number) => void = () => undefined): Promise<void> {
    let open = all.length;
    const ended = () => {
      open -= 1;
    };
    // How each ended is for who waits for it.
    for (const one of all) one.then(ended, ended);
    for (let turn = 0; ; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      onTurn(turn);
      this.#waiting = this.#waiting.filter(({ who }) => !this.#dead.has(who));
      if (open === 0 || (this.#waiting.length === 0 && this.#dead.size > 0)) return;
      const at = this.#random.uint32() % Math.max(1, this.#waiting.length);
      this.#waiting.splice(at, 1)[0]?.go();
    }
  }
}

/** @param who Whose steps they are. */
export function placeOfFiles(files: Map<string, Buffer>, turns: Turns, who: string): Place {
  const step = async <T>(run: () => T): Promise<T> => {
    await turns.next(who);
    return run();
  };
  return {
    title: "memory",
    read: (name) => step(() => files.get(name)?.toString()),
    open: (name, from) =>
      step(() => {
        const file = files.get(name);
        return file === undefined ? undefined : Readable.from([file.subarray(from)]);
      }),
    write: (name, text) => step(() => void files.set(name, Buffer.from(text))),
    async draft(name) {
      const chunks: Uint8Array[] = [];
      return {
        async write(bytes) {
          chunks.push(bytes);
        },
        keep: () => step(() => void files.set(name, Buffer.concat(chunks))),
        discard: async () => undefined,
      };
    },
    list: (folder) =>
      step(
        () =>
          new Map([...files].flatMap(([name, { length }]) => (name.startsWith(`${folder}/`) ? [[name, length]] : []))),
      ),
    remove: (name) => step(() => void files.delete(name)),
  };
}

/** Records of a cluster, as the admin API gives them to a backup. */
export class Records {
  readonly #records = new Map<string, { readonly line: string; readonly place: number; readonly brief: bigint }>();
  #counter = 0;

  put(key: string): void {
    this.#counter += 1;
    const record = encodeRecord(
      stampWrite({
        record: undefined,
        dot: { actor: "0".repeat(32), incarnation: 1, counter: this.#counter },
        base: { kind: "sibling" },
        content: { value: Buffer.from(key), contentType: "text/plain", expiresAtMs: undefined },
        nowMs: 1,
        limits: { siblingsMax: 50, siblingBytesMax: 1 << 20 },
      }).record,
    );
    const bytes = Buffer.from(key);
    const line = JSON.stringify({ key: base64(bytes), record: base64(record) });
    const brief = briefOf(fingerprintOf(bytes, record, decodeRecord(record)));
    this.#records.set(key, { line, place: placeOf(bytes), brief });
  }

  /** As a tombstone does once it was collected. */
  forget(key: string): void {
    this.#records.delete(key);
  }

  /** All lines, sorted. */
  lines(): string[] {
    return [...this.#records.values()].map(({ line }) => line).sort();
  }

  #of(partition: number) {
    return [...this.#records].flatMap(([key, record]) =>
      partitionOf(Buffer.from(key), PARTITIONS) === partition ? [record] : [],
    );
  }

  #difference(body: Uint8Array): string {
    const { partition, bits, leaves } = JSON.parse(Buffer.from(body).toString());
    const lines: string[] = [];
    const gone: bigint[] = [];
    for (const { leaf, briefs } of leaves) {
      const held = unpackBriefs(Buffer.from(briefs, "base64url")) ?? assert.fail("briefs are whole");
      const records = this.#of(partition).filter(({ place }) => leafOf(place, bits) === leaf);
      lines.push(...records.filter(({ brief }) => !held.includes(brief)).map(({ line }) => line));
      gone.push(...held.filter((brief) => !records.some((record) => record.brief === brief)));
    }
    return [...lines, JSON.stringify({ gone: base64(packBriefs(gone)), complete: true })].join("\n");
  }

  #whole(partition: number): string {
    const end = JSON.stringify({ epoch: 1, partition, complete: true });
    return [...this.#of(partition).map(({ line }) => line), end].join("\n");
  }

  /** Nodes that answer a backup; each answer waits for its turn. */
  nodes(turns: Turns, who: string): Nodes {
    const partitionIn = ({ path }: Call) => Number(/partition=(\d+)/.exec(path)?.[1]);
    const endpoint = {
      url: "memory",
      exchange: async (call: Call) => {
        await turns.next(who);
        const sums = base64(briefSums(BITS, this.#of(partitionIn(call))));
        const body = JSON.stringify({ bits: BITS, sums, unlike: [] });
        return { status: 200, headers: {}, body: Buffer.from(body), from: "memory" };
      },
      open: async (call: Call) => {
        await turns.next(who);
        const text = call.body === undefined ? this.#whole(partitionIn(call)) : this.#difference(call.body);
        return Object.assign(Readable.from([Buffer.from(text)]), { statusCode: 200, complete: true });
      },
    };
    return { endpoints: [endpoint], likeliest: [endpoint] } as unknown as Nodes;
  }
}

/** Takes a backup that begins at this minute. */
export function takeAt(minute: number, records: Records, place: Place, { turns, who }: { turns: Turns; who: string }) {
  const of: BackupOf = {
    ...{ clusterId: "c", partitions: PARTITIONS, ringEpoch: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    startedAt: new Date(minute * 60_000).toISOString(),
  };
  const line = { show: () => undefined, end: () => undefined };
  return takeBackup(records.nodes(turns, who), place, { of, pace: createBytePace(undefined), line });
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}
