/** What the OpenAPI document of the admin port says of the console: its page, and the stream that it lives on. */
import { guardedBy, headersOf, type JsonObject, openToAll, problemAnswer } from "./openapi-parts.ts";

const ALWAYS = ["KV-Node"];
const ANY_TEXT: JsonObject = { schema: { type: "string" } };
const FILE: JsonObject = {
  description: "A file of the page. Its Content-Security-Policy lets it load from this origin only.",
  ...headersOf(ALWAYS),
  content: { "*/*": ANY_TEXT },
};

export const EVENTS_PATH: JsonObject = {
  get: guardedBy(
    "monitor",
    {
      operationId: "watchCluster",
      summary: "What this node knows of the cluster, once a second, as server-sent events",
      description:
        "`look`: `at`, `intervalMs`, `cluster` (as /v1/cluster says it, without the list of partitions, and with `latencyMs` of " +
        "each member that this node has read from), `load` (`readsPerSecond`, `writesPerSecond`, `p50Ms`, `p99Ms` of this node " +
        "since the look before), `freeBytes`, `usedBytes`, `notReady`, and `findings` (`severity`, `check`, `what`, `advice`) as " +
        "`annulus doctor` would say of this node alone. `unavailable`, with `detail`: nothing can be said at the moment. " +
        "`refused`: the token has lost the right. `stopping`: the node is being stopped. The last two end the stream.",
      parameters: [
        {
          name: "looks",
          in: "query",
          required: false,
          description: "Ends after so many looks.",
          schema: { type: "integer", minimum: 1, maximum: 1_000_000 },
        },
      ],
      responses: {
        "200": { description: "The stream.", ...headersOf(ALWAYS), content: { "text/event-stream": ANY_TEXT } },
        "400": problemAnswer("A bad parameter.", ALWAYS),
        "429": problemAnswer("As many watch this node as may at once.", [...ALWAYS, "Retry-After", "KV-Outcome"]),
      },
    },
    ALWAYS,
  ),
};

export const CONSOLE_PATHS: JsonObject = {
  "/console": {
    get: openToAll({
      operationId: "findConsole",
      summary: "Leads to the console",
      responses: { "308": { description: "It is at /console/.", ...headersOf([...ALWAYS, "Location"]) } },
    }),
  },
  "/console/": {
    get: openToAll({
      operationId: "openConsole",
      summary: "The console: a page that shows the cluster live",
      responses: { "200": FILE, "404": problemAnswer("The console is not installed here.", ALWAYS) },
    }),
  },
  "/console/{file}": {
    get: openToAll({
      operationId: "readConsoleFile",
      summary: "What the console's page is made of",
      parameters: [{ name: "file", in: "path", required: true, schema: { type: "string" } }],
      responses: { "200": FILE, "404": problemAnswer("There is no such file.", ALWAYS) },
    }),
  },
};
