/** Backup and restore in the OpenAPI document of the admin port. */
import { guardedBy, type JsonObject, jsonAnswer, problemAnswer, ref } from "./openapi-parts.ts";

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
