/** Every format that outlives a process, with examples that are the same on each run. */

import { decodeHint, encodeHint } from "../../node/core/hint.ts";
import { encodeIdentity, type IdentityDocument, parseIdentity } from "../../node/core/identity.ts";
import {
  checkpointKey,
  dataKey,
  doubtKey,
  hintKey,
  hintQuarantineKey,
  horizonKey,
  metaKey,
  parseCheckpointKey,
  parseHintKey,
  parseHorizonKey,
  parsePartitionedKey,
  quarantineKey,
} from "../../node/core/keyspace.ts";
import { MerkleTree } from "../../node/core/merkle/tree.ts";
import { parseVote, serializeVote, type Vote } from "../../node/core/paxos/acceptor.ts";
import { beginChange, NO_CHANGE } from "../../node/core/ring/change.ts";
import { serializeRing } from "../../node/core/ring/document.ts";
import { firstRing } from "../../node/core/ring/first-members.ts";
import { parseRing } from "../../node/core/ring/parse-document.ts";
import { decodeToken, encodeToken } from "../../node/core/version/context-codec.ts";
import { decodeHorizon, encodeHorizon } from "../../node/core/version/horizon-codec.ts";
import { type KvRecord, mergeRecords } from "../../node/core/version/record.ts";
import { decodeRecord, encodeRecord } from "../../node/core/version/record-codec.ts";
import { A, B, bytes, C, dot, NOW_MS, SIBLING, withContext, write } from "../core/version/examples.ts";

/** A format: how today's code writes it and reads it, and what there is to write. */
export type Format<T = unknown> = {
  readonly name: string;
  readonly write: (value: T) => Uint8Array;
  readonly read: (written: Uint8Array) => T;
  readonly examples: Readonly<Record<string, T>>;
};

const KEY = bytes("cart:42");
const text = (written: Uint8Array): string => new TextDecoder().decode(written);

const first = write(undefined, dot(A, 3), { value: "first" }).record;
const named = write(first, dot(B, 7), { value: "second", event: "try-1", base: withContext(first.context) }).record;
const aside = write(undefined, dot(C, 2, 4), { value: "aside", contentType: "application/json", base: SIBLING }).record;

const RECORDS: Readonly<Record<string, KvRecord>> = {
  "one value": first,
  "a named write over it": named,
  "two siblings": mergeRecords(named, aside),
  "a tombstone": write(named, dot(A, 9), { value: undefined, event: "delete", kind: "forward" }).record,
  "a value that expires": write(undefined, dot(A, 1), { value: "", expiresAtMs: NOW_MS + 60_000 }).record,
  "a dot beyond the vector": write(undefined, dot(A, 5), { base: withContext({ vector: [], dots: [dot(B, 3)] }) })
    .record,
};

const ring = firstRing({
  members: ["a", "b", "c"].map((zone, index) => ({
    name: `n${index + 1}`,
    address: `n${index + 1}.sessions:7402`,
    zone,
    weight: 100 + index,
    state: "active" as const,
    actor: [A, B, C][index] as string,
  })),
  partitions: 8,
  replicationFactor: 3,
  readQuorum: 2,
  writeQuorum: 2,
  mode: "sloppy",
});
const changing = beginChange(
  ring,
  {
    ...NO_CHANGE,
    join: [{ name: "n4", address: "n4.sessions:7402", zone: "a", weight: 100 }],
    leave: ["n1"],
    quorum: { readQuorum: 1, writeQuorum: 3, mode: "strict" },
  },
  {
    id: "00000000000000ab",
    nowMs: NOW_MS,
    isReachable: () => true,
    actorOf: () => "d0".repeat(16),
    metActorOf: () => undefined,
    isRebuilding: () => false,
  },
);

const identity: IdentityDocument = {
  formatVersion: 2,
  clusterId: "sessions",
  member: "n1",
  actor: A,
  incarnation: 3,
  bootId: "5d9c4b3a-0000-0000-0000-000000000001",
  stoppedCleanly: true,
  counterLimit: 2_097_152,
};

const tree = new MerkleTree(4);
tree.add(0x01234567, { a: 1, b: -2, c: 3, d: -4 });
tree.add(0xfedcba98, { a: 5, b: 6, c: 7, d: 8 });

type StoredKey = {
  readonly space: string;
  readonly partition?: number;
  readonly key?: Uint8Array;
  readonly target?: string;
};

function writeKey({ space, partition = 0, key = KEY, target = "n1" }: StoredKey): Uint8Array {
  switch (space) {
    case "meta":
      return metaKey(target);
    case "data":
      return dataKey(partition, key);
    case "quarantine":
      return quarantineKey(partition, key);
    case "doubt":
      return doubtKey(partition, key);
    case "checkpoint":
      return checkpointKey(partition);
    case "horizon":
      return horizonKey(partition);
    case "hint":
      return hintKey({ partition, target, key });
    default:
      return hintQuarantineKey(hintKey({ partition, target, key }));
  }
}

function readKey(written: Uint8Array): StoredKey {
  const spaces = ["", "meta", "data", "quarantine", "checkpoint", "hint", "hint quarantine", "horizon", "doubt"];
  const space = spaces[written[0] ?? 0] ?? "";
  if (space === "meta") return { space, target: text(written.subarray(1)) };
  if (space === "checkpoint") return { space, partition: parseCheckpointKey(written) };
  if (space === "horizon") return { space, partition: parseHorizonKey(written) };
  if (space === "hint") return { space, ...parseHintKey(written) };
  if (space === "hint quarantine") return { space, ...parseHintKey(Uint8Array.of(5, ...written.subarray(1))) };
  return { space, ...parsePartitionedKey(written) };
}

function formats(): readonly Format[] {
  const of = <T>(format: Format<T>) => format as Format;
  return [
    of({ name: "record", write: encodeRecord, read: decodeRecord, examples: RECORDS }),
    of({
      name: "context-token",
      write: (context) => bytes(encodeToken(context, KEY)),
      read: (written) => decodeToken(text(written), KEY),
      examples: { empty: { vector: [], dots: [] }, "vector and dots": mergeRecords(named, aside).context },
    }),
    of({
      name: "hint",
      write: encodeHint,
      read: decodeHint,
      examples: {
        counted: { counted: true, stampedHere: false, storedAtMs: NOW_MS, record: encodeRecord(first) },
        "stamped here": { counted: false, stampedHere: true, storedAtMs: 1, record: encodeRecord(named) },
      },
    }),
    of({
      name: "horizon",
      write: encodeHorizon,
      read: decodeHorizon,
      examples: { horizon: { vector: [dot(A, 9), dot(B, 2, 3)], expiredBeforeMs: NOW_MS } },
    }),
    of({
      name: "ring",
      write: (document) => bytes(serializeRing(document)),
      read: (written) => parseRing(text(written)),
      examples: { "at rest": ring, changing: changing },
    }),
    of({ name: "identity", write: encodeIdentity, read: parseIdentity, examples: { identity } }),
    of<Vote | undefined>({
      name: "vote",
      write: (vote) => bytes(vote === undefined ? "" : serializeVote(vote)),
      read: (written) => parseVote(text(written)),
      examples: {
        blank: { epoch: 7, promised: undefined, accepted: undefined },
        accepted: {
          epoch: 7,
          promised: { round: 3, proposer: "n2" },
          accepted: { ballot: { round: 3, proposer: "n2" }, document: serializeRing(ring) },
        },
      },
    }),
    of({
      name: "merkle-tree",
      write: (written: unknown) => MerkleTree.decode(written as Uint8Array)?.encode() ?? bytes("unreadable"),
      read: (written) => MerkleTree.decode(written)?.encode(),
      examples: { "two keys": tree.encode() },
    }),
    of({
      name: "storage-key",
      write: writeKey,
      read: readKey,
      examples: {
        meta: { space: "meta", target: "identity" },
        data: { space: "data", partition: 511, key: KEY },
        quarantine: { space: "quarantine", partition: 511, key: KEY },
        checkpoint: { space: "checkpoint", partition: 65_535 },
        hint: { space: "hint", partition: 258, target: "n1", key: KEY },
        "hint quarantine": { space: "hint quarantine", partition: 258, target: "n1", key: KEY },
        horizon: { space: "horizon", partition: 258 },
        doubt: { space: "doubt", partition: 511, key: KEY },
      },
    }),
  ];
}

/** All of them, each under the name of its file of examples. */
export const FORMATS: readonly Format[] = formats();
