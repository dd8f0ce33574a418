/**
 * The parsers that take bytes from outside, each with inputs to start from and with what it may throw.
 *
 * Whatever else is thrown is a crash. Where a format has one writing only, what was read must be written back as the
 * same bytes. Formats with a checksum are tried with a right one, put over whatever was bred: without, nothing behind it would be
 * reached. How far inputs come is a test (fuzz.test.ts).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { z } from "zod";
import { DifferenceBody, RestoreBody } from "../../node/adapters/http/backup.ts";
import { ChangeBody, changeOf } from "../../node/adapters/http/changes.ts";
import { parseKvRequest } from "../../node/adapters/http/parse-request.ts";
import { parseTokens } from "../../node/adapters/http/token-file.ts";
import { FRAME_HEAD_BYTES, FrameReader } from "../../node/adapters/tcp/frame.ts";
import { decodeHello, decodeRefusal, isRefusal, judgeHello } from "../../node/adapters/tcp/handshake.ts";
import { parseIndex } from "../../node/cli/backup/layer.ts";
import { parseBegun, parseManifest, parsePart } from "../../node/cli/backup/manifest.ts";
import { CommandError } from "../../node/cli/exit.ts";
import { ConfigError, loadConfig } from "../../node/config.ts";
import { KvError } from "../../node/core/errors.ts";
import { decodeHint } from "../../node/core/hint.ts";
import { parseFirstMembers } from "../../node/core/ring/first-members.ts";
import { parseRing } from "../../node/core/ring/parse-document.ts";
import { checksumOf } from "../../node/core/version/checksum.ts";
import { decodeContext, decodeToken, encodeContext } from "../../node/core/version/context-codec.ts";
import { decodeHorizon, encodeHorizon, HorizonMalformedError } from "../../node/core/version/horizon-codec.ts";
import { decodeRecord, encodeRecord } from "../../node/core/version/record-codec.ts";
import { decodeReply, decodeRequest } from "../../node/messages-codec.ts";
import { BACKUP_RULES } from "../../operator/api/backup-rules.ts";
import { parseBackup } from "../../operator/api/kvbackup.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { broken } from "../../operator/api/rule.ts";
import { brokenRules } from "../../operator/api/rules.ts";

/** One parser. */
export type Target = {
  readonly name: string;
  /** Valid inputs, from which others are bred. */
  readonly seeds: readonly Uint8Array[];
  /** Inputs that are refused, to breed from as well. */
  readonly refused?: readonly Uint8Array[];
  /** Parses. What it throws is a refusal if `mayThrow` says so, else a crash. */
  readonly run: (input: Uint8Array) => void;
  readonly mayThrow: (error: unknown) => boolean;
};

const GOLDEN = join(import.meta.dirname.replace("/dist/test/", "/test/"), "../golden/files");
const KEY = Buffer.from("cart:42");
const RECORD_HEAD_BYTES = 5;
const HINT_HEAD_BYTES = 12;
const HINT_CHECKSUM_AT = 8;
const HINT_CHECKSUM_SEED = 0x68696e74;
const TOKEN_HEAD_BYTES = 5;
const SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

function golden(...names: readonly string[]): Uint8Array[] {
  return names.flatMap((name) =>
    (JSON.parse(readFileSync(join(GOLDEN, `${name}.json`), "utf8")) as { bytes: string }[]).map(({ bytes }) =>
      Buffer.from(bytes, "hex"),
    ),
  );
}

const texts = (...lines: readonly string[]): Uint8Array[] => lines.map((line) => Buffer.from(line));
const textOf = (input: Uint8Array): string => Buffer.from(input).toString();
const isKvError = (error: unknown): boolean => error instanceof KvError;
/** What `JSON.parse` throws is the caller's affair: the parser behind it is the target. */
const isKvErrorOrNoJson = (error: unknown): boolean => error instanceof KvError || error instanceof SyntaxError;

/** Reads a stream of frames, cut in two, and every message in it. */
function readFrames(input: Uint8Array): void {
  const reader = new FrameReader(65_536);
  const middle = input.length >> 1;
  for (const part of [input.slice(0, middle), input.slice(middle)]) {
    reader.push(part);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      for (const decode of [decodeRequest, decodeReply]) {
        try {
          decode(frame.message);
        } catch (error) {
          if (!isKvError(error)) throw error;
        }
      }
    }
  }
}

/** The bytes as one frame with a right length and checksum. */
function framed(input: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(Math.max(FRAME_HEAD_BYTES, input.length));
  frame.set(input);
  frame.writeUInt32BE(frame.length - 8, 0);
  frame.writeUInt32BE(crc32(frame.subarray(8)), 4);
  return frame;
}

/** What a stranger says first, and what it may answer, as one frame with a right length and checksum. */
function readHello(input: Uint8Array): void {
  const reader = new FrameReader(4_096);
  reader.push(framed(input));
  const message = reader.next()?.message ?? [];
  decodeRefusal(message);
  const hello = decodeHello(message);
  const refusal = isRefusal(hello) ? hello : judgeHello(hello, SELF, undefined);
  if (refusal !== undefined) throw new KvError("INVALID_REQUEST", refusal.detail);
}

const SELF = { clusterId: "sessions", name: "n2", instance: "00".repeat(8) };

function readRecord(input: Uint8Array): void {
  const record = decodeRecord(input);
  assert.ok(Buffer.from(encodeRecord(record)).equals(input), "a record that was read is written otherwise");
}

/** The bytes as a record with a right checksum. */
function checked(input: Uint8Array): Uint8Array {
  const record = Buffer.alloc(Math.max(RECORD_HEAD_BYTES, input.length));
  record.set(input);
  record.writeUInt32LE(checksumOf(Uint8Array.from(record.subarray(RECORD_HEAD_BYTES)), 0), 1);
  return Uint8Array.from(record);
}

/** The bytes as a hint whose head, and whose record, have a right checksum. */
function checkedHint(input: Uint8Array): Uint8Array {
  const hint = Buffer.alloc(Math.max(HINT_HEAD_BYTES + RECORD_HEAD_BYTES, input.length));
  hint.set(input);
  hint.writeUInt32BE(checksumOf(hint.subarray(0, HINT_CHECKSUM_AT), HINT_CHECKSUM_SEED), HINT_CHECKSUM_AT);
  hint.set(checked(hint.subarray(HINT_HEAD_BYTES)), HINT_HEAD_BYTES);
  return Uint8Array.from(hint);
}

/** The bytes as a token for the key with a right checksum. */
function checkedToken(input: Uint8Array): string {
  const token = Buffer.alloc(Math.max(TOKEN_HEAD_BYTES, input.length));
  token.set(input);
  const checksum = checksumOf(token.subarray(TOKEN_HEAD_BYTES), checksumOf(KEY, token.readUInt8(0)));
  token.writeUInt32LE(checksum, TOKEN_HEAD_BYTES - 4);
  return token.toString("base64url");
}

/** A body as the admin port reads it. */
function readAs(shape: z.ZodType): (input: Uint8Array) => void {
  return (input) => {
    const parsed = shape.safeParse(JSON.parse(textOf(input)));
    if (!parsed.success) throw new KvError("INVALID_REQUEST", saidOf(parsed.error));
  };
}

function saidOf(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
}

/** Whatever lies in a place of backups: manifests, what an unfinished one says of itself, and the last lines of layers. */
function readBackupFile(input: Uint8Array): void {
  const text = textOf(input);
  if (parseIndex(text) !== undefined) return;
  const said: string[] = [];
  for (const parse of [parseManifest, parseBegun, parsePart]) {
    try {
      return void parse(text, "a file");
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      said.push(error.message);
    }
  }
  throw new CommandError(said.join("; "), 1);
}

function readBackup(input: Uint8Array): void {
  const parsed = parseBackup(JSON.parse(textOf(input)));
  if (parsed.ok) broken(BACKUP_RULES, { name: parsed.backup.metadata.name, spec: parsed.backup.spec });
}

/** A request of lines: method and target, then a header a line. Node's parser lets only such characters through. */
function readRequest(input: Uint8Array): void {
  const [first = "", ...lines] = Buffer.from(input).toString("latin1").split("\n");
  const space = first.indexOf(" ");
  const sent = lines.flatMap((line) => {
    const colon = line.indexOf(":");
    return colon > 0 ? [{ name: line.slice(0, colon).toLowerCase(), value: line.slice(colon + 1).trim() }] : [];
  });
  const headersDistinct = Object.fromEntries(
    [...Map.groupBy(sent, ({ name }) => name)].map(([name, each]) => [name, each.map(({ value }) => value)]),
  );
  const headers = Object.fromEntries(
    Object.entries(headersDistinct).map(([name, values]) => [name, values.join(", ")]),
  );
  const url = `/v1/kv/${first.slice(space + 1).replace(/[^\x21-\x7e]/g, "")}`;
  const rawHeaders = Object.entries(headers).flat();
  const request = { method: first.slice(0, space), url, headers, rawHeaders, headersDistinct };
  parseKvRequest(request as unknown as IncomingMessage, () => ({ epoch: 1, replicationFactor: 3, zoneCount: 3 }));
}

function readCluster(input: Uint8Array): void {
  const parsed = parseCluster(JSON.parse(textOf(input)), { adminTls: true });
  if (parsed.ok) brokenRules({ name: parsed.cluster.metadata.name, spec: parsed.cluster.spec });
}

const CLUSTER = {
  apiVersion: "annulus.dev/v1alpha1",
  kind: "KVCluster",
  metadata: { name: "sessions", namespace: "prod", uid: "1" },
  spec: {
    replicas: 3,
    quorum: { n: 3, r: 2, w: 2, mode: "sloppy" },
    weights: { default: 100, byZone: { a: 50 }, byNode: { "sessions-0": 0 } },
    storage: { size: "10Gi", durability: "os" },
    resources: { requests: { cpu: 1, memory: "1Gi" } },
    autoscaling: { minReplicas: 3, maxReplicas: 9, behavior: {} },
    config: { ANNULUS_PAIR_BYTES_MAX: "20480" },
  },
};
const REQUESTS = [
  "GET a%2Fb?r=2&mode=strict&zones=2&timeout=100",
  "PUT key?consistency=all&ttl=60&blind=sibling\nContent-Type: text/plain; charset=utf-8\nIdempotency-Key: try-1\nIf-None-Match: *",
  "DELETE %ff%00\nKV-Context: AQAAAAAAAAAA\nIdempotency-Key: x",
  "HEAD key\nAccept: application/json;q=0.5, */*",
];
/** Refused; others are bred from them all the same. */
const REFUSED_REQUESTS = [
  "PUT key?blind=overwrite\nKV-Context: AQAAAAAAAAAA",
  "DELETE key\nKV-Context: AQ\nKV-Context: AQ",
  "PUT key\nContent-Range: bytes 0-1/2",
  'PUT key\nIf-Match: "1"',
];
const LAYER = { name: "layers/00000-a-b.jsonl", bytes: 9, indexBytes: 3, records: 1, sha256: SHA256 };
const PART = { partition: 0, keys: 1, layers: [LAYER] };
const BACKUP_HEAD = {
  formatVersion: 2,
  clusterId: "c",
  partitions: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  parts: [PART],
};
const MANIFEST = {
  ...{ ...BACKUP_HEAD, completedAt: "2026-01-01T00:00:01.000Z", newBytes: 9 },
  ...{ ringEpoch: 1, replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
};
const BACKUP = {
  ...{ apiVersion: "annulus.dev/v1alpha1", kind: "KVBackup" },
  metadata: { name: "nightly", namespace: "prod", uid: "1" },
  spec: {
    ...{ cluster: "sessions", schedule: "15 3 * * *", timeZone: "Europe/Berlin", retention: { last: 3, daily: 7 } },
    destination: { s3: { bucket: "backups", prefix: "prod/a", credentialsSecret: { name: "store" } } },
  },
};
const CHANGE = {
  join: [{ name: "n4", address: "127.0.0.1:7432", zone: "a", weight: 100 }],
  leave: ["n1"],
  weights: { n2: 200 },
  quorum: { r: 2, mode: "strict" },
};

/** Every parser; a name is also that of its file in the corpus. */
export const TARGETS: readonly Target[] = [
  { name: "frames", seeds: golden("request", "reply", "hello"), run: readFrames, mayThrow: isKvError },
  {
    name: "messages",
    seeds: golden("request", "reply", "hello"),
    run: (input) => readFrames(framed(input)),
    mayThrow: isKvError,
  },
  { name: "hellos", seeds: golden("hello"), run: readHello, mayThrow: isKvError },
  {
    name: "token-texts",
    seeds: golden("context-token"),
    run: (input) => void decodeToken(Buffer.from(input).toString("latin1"), KEY),
    mayThrow: isKvError,
  },
  {
    name: "tokens",
    seeds: golden("context-token").map((token) => Buffer.from(textOf(token), "base64url")),
    run: (input) => void decodeToken(checkedToken(input), KEY),
    mayThrow: isKvError,
  },
  {
    name: "contexts",
    seeds: golden("context-token").map((token) => encodeContext(decodeToken(textOf(token), KEY))),
    run: (input) => {
      const context = decodeContext(input);
      assert.ok(Buffer.from(encodeContext(context)).equals(input), "a context that was read is written otherwise");
    },
    mayThrow: isKvError,
  },
  { name: "records", seeds: golden("record"), run: (input) => readRecord(checked(input)), mayThrow: isKvError },
  {
    name: "hints",
    seeds: golden("hint"),
    run: (input) => void decodeHint(checkedHint(input)),
    mayThrow: isKvError,
  },
  {
    name: "horizons",
    seeds: golden("horizon"),
    run: (input) => {
      const horizon = decodeHorizon(input);
      assert.ok(Buffer.from(encodeHorizon(horizon)).equals(input), "a horizon that was read is written otherwise");
    },
    mayThrow: (error) => error instanceof HorizonMalformedError,
  },
  { name: "rings", seeds: golden("ring"), run: (input) => void parseRing(textOf(input)), mayThrow: isKvError },
  {
    name: "first-members",
    seeds: texts("n1=127.0.0.1:7402@a*100,n2=[::1]:7402@b,n3=host:1"),
    run: (input) => void parseFirstMembers(textOf(input)),
    mayThrow: isKvError,
  },
  {
    name: "requests",
    seeds: texts(...REQUESTS),
    refused: texts(...REFUSED_REQUESTS),
    run: readRequest,
    mayThrow: isKvError,
  },
  {
    name: "restores",
    seeds: texts('{"entries":[{"key":"Y2FydA","record":"AQID"},{"key":"YQ","record":""}]}'),
    refused: texts('{"entries":[{"key":"","record":""}]}'),
    run: readAs(RestoreBody),
    mayThrow: isKvErrorOrNoJson,
  },
  {
    name: "differences",
    seeds: texts('{"partition":7,"bits":4,"leaves":[{"leaf":15,"briefs":"AAAAAAAAAAE"},{"leaf":0,"briefs":""}]}'),
    refused: texts('{"partition":7,"bits":4,"leaves":[{"leaf":16,"briefs":""}]}'),
    run: readAs(DifferenceBody),
    mayThrow: isKvErrorOrNoJson,
  },
  {
    name: "changes",
    seeds: texts(JSON.stringify(CHANGE)),
    run: (input) => {
      const parsed = ChangeBody.safeParse(JSON.parse(textOf(input)));
      if (parsed.success) changeOf(parsed.data);
    },
    mayThrow: isKvErrorOrNoJson,
  },
  {
    name: "token-files",
    seeds: texts(
      JSON.stringify({ tokens: [{ name: "a", sha256: SHA256, data: "read", prefixes: ["a%2F"], cluster: "admin" }] }),
    ),
    run: (input) => void parseTokens(textOf(input)),
    mayThrow: isKvError,
  },
  {
    name: "settings",
    seeds: texts(
      "ANNULUS_CLUSTER=c\nANNULUS_NODE=n1\nANNULUS_DATA_DIR=/d\nANNULUS_MEMBERS=n1=a:1@z*5\nANNULUS_N=1\nANNULUS_R=1\nANNULUS_W=1",
      'ANNULUS_CLUSTER="c"\nANNULUS_NODE=n2\nANNULUS_DATA_DIR=d\nANNULUS_SEEDS=a:1,[::1]:2\nANNULUS_ADVERTISE=h:7402',
    ),
    run: (input) => void loadConfig({ ANNULUS_CONFIG: "file" }, () => textOf(input)),
    mayThrow: (error) => error instanceof ConfigError,
  },
  {
    name: "backup-files",
    seeds: texts(
      ...[MANIFEST, { ...BACKUP_HEAD, writer: "w" }, PART].map((document) => JSON.stringify(document)),
      '{"places":"AAAAAQ","briefs":"AAAAAAAAAAE","gone":""}',
    ),
    run: readBackupFile,
    mayThrow: (error) => error instanceof CommandError,
  },
  { name: "kvbackups", seeds: texts(JSON.stringify(BACKUP)), run: readBackup, mayThrow: isKvErrorOrNoJson },
  { name: "kvclusters", seeds: texts(JSON.stringify(CLUSTER)), run: readCluster, mayThrow: isKvErrorOrNoJson },
];
