/** The part of the admin port's OpenAPI document that is about changes of the ring. */
import { guardedBy, headersOf, type JsonObject, jsonAnswer, problemAnswer, ref } from "./openapi-parts.ts";

const ALWAYS = ["KV-Node"];
const RETRY = [...ALWAYS, "Retry-After", "KV-Outcome"];
const COUNT: JsonObject = { type: "integer", minimum: 0 };
const NAME: JsonObject = { type: "string", pattern: "^[a-z0-9.-]{1,63}$" };
const ID: JsonObject = { type: "string", pattern: "^[0-9a-f]{16}$" };

const MOVED: JsonObject = {
  movedBytes: { ...COUNT, description: "Bytes of records that were copied so far." },
  totalBytes: { ...COUNT, description: "Bytes that are copied in all: an estimate." },
  movedPartitions: { ...COUNT, description: "Replicas of partitions that are complete where they go." },
  totalPartitions: { ...COUNT, description: "Replicas that are copied in all." },
};
const MOVED_REQUIRED = Object.keys(MOVED);
const KIND: JsonObject = { type: "string", description: "What it does, in words: `join n4; leave n2`." };
const STARTED_AT: JsonObject = {
  type: "string",
  format: "date-time",
  description: "By the clock of the member that was asked.",
};

/** Schemas, to be merged with the others of the document. */
export const CHANGE_SCHEMAS: JsonObject = {
  Change: {
    type: "object",
    description: "What is asked of the ring, all of it in one change. What is left out stays as it is.",
    additionalProperties: false,
    properties: {
      join: {
        type: "array",
        items: {
          type: "object",
          additionalProperties: false,
          required: ["name", "address"],
          properties: {
            name: NAME,
            address: { type: "string", description: "host:port of the peer listener." },
            zone: { type: "string", default: "default" },
            weight: { type: "integer", minimum: 0, maximum: 10_000, default: 100 },
          },
        },
      },
      leave: { type: "array", items: NAME, description: "Members that hand over what they hold, and go." },
      replace: {
        type: "array",
        items: NAME,
        description:
          "Members that go whatever their state is: the disk of one that cannot be reached counts as destroyed.",
      },
      weights: {
        type: "object",
        description: "New weights by member; 0 drains it.",
        additionalProperties: { type: "integer", minimum: 0, maximum: 10_000 },
      },
      zones: {
        type: "object",
        description: "Zones that members are in from now on.",
        additionalProperties: { type: "string", minLength: 1, maxLength: 63 },
      },
      quorum: {
        type: "object",
        additionalProperties: false,
        properties: {
          r: { type: "integer", minimum: 1 },
          w: { type: "integer", minimum: 1 },
          mode: { type: "string", enum: ["strict", "sloppy"] },
        },
      },
      force: {
        type: "boolean",
        default: false,
        description:
          "Accepts that a member that leaves and cannot be reached counts as destroyed, and that the change may have to " +
          "wait for members that are away.",
      },
    },
  },
  ChangePlan: {
    type: "object",
    description: "What a change does.",
    required: ["movedPartitions", "movedBytes", "members", "notes"],
    properties: {
      id: { ...ID, description: "The change that has begun; absent in a dry run." },
      movedPartitions: { ...COUNT, description: "Replicas of partitions that are copied." },
      movedBytes: { ...COUNT, description: "Bytes that are copied: an estimate." },
      members: {
        type: "array",
        items: {
          type: "object",
          required: ["name", "zone", "weight", "replicasBefore", "replicasAfter", "replicasIdeal", "gains", "loses"],
          properties: {
            name: { type: "string" },
            zone: { type: "string" },
            weight: { ...COUNT, description: "Once the change has ended." },
            replicasBefore: COUNT,
            replicasAfter: COUNT,
            replicasIdeal: { type: "number", minimum: 0, description: "Afterwards, by weights and zones." },
            gains: COUNT,
            loses: COUNT,
          },
        },
      },
      notes: { type: "array", items: { type: "string" }, description: "What could not be had as asked." },
    },
  },
  ChangeProgress: {
    type: "object",
    required: ["id", "state", "epoch", ...MOVED_REQUIRED, "members"],
    properties: {
      id: ID,
      state: {
        type: "string",
        enum: ["prepare", "switch", "cleaning", "done", "cancelled"],
        description: "`cleaning`: the new homes hold; what was given up is being dropped.",
      },
      kind: { ...KIND, description: "What it does, in words; absent where only the outcome is remembered." },
      startedAt: STARTED_AT,
      epoch: { type: "integer", minimum: 1, description: "Epoch of the ring that this says." },
      ...MOVED,
      waitsFor: { type: "string", description: "What holds it up." },
      members: {
        type: "array",
        description: "Members that get something by it.",
        items: {
          type: "object",
          required: ["name", "epoch", "complete", ...MOVED_REQUIRED],
          properties: {
            name: { type: "string" },
            epoch: { ...COUNT, description: "Newest epoch that it has adopted." },
            complete: { type: "boolean", description: "Whether it has all that it gets." },
            ...MOVED,
          },
        },
      },
    },
  },
  Transition: {
    type: "object",
    required: ["id", "phase", "kind", "startedAt", ...MOVED_REQUIRED],
    properties: {
      id: ID,
      phase: { type: "string", enum: ["prepare", "switch"] },
      kind: KIND,
      startedAt: STARTED_AT,
      ...MOVED,
    },
  },
};

const ID_PARAMETER: JsonObject = { name: "id", in: "path", required: true, schema: { type: "string" } };
const NO_CHANGE = problemAnswer("No such change is known.", ALWAYS);

/** Paths, to be merged with the others of the document. */
export const CHANGE_PATHS: JsonObject = {
  "/v1/cluster/changes": {
    post: guardedBy(
      "admin",
      {
        operationId: "changeRing",
        summary: "Asks for one change of the ring",
        parameters: [
          {
            name: "dryRun",
            in: "query",
            required: false,
            description: "Plans and checks only; nothing begins.",
            schema: { type: "boolean", default: false },
          },
        ],
        requestBody: { required: true, content: { "application/json": { schema: ref("schemas", "Change") } } },
        responses: {
          "200": jsonAnswer("What it would do: a dry run.", ref("schemas", "ChangePlan"), ALWAYS),
          "202": jsonAnswer("It has begun, and goes on by itself.", ref("schemas", "ChangePlan"), [
            ...ALWAYS,
            "Location",
          ]),
          "400": problemAnswer("It cannot be meant so; the detail names what is wrong.", ALWAYS),
          "409": problemAnswer(
            "Another change runs, which is named, or it would be unsafe: the detail says why.",
            ALWAYS,
          ),
          "413": problemAnswer("The body is too large.", ALWAYS),
          "503": problemAnswer("No ring yet, or too few members can be reached to agree on it.", RETRY),
          "504": problemAnswer("They did not agree in time; it may be chosen all the same.", [...ALWAYS, "KV-Outcome"]),
        },
      },
      ALWAYS,
    ),
  },
  "/v1/cluster/changes/{id}": {
    parameters: [ID_PARAMETER],
    get: guardedBy(
      "monitor",
      {
        operationId: "readChange",
        summary: "How far a change is, or how it ended",
        responses: {
          "200": jsonAnswer("The change.", ref("schemas", "ChangeProgress"), ALWAYS),
          "404": NO_CHANGE,
          "503": problemAnswer("This node has no ring yet.", RETRY),
        },
      },
      ALWAYS,
    ),
    delete: guardedBy(
      "admin",
      {
        operationId: "cancelChange",
        summary: "Takes a change back that has not switched yet",
        responses: {
          "204": { description: "It is cancelled.", ...headersOf(ALWAYS) },
          "404": NO_CHANGE,
          "409": problemAnswer("It has switched, or has ended: it cannot be taken back.", ALWAYS),
          "503": problemAnswer("No ring yet, or too few members can be reached to agree on it.", RETRY),
          "504": problemAnswer("They did not agree in time; it may be chosen all the same.", [...ALWAYS, "KV-Outcome"]),
        },
      },
      ALWAYS,
    ),
  },
};
