/** Building blocks of the two OpenAPI 3.1 documents: parameters, headers, schemas and answers that recur. */
import type { Need } from "../../core/access.ts";
import { KEY_BYTES_MAX } from "./parse-key.ts";
import { PROBLEMS, WIRE_PROBLEMS } from "./problem.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
export type JsonObject = { readonly [name: string]: Json };

export const INFO_VERSION = "1.0.0";
export const LICENSE = { name: "Apache-2.0", identifier: "Apache-2.0" };

/** Refers to a component. */
export function ref(kind: "schemas" | "headers" | "parameters", name: string): JsonObject {
  return { $ref: `#/components/${kind}/${name}` };
}

/** Headers of the data port's answers. */
export const DATA_HEADERS: JsonObject = {
  "KV-Node": { description: "Name of the member that answers.", schema: { type: "string" } },
  "KV-Epoch": {
    description: "Epoch of the ring by which the member goes: a client whose ring is older may ask for a newer one.",
    schema: { type: "integer", minimum: 0 },
  },
  "KV-Receipt": {
    description:
      "What the answer stands on: replicas that acknowledged and counted, replicas asked, distinct zones among those " +
      "that counted, hints among them, and whether each holds the write with its operating system or on its disk.",
    schema: {
      type: "string",
      pattern: "^acks=\\d+; asked=\\d+; zones=\\d+; hinted=\\d+; durability=(os|disk)$",
      examples: ["acks=2; asked=3; zones=2; hinted=0; durability=os"],
    },
  },
  "KV-Context": {
    description: "Opaque token of the causal past (base64url), to be sent with the next write of the same key.",
    schema: { type: "string" },
  },
  "KV-Outcome": {
    description: "unknown: a replica may hold the write, and it can surface later. none: nothing was written.",
    schema: { type: "string", enum: ["none", "unknown"] },
  },
  "WWW-Authenticate": { description: "Asks for a bearer token (RFC 6750).", schema: { type: "string" } },
  "Retry-After": {
    description: "Whole seconds after which a repetition may succeed.",
    schema: { type: "integer", minimum: 1 },
  },
};

export const PROBLEM_SCHEMA: JsonObject = {
  type: "object",
  description: "RFC 9457 problem document.",
  required: ["type", "title", "status", "detail"],
  properties: {
    type: {
      type: "string",
      enum: [...Object.keys(PROBLEMS), ...Object.keys(WIRE_PROBLEMS), "BUG"].map((code) => `annulus:${code}`),
    },
    title: { type: "string" },
    status: { type: "integer", minimum: 400, maximum: 599 },
    detail: { type: "string", description: "What could not be done, what was expected, what was found." },
    required: { type: "integer", description: "Acknowledgements that the request asked for." },
    acknowledged: { type: "integer", description: "Acknowledgements that had come." },
  },
};

export const SIBLING_SCHEMA: JsonObject = {
  type: "object",
  required: ["contentType", "writtenAt", "deleted"],
  properties: {
    contentType: { type: "string" },
    value: { type: "string", contentEncoding: "base64", description: "Absent where `deleted` is true." },
    writtenAt: {
      type: "string",
      format: "date-time",
      description: "By the clock of the replica that took the write; for people, never for ordering.",
    },
    deleted: { type: "boolean" },
  },
};

/** Path parameter `key`, on both ports. */
export const KEY_PARAMETER: JsonObject = {
  name: "key",
  in: "path",
  required: true,
  description: `Any bytes, 1 to ${KEY_BYTES_MAX}, percent-encoded as one path segment: a slash in a key is %2F.`,
  schema: { type: "string", minLength: 1, maxLength: 3 * KEY_BYTES_MAX },
};

/** One error answer with its problem document. */
export function problemAnswer(description: string, headers: readonly string[]): JsonObject {
  return {
    description,
    ...headersOf(headers),
    content: { "application/problem+json": { schema: ref("schemas", "Problem") } },
  };
}

/** Said of both documents. */
export const SECURITY_SCHEMES: JsonObject = {
  token: {
    type: "http",
    scheme: "bearer",
    description:
      "Asked for where the node has a file of tokens (ANNULUS_ACCESS_FILE), unless callers without one have the right: " +
      "`read` and `read-write` on the key, `read-all` on every key, `read-some` on any, " +
      "`restore` for `admin` with `read-write` on every key, `monitor` and `admin` on the cluster.",
  },
};

/** What an operation says of the right that it takes: the rule, and the two answers to who lacks it. */
export function guardedBy(
  need: "read" | "read-write" | Exclude<Need, "open">,
  operation: JsonObject,
  headers: readonly string[],
): JsonObject {
  const refusals = {
    "401": problemAnswer("No token, or one that is not known.", [...headers, "WWW-Authenticate"]),
    "403": problemAnswer("The token does not give this right.", [...headers, "WWW-Authenticate"]),
  };
  const responses = { ...(operation.responses as JsonObject), ...refusals };
  return { ...operation, security: [{ token: [need] }], responses };
}

/** An operation that asks nobody who they are. */
export function openToAll(operation: JsonObject): JsonObject {
  return { ...operation, security: [] };
}

/** An answer with JSON of a named schema. */
export function jsonAnswer(description: string, schema: JsonObject, headers: readonly string[]): JsonObject {
  return { description, ...headersOf(headers), content: { "application/json": { schema } } };
}

/** Refers to headers by name. */
export function headersOf(names: readonly string[]): { readonly headers: JsonObject } {
  return { headers: Object.fromEntries(names.map((name) => [name, ref("headers", name)])) };
}

/** The description of the document itself, on both ports. */
export function documentPath(headers: readonly string[]): JsonObject {
  const answer = jsonAnswer("OpenAPI 3.1.", { type: "object" }, headers);
  const operation = { operationId: "readDocument", summary: "This document", responses: { "200": answer } };
  return { get: openToAll(operation) };
}
