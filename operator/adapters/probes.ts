/** The operator's own port: liveness, readiness, metrics. */
import { createServer, type Server } from "node:http";

export type Probes = {
  /** Why it should be restarted, or undefined. */
  readonly sick: () => string | undefined;
  readonly metricsText: () => Promise<string>;
};

/** Listens until the process ends. Every replica is ready: one that follows does its part by waiting. */
export async function serveProbes(probes: Probes, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    const answer = (status: number, text: string) => {
      response.writeHead(status, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end(text);
    };
    const sick = probes.sick();
    switch (request.url?.split("?")[0]) {
      case "/healthz":
        return answer(sick === undefined ? 200 : 500, sick ?? "alive\n");
      case "/readyz":
        return answer(200, "ready\n");
      case "/metrics":
        probes.metricsText().then(
          (text) => answer(200, text),
          (error: unknown) => answer(500, String(error)),
        );
        return;
      default:
        return answer(404, "");
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, resolve);
  });
  return server;
}
