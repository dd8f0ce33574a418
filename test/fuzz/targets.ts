/**
 * The parsers that take bytes from outside, each with inputs to start from and with what it may throw.
 *
 * Whatever else is thrown is a crash. Where a format has one writing only, what was read must be written back as the
 * same bytes. Formats with a checksum are tried with and without a right one: without, nothing behind it would be
 * reached.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ChangeBody, changeOf } from "../../node/adapters/http/changes.ts";
import { parseKvRequest } from "../../node/adapters/http/parse-request.ts";
import { parseTokens } from "../../node/adapters/http/token-file.ts";
import { FRAME_HEAD_BYTES, FrameReader } from "../../node/adapters/tcp/frame.ts";
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
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { brokenRules } from "../../operator/api/rules.ts";

/** One parser. */
export type Target = {
  readonly name: string;
  /** Valid inputs, from which others are bred. */
  readonly seeds: readonly Uint8Array[];
  /** Parses. What it throws is a refusal if `mayThrow` says so, else a crash. */
  readonly run: (input: Uint8Array) => void;
  readonly mayThrow: (error: unknown) => boolean;
};

const GOLDEN = join(import.meta.dirname.replace("/dist/test/", "/test/"), "../golden/files");
const KEY = Buffer.from("cart:42");
const RECORD_HEAD_BYTES = 5;

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

/** A request of lines: method and target, then a header a line. Node's parser lets only such characters through. */
function readRequest(input: Uint8Array): void {
  const [first = "", ...lines] = Buffer.from(input).toString("latin1").split("\n");
  const space = first.indexOf(" ");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const url = `/v1/kv/${first.slice(space + 1).replace(/[^\x21-\x7e]/g, "")}`;
  const rawHeaders = Object.entries(headers).flat();
  const request = { method: first.slice(0, space), url, headers, rawHeaders, headersDistinct: {} };
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
const SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const REQUESTS = [
  "GET a%2Fb?r=2&mode=strict&zones=2&timeout=100",
  "PUT key?consistency=all&ttl=60&blind=sibling\nContent-Type: text/plain; charset=utf-8\nIdempotency-Key: try-1\nIf-None-Match: *",
  "DELETE %ff%00\nKV-Context: AQAAAAAAAAAA\nIdempotency-Key: x",
  "HEAD key\nAccept: application/json;q=0.5, */*",
];
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
  {
    name: "tokens",
    seeds: golden("context-token"),
    run: (input) => void decodeToken(Buffer.from(input).toString("latin1"), KEY),
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
    run: (input) => void decodeHint(input),
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
  { name: "requests", seeds: texts(...REQUESTS), run: readRequest, mayThrow: isKvError },
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
  { name: "kvclusters", seeds: texts(JSON.stringify(CLUSTER)), run: readCluster, mayThrow: isKvErrorOrNoJson },
];
