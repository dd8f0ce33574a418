/** The data port: the lean handler for `/v1/kv/{key}`, and Express behind it for everything else. */
import type { ClientRing } from "../../core/ring/client-ring.ts";
import { createGetApp, sendJson } from "./express-parts.ts";
import { createHttpServer, type HttpServer, type HttpServerOptions } from "./http-server.ts";
import { createKvHandler, isKvPath, type KvHandlerOptions, type KvHandlerPorts } from "./kv-handler.ts";
import { dataDocument } from "./openapi-data.ts";
import { problemOf } from "./problem.ts";
import { problemIdentity } from "./respond.ts";

export type DataServerPorts = Omit<KvHandlerPorts, "draining"> & {
  /** What `GET /v1/ring` answers. Throws NOT_READY before there is a ring. */
  readonly ring: () => ClientRing;
};
export type DataServerOptions = KvHandlerOptions & HttpServerOptions;

/**
 * Makes the server of the data port; it listens after `start()`.
 *
 * @param ports As `createKvHandler` takes them; whether the server is stopping is its own knowledge.
 */
export function createDataServer(ports: DataServerPorts, options: DataServerOptions): HttpServer {
  const document = dataDocument(options);
  const own = { ...options, epoch: () => ports.bounds().epoch };
  return createHttpServer(
    ports.telemetry,
    (error) => problemIdentity(own, problemOf(error)),
    (draining) => {
      const kv = createKvHandler({ ...ports, draining }, options);
      const app = createGetApp(
        {
          ...ports,
          draining,
          identity: (problem) => problemIdentity(own, problem ?? { receipt: undefined, acknowledged: 0 }),
        },
        [
          { template: "/openapi.json", need: "open", answer: (_request, response) => sendJson(response, document) },
          { template: "/v1/ring", need: "read-some", answer: (_request, response) => sendJson(response, ports.ring()) },
        ],
      );
      return (request, response) => {
        if (isKvPath(request.url ?? "")) kv(request, response);
        else app(request, response);
      };
    },
    options,
  );
}
