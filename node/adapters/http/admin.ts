/** The admin port: health, metrics, the cluster and the ring as this node sees them, changes, export. Never for clients. */
import type { Request, Response } from "express";
import { KvError } from "../../core/errors.ts";
import type { Telemetry, Time } from "../../ports.ts";
import type { Admin } from "./admin-api.ts";
import { backupLine, sendDifference, sendTree, takeRestore } from "./backup.ts";
import { changeRoutes } from "./changes.ts";
import { clusterJson } from "./cluster-json.ts";
import { type ConsoleFiles, consoleRoutes } from "./console-files.ts";
import { exportLine, type Streamed, streamPartition } from "./export-stream.ts";
import { createGetApp, type Route, sendJson } from "./express-parts.ts";
import type { Gate } from "./gate.ts";
import { createHttpServer, type HttpHandler, type HttpServer, type HttpServerOptions } from "./http-server.ts";
import { isKvPath } from "./kv-handler.ts";
import { createLiveFeed, eventsRoute, type LiveFeed } from "./live-feed.ts";
import { adminDocument } from "./openapi-admin.ts";
import { parseKey } from "./parse-key.ts";
import { parseInteger, parseQuery, queryOf } from "./parse-query.ts";
import { invalid } from "./problem.ts";
import { versionsJson } from "./versions-json.ts";

export type AdminServerPorts = {
  readonly admin: Admin;
  readonly telemetry: Telemetry;
  readonly time: Time;
  /** The console's page; empty where it is not installed. */
  readonly consoleFiles: ConsoleFiles;
  /**
   * Answers for keys as the data port does, for the console, whose page may ask its own port only.
   *
   * @param draining Whether this server is stopping.
   */
  readonly kv: (draining: () => boolean) => HttpHandler;
  readonly onBug: (error: unknown) => void;
  /** Undefined: everybody may do everything. */
  readonly gate?: Gate | undefined;
};

export type AdminServerOptions = HttpServerOptions & {
  /** Sent as `KV-Node`. */
  readonly member: string;
  /** Most bytes of key and value together. */
  readonly pairBytesMax: number;
};

/** Query parameters of the export, for the OpenAPI check. */
export const EXPORT_PARAMETERS: readonly string[] = ["partition", "after"];
const PARTITION_MAX = 65_535;
/**
 * A value is of any type that its writer likes, and this is the console's origin: opened as a document it must not run as a part
 * of it, nor be taken for a script of the page.
 */
const PAIR_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const RING_PREFIX = "/v1/ring/";
const VERSIONS_PREFIX = "/v1/versions/";
const RAW_PARAMETERS: ReadonlySet<string> = new Set(["after"]);

/** Makes the server of the admin port; it listens after `start()`. */
export function createAdminServer(ports: AdminServerPorts, options: AdminServerOptions): HttpServer {
  const identity = ["KV-Node", options.member];
  const feed = createLiveFeed(ports);
  const routes = adminRoutes({ ...ports, feed }, adminDocument(options));
  const server = createHttpServer(
    ports.telemetry,
    () => identity,
    (draining) => {
      const kv = ports.kv(draining);
      const app = createGetApp({ ...ports, draining, identity: () => identity }, routes);
      return (request, response) => {
        if (!isKvPath(request.url ?? "")) return app(request, response);
        for (const [header, value] of Object.entries(PAIR_HEADERS)) response.setHeader(header, value);
        kv(request, response);
      };
    },
    options,
  );
  return {
    start: () => server.start(),
    stop(graceMs) {
      feed.close();
      return server.stop(graceMs);
    },
  };
}

/** Every route of the admin port but that of a key's value; `openapi-admin.ts` describes them. */
export function adminRoutes(
  { admin, feed, consoleFiles }: Pick<AdminServerPorts, "admin" | "consoleFiles"> & { readonly feed: LiveFeed },
  document: unknown,
): readonly Route[] {
  return [
    { template: "/openapi.json", need: "open", answer: (_request, response) => sendJson(response, document) },
    // That this is answered at all is what it says: the event loop turns.
    { template: "/healthz", need: "open", answer: (_request, response) => sendJson(response, { status: "alive" }) },
    {
      template: "/readyz",
      need: "open",
      answer: (_request, response) => {
        const readiness = admin.readiness();
        if (!readiness.ready) throw new KvError("NOT_READY", `Cannot serve now: ${readiness.reason}.`);
        sendJson(response, { status: "ready" });
      },
    },
    {
      template: "/metrics",
      need: "open",
      answer: async (_request, response) => {
        const text = await admin.metricsText();
        response.setHeader("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        response.end(text);
      },
    },
    {
      template: "/v1/cluster",
      need: "monitor",
      answer: async (_request, response) => {
        sendJson(response, clusterJson(await admin.cluster()));
      },
    },
    eventsRoute(feed),
    ...consoleRoutes(consoleFiles),
    ...changeRoutes(admin.changes),
    {
      template: "/v1/repair",
      method: "POST",
      need: "admin",
      answer: (_request, response) => {
        admin.repair();
        response.statusCode = 202;
        sendJson(response, { status: "started" });
      },
    },
    { template: "/v1/ring", need: "monitor", answer: (_request, response) => sendJson(response, admin.ring()) },
    {
      template: "/v1/ring/{key}",
      need: "monitor",
      // An expression without groups: Express would decode a parameter as text, and keys are bytes.
      path: /^\/v1\/ring\/.*$/,
      answer: (request, response) => sendJson(response, admin.locate(keyOf(request, RING_PREFIX))),
    },
    {
      template: "/v1/versions/{key}",
      // What it tells of a key who may not read it has no business to know: when it was written, and how much.
      need: { readsKey: (request) => keyOf(request, VERSIONS_PREFIX) },
      path: /^\/v1\/versions\/.*$/,
      answer: async (request, response) => {
        sendJson(response, versionsJson(await admin.versions(keyOf(request, VERSIONS_PREFIX))));
      },
    },
    ...recordRoutes(admin),
  ];
}

/** Routes that give or take all keys, or records as replicas keep them. */
function recordRoutes(admin: Admin): readonly Route[] {
  return [
    {
      template: "/v1/export",
      need: "read-all",
      answer: (request, response, stillMay) =>
        answerExport({ page: admin.exportPage, line: exportLine, stillMay }, request, response),
    },
    {
      template: "/v1/backup",
      need: "read-all",
      answer: (request, response, stillMay) =>
        answerExport({ page: admin.backupPage, line: backupLine, stillMay }, request, response),
    },
    {
      template: "/v1/backup/tree",
      need: "read-all",
      answer: (request, response) => sendTree(admin, partitionOf(request), response),
    },
    {
      template: "/v1/backup/difference",
      method: "POST",
      need: "read-all",
      answer: (request, response, stillMay) => sendDifference(admin, request, response, stillMay),
    },
    {
      template: "/v1/restore",
      method: "POST",
      need: "restore",
      answer: (request, response) => takeRestore(admin, request, response),
    },
  ];
}

function keyOf(request: Request, prefix: string): Uint8Array {
  const question = request.url.indexOf("?");
  return parseKey(request.url, prefix.length, question < 0 ? request.url.length : question);
}

/** The one parameter of what is asked of a whole partition. */
function partitionOf(request: Request): number {
  const values = parseQuery(queryOf(request), (name) => name === "partition", RAW_PARAMETERS);
  return parsePartition(values.get("partition"));
}

function parsePartition(partition: string | undefined): number {
  if (partition === undefined) throw invalid('Cannot export: expected the parameter "partition", found none.');
  return parseInteger("partition", partition, { min: 0, max: PARTITION_MAX });
}

async function answerExport<Entry extends { readonly key: Uint8Array }>(
  streamed: Streamed<Entry>,
  request: Request,
  response: Response,
): Promise<void> {
  const values = parseQuery(queryOf(request), (name) => EXPORT_PARAMETERS.includes(name), RAW_PARAMETERS);
  const partition = parsePartition(values.get("partition"));
  const after = values.get("after");
  await streamPartition(response, streamed, {
    partition,
    after: after === undefined ? undefined : parseKey(after, 0, after.length),
  });
}
