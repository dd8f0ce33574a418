/** The OpenAPI 3.1 document of the data port. A test holds it against what the handler does, in both directions. */
import {
  DATA_HEADERS,
  documentPath,
  guardedBy,
  headersOf,
  INFO_VERSION,
  type Json,
  type JsonObject,
  jsonAnswer,
  KEY_PARAMETER,
  LICENSE,
  PROBLEM_SCHEMA,
  problemAnswer,
  ref,
  SECURITY_SCHEMES,
  SIBLING_SCHEMA,
} from "./openapi-parts.ts";
import {
  CONTENT_TYPE_BYTES_MAX,
  CONTENT_TYPE_DEFAULT,
  IDEMPOTENCY_KEY_BYTES_MAX,
  KV_PARAMETERS,
  type KvMethod,
  TIMEOUT_MS_MAX,
  TTL_S_MAX,
} from "./parse-request.ts";

const ALWAYS = ["KV-Node", "KV-Epoch", "KV-Receipt"];

/** Schema and meaning of every query parameter in `KV_PARAMETERS`. */
const QUERY: Readonly<Record<string, { readonly description: string; readonly schema: JsonObject }>> = {
  r: {
    description: "Replicas whose answers a read waits for, 1 to N. Default: the cluster's R. Not with `consistency`.",
    schema: { type: "integer", minimum: 1 },
  },
  w: {
    description: "Acknowledgements a write waits for, 1 to N. Default: the cluster's W. Not with `consistency`.",
    schema: { type: "integer", minimum: 1 },
  },
  consistency: {
    description: "In words: one is 1, quorum is floor(N / 2) + 1, all is N, for R and for W.",
    schema: { type: "string", enum: ["one", "quorum", "all"] },
  },
  mode: {
    description: "strict: only the key's N home replicas count. sloppy: stand-ins that hold a hint count too.",
    schema: { type: "string", enum: ["strict", "sloppy"] },
  },
  zones: {
    description: "The replicas that count must be in at least so many zones; at most as many as the ring has.",
    schema: { type: "integer", minimum: 1 },
  },
  timeout: {
    description: "Milliseconds after which the answer is 504. Default: the cluster's, 1000 unless configured.",
    schema: { type: "integer", minimum: 1, maximum: TIMEOUT_MS_MAX },
  },
  ttl: {
    description: "Seconds after which the value counts as deleted.",
    schema: { type: "integer", minimum: 1, maximum: TTL_S_MAX },
  },
  blind: {
    description:
      "For a write without KV-Context. overwrite: replaces what the stamping replica holds. " +
      "sibling: concurrent with whatever is there. Not together with KV-Context.",
    schema: { type: "string", enum: ["overwrite", "sibling"], default: "overwrite" },
  },
};

function header(name: string, description: string, schema: JsonObject): JsonObject {
  return { name, in: "header", required: false, description, schema };
}

const CONTEXT_HEADER = header("KV-Context", "What the client read last: the write replaces that and nothing else.", {
  type: "string",
});
const IDEMPOTENCY_HEADER = header(
  "Idempotency-Key",
  "The same key, sent again for the same pair, is the same event and never a second sibling. What differs from the first request is dropped.",
  { type: "string", minLength: 1, maxLength: IDEMPOTENCY_KEY_BYTES_MAX },
);
const ATTEMPT_HEADER = header(
  "KV-Attempt",
  "Which attempt this is under its Idempotency-Key. 1 says that nothing was sent under it before: a blind overwrite then need not look whether it is known already.",
  { type: "integer", minimum: 1 },
);
const CONDITION_HEADER = header("If-None-Match", "With `*`: 412 when a read at R finds a value.", {
  type: "string",
  const: "*",
});
const ACCEPT_HEADER = header("Accept", "Where it excludes application/json, siblings are answered with 409.", {
  type: "string",
});

/** Errors that every method can meet. */
const COMMON_ERRORS: JsonObject = {
  "400": problemAnswer("A bad key, token, parameter or header; the detail names it.", ALWAYS),
  "429": problemAnswer(
    "This node has as much in work as it can serve in time. Nothing was done; repeat it later, or elsewhere.",
    [...ALWAYS, "Retry-After"],
  ),
  "500": problemAnswer("This node's store failed.", [...ALWAYS, "KV-Outcome"]),
  "503": problemAnswer("Not enough replicas, or this node does not serve now.", [
    ...ALWAYS,
    "Retry-After",
    "KV-Outcome",
  ]),
  "504": problemAnswer("Timed out.", [...ALWAYS, "KV-Outcome"]),
};

const NOT_FOUND = problemAnswer("Never written, or deleted; then with the context of the deletion.", [
  ...ALWAYS,
  "KV-Context",
]);
const RAW_ONLY = problemAnswer("Siblings, and the client accepts only raw bytes.", [...ALWAYS, "KV-Context"]);
const SIBLING_LIMIT = problemAnswer(
  "The write would pass a limit on siblings, their number or their bytes; read and settle them first.",
  [...ALWAYS, "KV-Context"],
);
const DISK_FULL = problemAnswer("No disk space.", [...ALWAYS, "KV-Outcome"]);
const WRITTEN: JsonObject = {
  description: "Written. The context covers exactly this write and what it replaced.",
  ...headersOf([...ALWAYS, "KV-Context"]),
};
const VALUE: JsonObject = {
  description: "The value, with the Content-Type it was written with.",
  ...headersOf([...ALWAYS, "KV-Context"]),
  content: { "*/*": { schema: {} } },
};

function queryOf(method: KvMethod): Json[] {
  return Object.entries(KV_PARAMETERS)
    .filter(([, methods]) => methods.includes(method))
    .map(([name]) => ({ name, in: "query", required: false, ...QUERY[name] }));
}

/** A HEAD has the codes and headers of a GET and no body. */
function withoutBodies(operation: JsonObject): JsonObject {
  const responses = Object.fromEntries(
    Object.entries(operation.responses as JsonObject).map(([status, answer]) => {
      const { content: _content, ...rest } = answer as JsonObject;
      return [status, rest];
    }),
  );
  return { ...operation, responses };
}

/** The path of one pair, on both ports. */
export function keyPath(pairBytesMax: number): JsonObject {
  const reads: JsonObject = {
    "200": VALUE,
    "300": jsonAnswer("Concurrent values. Writing once with the context settles them.", ref("schemas", "Siblings"), [
      ...ALWAYS,
      "KV-Context",
    ]),
    "404": NOT_FOUND,
    "409": RAW_ONLY,
    ...COMMON_ERRORS,
  };
  return {
    summary: "One pair. Any other method is answered with 405.",
    parameters: [ref("parameters", "Key")],
    get: guardedBy(
      "read",
      {
        operationId: "readValue",
        summary: "Reads the value, or the siblings",
        parameters: [...queryOf("GET"), ACCEPT_HEADER],
        responses: reads,
      },
      ALWAYS,
    ),
    head: withoutBodies(
      guardedBy(
        "read",
        {
          operationId: "readHead",
          summary: "As GET, without a body",
          parameters: [...queryOf("HEAD"), ACCEPT_HEADER],
          responses: reads,
        },
        ALWAYS,
      ),
    ),
    put: guardedBy("read-write", putOperation(pairBytesMax), ALWAYS),
    delete: guardedBy(
      "read-write",
      {
        operationId: "deleteValue",
        summary: "Writes a tombstone; without KV-Context over what a read at R would see now",
        parameters: [...queryOf("DELETE"), CONTEXT_HEADER, IDEMPOTENCY_HEADER],
        responses: { "204": WRITTEN, ...COMMON_ERRORS, "409": SIBLING_LIMIT, "507": DISK_FULL },
      },
      ALWAYS,
    ),
  };
}

function putOperation(pairBytesMax: number): JsonObject {
  return {
    operationId: "writeValue",
    summary: "Writes the body as the value",
    parameters: [...queryOf("PUT"), CONTEXT_HEADER, IDEMPOTENCY_HEADER, ATTEMPT_HEADER, CONDITION_HEADER],
    requestBody: {
      required: false,
      description:
        `Opaque bytes; with the key at most ${pairBytesMax}. The Content-Type (at most ${CONTENT_TYPE_BYTES_MAX} ` +
        `printable ASCII characters, ${CONTENT_TYPE_DEFAULT} without one) is stored and given back.`,
      content: { "*/*": { schema: {} } },
    },
    responses: {
      "204": WRITTEN,
      ...COMMON_ERRORS,
      "408": problemAnswer("The body did not arrive in time.", ALWAYS),
      "409": SIBLING_LIMIT,
      "412": problemAnswer("If-None-Match: * and there is a value.", [...ALWAYS, "KV-Context"]),
      "413": problemAnswer("The pair is too large.", ALWAYS),
      "507": DISK_FULL,
    },
  };
}

const RING_PATH: JsonObject = {
  get: guardedBy(
    "read-some",
    {
      operationId: "readRing",
      summary: "Where keys live, for clients that go straight to a home replica",
      responses: {
        "200": jsonAnswer("The ring by which this node goes.", ref("schemas", "Ring"), ALWAYS),
        "503": problemAnswer("This node has no ring yet.", [...ALWAYS, "Retry-After", "KV-Outcome"]),
      },
    },
    ALWAYS,
  ),
};

const RING_SCHEMA: JsonObject = {
  type: "object",
  required: ["cluster", "epoch", "partitions", "n", "members", "preferenceLists"],
  properties: {
    cluster: { type: "string", description: "The cluster's id." },
    epoch: { type: "integer", minimum: 1 },
    partitions: {
      type: "integer",
      minimum: 1,
      description: "A power of two; the partition of a key is the top bits of its XXH64, seed 0.",
    },
    n: { type: "integer", minimum: 1, description: "Home replicas of each key." },
    members: {
      type: "array",
      items: {
        type: "object",
        required: ["name", "host", "zone"],
        properties: {
          name: { type: "string" },
          host: { type: "string", description: "Under which its peers reach it; usually clients do, too." },
          zone: { type: "string" },
        },
      },
    },
    preferenceLists: {
      type: "array",
      description: "For each partition the names of the home replicas that reads go to now, in order.",
      items: { type: "array", items: { type: "string" } },
    },
  },
};

/** Concurrent values with their context. */
export const SIBLINGS_SCHEMA: JsonObject = {
  type: "object",
  required: ["context", "siblings"],
  properties: {
    context: { type: "string", description: "As KV-Context." },
    siblings: {
      type: "array",
      description: "In an order that is the same on every node.",
      items: ref("schemas", "Sibling"),
    },
  },
};

/** Makes the document; the pair's bound is this cluster's. */
export function dataDocument({ pairBytesMax }: { readonly pairBytesMax: number }): JsonObject {
  return {
    openapi: "3.1.1",
    info: {
      title: "Annulus data API",
      version: INFO_VERSION,
      license: LICENSE,
      description:
        "A key-value store with tunable quorums. Every node serves it. Every answer has KV-Node, KV-Epoch and KV-Receipt; " +
        "errors are RFC 9457 problem documents. What is no request is answered with 400, 408, 417 or 431 and its " +
        "connection closed.",
    },
    paths: {
      "/v1/kv/{key}": keyPath(pairBytesMax),
      "/v1/ring": RING_PATH,
      "/openapi.json": documentPath(ALWAYS),
    },
    components: {
      parameters: { Key: KEY_PARAMETER },
      headers: DATA_HEADERS,
      securitySchemes: SECURITY_SCHEMES,
      schemas: {
        Problem: PROBLEM_SCHEMA,
        Ring: RING_SCHEMA,
        Sibling: SIBLING_SCHEMA,
        Siblings: SIBLINGS_SCHEMA,
      },
    },
  };
}
