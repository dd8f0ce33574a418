/** Backup and restore in the OpenAPI document of the admin port. */
import { guardedBy, headersOf, type JsonObject, jsonAnswer, problemAnswer, ref } from "./openapi-parts.ts";

const ALWAYS = ["KV-Node"];
const BASE64 = { type: "string", pattern: "^[A-Za-z0-9_-]*$" };
const COUNT = { type: "integer", minimum: 0 };

export const BACKUP_SCHEMAS: JsonObject = {
  BackupEntry: {
    type: "object",
    description: "A key and its record as replicas keep it (docs/formats.md), base64url without padding.",
    required: ["key", "record"],
    properties: { key: BASE64, record: BASE64 },
  },
  LeafSums: {
    type: "object",
    required: ["epoch", "partition", "bits", "sums", "unlike"],
    properties: {
      epoch: COUNT,
      partition: COUNT,
      bits: { type: "integer", minimum: 4, maximum: 16, description: "There are 2^bits leaves." },
      sums: {
        ...BASE64,
        description: "Of each leaf 8 bytes: the sum, lane by lane, of the first 8 bytes of its records' fingerprints.",
      },
      unlike: { type: "array", items: COUNT, description: "Leaves that the homes do not agree on now." },
    },
  },
  HeldLeaves: {
    type: "object",
    required: ["partition", "bits", "leaves"],
    properties: {
      partition: COUNT,
      bits: { type: "integer", minimum: 4, maximum: 16, description: "As /v1/backup/tree said, or fewer." },
      leaves: {
        type: "array",
        maxItems: 16,
        items: {
          type: "object",
          required: ["leaf", "briefs"],
          properties: {
            leaf: COUNT,
            briefs: {
              ...BASE64,
              description: "The first 8 bytes of the fingerprint of each record that the backup holds there.",
            },
          },
        },
      },
    },
  },
  DifferenceEnd: {
    type: "object",
    description: "The last line. A difference without it was cut off.",
    required: ["epoch", "partition", "gone", "complete"],
    properties: {
      epoch: COUNT,
      partition: COUNT,
      gone: { ...BASE64, description: "Of what the backup holds, the briefs that no home holds any more." },
      complete: { type: "boolean", enum: [true] },
    },
  },
  RestoreBatch: {
    type: "object",
    required: ["entries"],
    properties: { entries: { type: "array", maxItems: 256, items: ref("schemas", "BackupEntry") } },
  },
  RestoreOutcome: {
    type: "object",
    required: ["merged", "outdated", "unjudged"],
    properties: {
      merged: { ...COUNT, description: "Records that W homes hold now." },
      outdated: { ...COUNT, description: "Records left out: deleted or replaced since the backup." },
      unjudged: {
        type: "array",
        items: COUNT,
        description: "Places in the batch of records that this node cannot judge: ask the next one.",
      },
    },
  },
};

const READ_PROBLEMS: JsonObject = {
  "400": problemAnswer("A bad question, or a partition that the ring does not have.", ALWAYS),
  "500": problemAnswer("This node's store failed.", [...ALWAYS, "KV-Outcome"]),
  "503": problemAnswer("No ring yet, or too few homes whose tree is whole now: ask again, or another node.", [
    ...ALWAYS,
    "Retry-After",
    "KV-Outcome",
  ]),
  "504": problemAnswer("Timed out.", [...ALWAYS, "KV-Outcome"]),
};

export const BACKUP_PATHS: JsonObject = {
  "/v1/backup/tree": {
    get: guardedBy(
      "read-all",
      {
        operationId: "readBackupTree",
        summary: "Sums of the leaves of a partition's Merkle tree, at max(R, N − W + 1) homes",
        parameters: [
          { name: "partition", in: "query", required: true, schema: { type: "integer", minimum: 0, maximum: 65_535 } },
        ],
        responses: { "200": jsonAnswer("The sums.", ref("schemas", "LeafSums"), ALWAYS), ...READ_PROBLEMS },
      },
      ALWAYS,
    ),
  },
  "/v1/backup/difference": {
    post: guardedBy(
      "read-all",
      {
        operationId: "readBackupDifference",
        summary: "Of some leaves, the records that a backup lacks, and what it is to drop",
        requestBody: { required: true, content: { "application/json": { schema: ref("schemas", "HeldLeaves") } } },
        responses: {
          "200": {
            description: "JSON Lines, in no order: BackupEntry lines, then one DifferenceEnd.",
            ...headersOf(ALWAYS),
            content: {
              "application/jsonl": {
                schema: { anyOf: [ref("schemas", "BackupEntry"), ref("schemas", "DifferenceEnd")] },
              },
            },
          },
          ...READ_PROBLEMS,
          "413": problemAnswer("Too many bytes.", ALWAYS),
        },
      },
      ALWAYS,
    ),
  },
};

export const RESTORE_PATH: JsonObject = {
  post: guardedBy(
    "restore",
    {
      operationId: "restoreRecords",
      summary: "Merges records of a backup: never over what is there, never back what was deleted since",
      requestBody: { required: true, content: { "application/json": { schema: ref("schemas", "RestoreBatch") } } },
      responses: {
        "200": jsonAnswer("What became of them.", ref("schemas", "RestoreOutcome"), ALWAYS),
        "400": problemAnswer("No batch of records; the detail names what is wrong.", ALWAYS),
        "413": problemAnswer("Too many bytes.", ALWAYS),
        "500": problemAnswer("This node's store failed.", [...ALWAYS, "KV-Outcome"]),
        "503": problemAnswer("No ring yet, or fewer than W homes hold a record.", [
          ...ALWAYS,
          "Retry-After",
          "KV-Outcome",
        ]),
        "504": problemAnswer("Timed out.", [...ALWAYS, "KV-Outcome"]),
      },
    },
    ALWAYS,
  ),
};
