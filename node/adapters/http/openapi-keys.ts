/** What the OpenAPI document of the admin port says of single keys: their versions, and their values for the console. */
import { guardedBy, type JsonObject, jsonAnswer, problemAnswer, ref } from "./openapi-parts.ts";

const ALWAYS = ["KV-Node"];

export const VERSIONS_PATH: JsonObject = {
  get: guardedBy(
    "read",
    {
      operationId: "readVersions",
      summary: "What each home replica of a key holds of it, asked of each by itself; no values",
      parameters: [ref("parameters", "Key")],
      responses: {
        "200": jsonAnswer("In the order of the preference list.", ref("schemas", "KeyVersions"), ALWAYS),
        "400": problemAnswer("A bad key.", ALWAYS),
        "503": problemAnswer("This node has no ring yet.", [...ALWAYS, "Retry-After", "KV-Outcome"]),
      },
    },
    ALWAYS,
  ),
};

const HELD_SIBLING: JsonObject = {
  type: "object",
  required: ["dot", "deleted", "contentType", "sizeBytes", "writtenAt"],
  properties: {
    dot: { type: "string", description: "actor.incarnation:counter, the write's name." },
    deleted: { type: "boolean" },
    contentType: { type: "string" },
    sizeBytes: { type: "integer", minimum: 0 },
    writtenAt: { type: "string", format: "date-time" },
    expiresAt: { type: "string", format: "date-time", description: "Absent where it never does." },
  },
};

export const KEY_VERSIONS_SCHEMA: JsonObject = {
  type: "object",
  required: ["epoch", "partition", "homes"],
  properties: {
    epoch: { type: "integer", minimum: 1 },
    partition: { type: "integer", minimum: 0 },
    homes: {
      type: "array",
      items: {
        type: "object",
        required: ["name", "zone", "state"],
        properties: {
          name: { type: "string" },
          zone: { type: "string" },
          state: {
            type: "string",
            enum: ["present", "absent", "unknown"],
            description: "`unknown`: it did not answer, or refused; `error` says why.",
          },
          version: { type: "string", description: "Checksum of its record: equal where homes hold the same." },
          contextEntries: { type: "integer", minimum: 0, description: "Entries of its version vector." },
          siblings: { type: "array", items: HELD_SIBLING },
          error: {
            type: "object",
            required: ["code", "detail"],
            properties: { code: { type: "string" }, detail: { type: "string" } },
          },
        },
      },
    },
  },
};
