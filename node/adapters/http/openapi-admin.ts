/** The OpenAPI 3.1 document of the admin port. A test holds it against the routes, in both directions. */

import type { Need } from "../../core/access.ts";
import { BACKUP_PATHS, BACKUP_SCHEMAS, RESTORE_PATH } from "./openapi-backup.ts";
import { CHANGE_PATHS, CHANGE_SCHEMAS } from "./openapi-changes.ts";
import { CONSOLE_PATHS, EVENTS_PATH } from "./openapi-console.ts";
import { keyPath, SIBLINGS_SCHEMA } from "./openapi-data.ts";
import { KEY_VERSIONS_SCHEMA, VERSIONS_PATH } from "./openapi-keys.ts";
import {
  DATA_HEADERS,
  documentPath,
  guardedBy,
  headersOf,
  INFO_VERSION,
  type JsonObject,
  jsonAnswer,
  KEY_PARAMETER,
  LICENSE,
  openToAll,
  PROBLEM_SCHEMA,
  problemAnswer,
  ref,
  SECURITY_SCHEMES,
  SIBLING_SCHEMA,
} from "./openapi-parts.ts";

const ALWAYS = ["KV-Node"];
const NO_RING = problemAnswer("This node has no ring yet.", [...ALWAYS, "Retry-After", "KV-Outcome"]);
const STATUS_SCHEMA: JsonObject = { type: "object", required: ["status"], properties: { status: { type: "string" } } };

const MEMBER_PROPERTIES: JsonObject = {
  name: { type: "string" },
  actor: { type: "string", description: "Id of the data directory; absent until it is known." },
  address: { type: "string", description: "host:port of the peer listener." },
  zone: { type: "string" },
  weight: { type: "integer", minimum: 0 },
  state: { type: "string", enum: ["joining", "active", "rebuilding", "leaving", "left"] },
};
/** What only the ring document says of a member. */
const DESTROYED: JsonObject = {
  type: "boolean",
  description: "Removed while it could not be reached: its disk counts as destroyed.",
};
const MEMBER_REQUIRED = ["name", "address", "zone", "weight", "state"];
const EPOCH: JsonObject = { type: "integer", minimum: 1, description: "Grows by one with each agreed change." };
const TOKEN: JsonObject = { type: "string", pattern: "^[0-9a-f]{16}$" };

const SCHEMAS: JsonObject = {
  Problem: PROBLEM_SCHEMA,
  Sibling: SIBLING_SCHEMA,
  Cluster: {
    type: "object",
    required: ["id", "node", "access", "ringEpoch", "members", "hints", "transition", "repair"],
    properties: {
      id: { type: "string", description: "The cluster's id." },
      node: { type: "string", description: "The member that answers." },
      access: {
        type: "string",
        enum: ["open", "tokens"],
        description: "Whether its ports know tokens (`ANNULUS_ACCESS_FILE`), or let everybody do everything.",
      },
      ringEpoch: { type: "integer", minimum: 0, description: "0 before there is a ring." },
      members: {
        type: "array",
        items: {
          type: "object",
          required: [...MEMBER_REQUIRED, "health", "phi"],
          properties: {
            ...MEMBER_PROPERTIES,
            health: { type: "string", enum: ["up", "suspect", "down"], description: "As this node sees it." },
            phi: { type: "number", minimum: 0, description: "How worrying its silence is to this node; 0 for itself." },
          },
        },
      },
      hints: {
        type: "object",
        description: "What this node keeps for members that missed it.",
        required: ["complete", "waiting"],
        properties: {
          complete: {
            type: "boolean",
            description: "Whether all on the disk are counted: soon after a start. Until then the figures are too low.",
          },
          waiting: {
            type: "array",
            description: "By the member that they wait for.",
            items: {
              type: "object",
              required: ["target", "count", "bytes"],
              properties: {
                target: { type: "string" },
                count: { type: "integer", minimum: 1 },
                bytes: { type: "integer", minimum: 1 },
              },
            },
          },
        },
      },
      transition: {
        description: "The ring change under way, if there is one.",
        anyOf: [{ type: "null" }, ref("schemas", "Transition")],
      },
      repair: ref("schemas", "Repair"),
    },
  },
  Repair: {
    type: "object",
    description: "How far this node has come in keeping its partitions equal to their other homes.",
    required: ["running", "rounds", "owned", "built", "partitions"],
    properties: {
      running: { type: "boolean", description: "Whether a round of anti-entropy is under way." },
      rounds: { type: "integer", minimum: 0, description: "Rounds that ended since the start." },
      owned: { type: "integer", minimum: 0, description: "Partitions that this node is home to." },
      built: { type: "integer", minimum: 0, description: "Those whose Merkle tree is built." },
      oldest: {
        type: "string",
        format: "date-time",
        description: "The earliest `equalAt`; absent while a partition has none.",
      },
      newest: { type: "string", format: "date-time", description: "The latest `equalAt`." },
      partitions: {
        type: "array",
        items: {
          type: "object",
          required: ["partition"],
          properties: {
            partition: { type: "integer", minimum: 0 },
            equalAt: {
              type: "string",
              format: "date-time",
              description: "Since when, at the latest, it was found equal to every other home; absent before that.",
            },
          },
        },
      },
    },
  },
  Ring: {
    type: "object",
    required: ["epoch", "partitions", "n", "r", "w", "mode", "members", "tokens", "preferenceLists"],
    properties: {
      epoch: EPOCH,
      partitions: { type: "integer", minimum: 1 },
      n: { type: "integer", minimum: 1 },
      r: { type: "integer", minimum: 1 },
      w: { type: "integer", minimum: 1 },
      mode: { type: "string", enum: ["strict", "sloppy"] },
      members: {
        type: "array",
        items: {
          type: "object",
          required: MEMBER_REQUIRED,
          properties: { ...MEMBER_PROPERTIES, isDestroyed: DESTROYED },
        },
      },
      tokens: { type: "array", items: TOKEN, description: "First hash of each partition, ascending." },
      preferenceLists: {
        type: "array",
        description: "For each partition its N home replicas, in order.",
        items: { type: "array", items: { type: "string" } },
      },
      transition: {
        type: "object",
        description: "The change under way, with the home replicas to be.",
        required: ["id", "phase", "preferenceLists"],
        properties: {
          id: { type: "string" },
          phase: { type: "string", enum: ["prepare", "switch"] },
          preferenceLists: { type: "array", items: { type: "array", items: { type: "string" } } },
        },
      },
    },
  },
  KeyPlace: {
    type: "object",
    required: ["epoch", "partition", "token", "homes"],
    properties: {
      epoch: EPOCH,
      partition: { type: "integer", minimum: 0 },
      token: { ...TOKEN, description: "The key's hash." },
      homes: {
        type: "array",
        description: "Home replicas, in order.",
        items: {
          type: "object",
          required: ["name", "zone", "address"],
          properties: { name: { type: "string" }, zone: { type: "string" }, address: { type: "string" } },
        },
      },
    },
  },
  ExportEntry: {
    type: "object",
    description: "A line of an export. `key` is percent-encoded as in /v1/kv/{key}.",
    required: ["key", "context", "siblings"],
    properties: {
      key: { type: "string" },
      context: { type: "string", description: "As KV-Context." },
      siblings: {
        type: "array",
        items: {
          allOf: [
            ref("schemas", "Sibling"),
            { type: "object", properties: { expiresAt: { type: "string", format: "date-time" } } },
          ],
        },
      },
    },
  },
  ExportEnd: {
    type: "object",
    description: "The last line. An export without it was cut off.",
    required: ["epoch", "partition", "complete"],
    properties: { epoch: EPOCH, partition: { type: "integer", minimum: 0 }, complete: { const: true } },
  },
};

function get(
  [operationId, need]: readonly [string, Need],
  summary: string,
  responses: JsonObject,
  parameters: JsonObject[] = [],
): JsonObject {
  const operation = { operationId, summary, parameters, responses };
  return { get: need === "open" ? openToAll(operation) : guardedBy(need, operation, ALWAYS) };
}

const EXPORT_QUERY: JsonObject[] = [
  { name: "partition", in: "query", required: true, schema: { type: "integer", minimum: 0, maximum: 65_535 } },
  {
    name: "after",
    in: "query",
    required: false,
    description: "Starts behind this key (percent-encoded bytes), to go on where an export was cut off.",
    schema: { type: "string" },
  },
];

/** What a stream of one partition is answered with. */
function partitionAnswers(entry: string): JsonObject {
  return {
    "200": {
      description: `JSON Lines in storage order (by XXH32 of the key, then by its bytes): ${entry} lines, then one ExportEnd.`,
      ...headersOf(ALWAYS),
      content: {
        "application/jsonl": { schema: { anyOf: [ref("schemas", entry), ref("schemas", "ExportEnd")] } },
      },
    },
    "400": problemAnswer("A bad parameter, or a partition that the ring does not have.", ALWAYS),
    "500": problemAnswer("This node's store failed.", [...ALWAYS, "KV-Outcome"]),
    "503": problemAnswer("No ring yet, or not enough replicas.", [...ALWAYS, "Retry-After", "KV-Outcome"]),
    "504": problemAnswer("Timed out.", [...ALWAYS, "KV-Outcome"]),
  };
}

const PATHS: JsonObject = {
  "/openapi.json": documentPath(ALWAYS),
  "/healthz": get(["readHealth", "open"], "Liveness: the event loop turns", {
    "200": jsonAnswer("Alive.", STATUS_SCHEMA, ALWAYS),
  }),
  "/readyz": get(["readReadiness", "open"], "Readiness: this node may coordinate requests", {
    "200": jsonAnswer("Ready.", STATUS_SCHEMA, ALWAYS),
    "503": problemAnswer("Not ready; the detail says why.", [...ALWAYS, "Retry-After", "KV-Outcome"]),
  }),
  "/metrics": get(["readMetrics", "open"], "Metrics in the Prometheus text format", {
    "200": {
      description: "Prometheus text, version 0.0.4.",
      ...headersOf(ALWAYS),
      content: { "text/plain": { schema: { type: "string" } } },
    },
  }),
  "/v1/cluster": get(["readCluster", "monitor"], "Members and their health as this node sees them", {
    "200": jsonAnswer("The cluster.", ref("schemas", "Cluster"), ALWAYS),
    "503": NO_RING,
  }),
  "/v1/events": EVENTS_PATH,
  ...CHANGE_PATHS,
  "/v1/repair": {
    post: guardedBy(
      "admin",
      {
        operationId: "repairNow",
        summary: "Begins a round of anti-entropy over all partitions of this node now",
        responses: { "202": jsonAnswer("It begins, or follows the one that runs.", STATUS_SCHEMA, ALWAYS) },
      },
      ALWAYS,
    ),
  },
  "/v1/ring": get(["readRing", "monitor"], "The ring document", {
    "200": jsonAnswer("The newest ring that this node knows.", ref("schemas", "Ring"), ALWAYS),
    "503": NO_RING,
  }),
  "/v1/ring/{key}": get(
    ["locateKey", "monitor"],
    "Where a key lives",
    {
      "200": jsonAnswer("Its partition and home replicas.", ref("schemas", "KeyPlace"), ALWAYS),
      "400": problemAnswer("A bad key.", ALWAYS),
      "503": NO_RING,
    },
    [ref("parameters", "Key")],
  ),
  "/v1/versions/{key}": VERSIONS_PATH,
  "/v1/export": get(
    ["exportPartition", "read-all"],
    "A partition's keys with values and contexts, as reads at R would show them",
    partitionAnswers("ExportEntry"),
    EXPORT_QUERY,
  ),
  "/v1/backup": get(
    ["backupPartition", "read-all"],
    "A partition's records as replicas keep them, merged over max(R, N − W + 1) homes",
    partitionAnswers("BackupEntry"),
    EXPORT_QUERY,
  ),
  ...BACKUP_PATHS,
  "/v1/restore": RESTORE_PATH,
  ...CONSOLE_PATHS,
};

const LOCATION: JsonObject = { description: "Path of the change.", schema: { type: "string" } };

/** Makes the document; the pair's bound is this cluster's. */
export function adminDocument({ pairBytesMax }: { readonly pairBytesMax: number }): JsonObject {
  return {
    openapi: "3.1.1",
    info: {
      title: "Annulus admin API",
      version: INFO_VERSION,
      license: LICENSE,
      description:
        "For operators and tools; never exposed to clients. HEAD is answered wherever GET is. Pairs are answered for as on the " +
        "data port, for the console: its page may ask its own port only.",
    },
    paths: { ...PATHS, "/v1/kv/{key}": keyPath(pairBytesMax) },
    components: {
      parameters: { Key: KEY_PARAMETER },
      headers: { ...DATA_HEADERS, Location: LOCATION },
      securitySchemes: SECURITY_SCHEMES,
      schemas: {
        ...SCHEMAS,
        ...CHANGE_SCHEMAS,
        ...BACKUP_SCHEMAS,
        KeyVersions: KEY_VERSIONS_SCHEMA,
        Siblings: SIBLINGS_SCHEMA,
      },
    },
  };
}
