/**
 * The nodes' admin ports as an operator reaches them: requests travel in virtual time, to whoever has the address now,
 * and are answered as the HTTP server of a node would. Only sockets and Express are left out: what is asked is checked, and
 * what is told made into JSON, by the code that ships on either side.
 */
import type { ClusterView } from "../../../node/adapters/http/admin-api.ts";
import { ChangeBody, changeOf } from "../../../node/adapters/http/changes.ts";
import { createChangesView, viewTransition } from "../../../node/adapters/http/changes-view.ts";
import { clusterJson } from "../../../node/adapters/http/cluster-json.ts";
import { problemOf } from "../../../node/adapters/http/problem.ts";
import { KvError } from "../../../node/core/errors.ts";
import type { StorageNode } from "../../../node/node.ts";
import type { AdminCall } from "../../../operator/adapters/node-admin.ts";
import { NodeSilentError } from "../../../operator/ports.ts";
import type { SimulatedCluster } from "../cluster.ts";
import type { Ratio, SeededRandom } from "../random.ts";
import type { Process } from "../simulator.ts";
import type { SimulatedApiServer } from "./api-server.ts";
import type { Kubelets } from "./kubelets.ts";
import { asksForTokens } from "./token-tables.ts";

type Answer = { readonly status: number; readonly text: string };
type AdminRequest = { readonly method: string; readonly path: string; readonly body?: unknown };

/** How long an operator waits for a node. */
const TIMEOUT_MS = 3_000;
const LATENCY_MS = [0.5, 5] as const;
/** What the disks of this simulation are said to hold: far from full. */
const METRICS = "annulus_store_table_bytes 1000\nannulus_store_free_bytes 1000000\n";
const CHANGES = "/v1/cluster/changes";

export class AdminPorts {
  /** Pods that no operator reaches. */
  readonly unreachable = new Set<string>();
  /** Requests and answers that are lost. */
  loss: Ratio = [0, 1];
  /** Is told of each request that arrives, right before and after: where it asks for a change, an operator may be killed. */
  onRequest: (
    process: Process,
    request: { readonly pod: string; readonly method: string; readonly path: string },
    when: "before" | "after",
  ) => void = () => undefined;
  readonly #cluster: SimulatedCluster;
  readonly #server: SimulatedApiServer;
  readonly #kubelets: Kubelets;
  readonly #random: SeededRandom;

  constructor(
    {
      cluster,
      server,
      kubelets,
    }: {
      readonly cluster: SimulatedCluster;
      readonly server: SimulatedApiServer;
      readonly kubelets: Kubelets;
    },
    random: SeededRandom,
  ) {
    this.#cluster = cluster;
    this.#server = server;
    this.#kubelets = kubelets;
    this.#random = random;
  }

  /** Ends all faults. */
  heal(): void {
    this.unreachable.clear();
    this.loss = [0, 1];
  }

  /** The nodes as one operator's process reaches them. */
  of(process: Process): AdminCall {
    const { simulator } = this.#cluster;
    return ({ ip, token }, request) =>
      new Promise((resolve, reject) => {
        const fail = (why: string, afterMs: number) =>
          simulator.after(afterMs, () => reject(new NodeSilentError(why)), process);
        const timeout = fail("no answer in time", TIMEOUT_MS);
        simulator.after(this.#latencyMs(), () => {
          const pod = this.#kubelets.podAt(ip);
          const node = this.#cluster.nodes.find(({ name }) => name === pod);
          if (!this.#kubelets.isReached(ip)) return;
          if (pod === undefined || this.unreachable.has(pod) || this.#random.chance(this.loss)) return;
          if (node?.process === undefined) return;
          if (node.node === undefined) return void fail("connection refused", this.#latencyMs());
          this.onRequest(process, { ...request, pod }, "before");
          // What is sent to a process that is held up waits in its socket, also when nobody waits for the answer any more.
          const answering = new Promise<Answer>((done, broken) => {
            simulator.after(
              0,
              () => {
                if (node.node !== undefined) this.#answer(node.node, pod, { ...request, token }).then(done, broken);
              },
              node.process,
            );
          });
          this.onRequest(process, { ...request, pod }, "after");
          answering.then(
            (told) => {
              if (node.node === undefined || this.#random.chance(this.loss)) return;
              simulator.after(
                this.#latencyMs(),
                () => {
                  timeout.cancel();
                  resolve(told);
                },
                process,
              );
            },
            (error: unknown) => {
              this.#cluster.bug ??= error;
            },
          );
        });
      });
  }

  /** As the gate before the routes has it. */
  async #answer(
    node: StorageNode,
    name: string,
    request: AdminRequest & { token?: string | undefined },
  ): Promise<Answer> {
    const pod = this.#server.store.find("Pod", name);
    const status = pod && this.#kubelets.tokens.refusal(pod, request.token, needOf(request));
    if (status !== undefined) {
      const code = status === 401 ? "UNAUTHENTICATED" : "FORBIDDEN";
      this.#cluster.counters.set(`kube: ${code}`, (this.#cluster.counters.get(`kube: ${code}`) ?? 0) + 1);
      return { status, text: problemOf(new KvError(code, "Cannot answer: that takes a token.")).body };
    }
    return await answer(node, request, asksForTokens(pod) ? "tokens" : "open");
  }

  #latencyMs(): number {
    const [low, high] = LATENCY_MS;
    return low + (this.#random.uint32() / 2 ** 32) * (high - low);
  }
}

/** The right that a request takes. */
function needOf({ method, path }: AdminRequest): "open" | "monitor" | "admin" {
  if (method !== "GET") return "admin";
  return path === "/metrics" ? "open" : "monitor";
}

async function answer(
  node: StorageNode,
  { method, path, body }: AdminRequest,
  access: ClusterView["access"],
): Promise<Answer> {
  try {
    if (method === "POST" && path === CHANGES) {
      const parsed = ChangeBody.safeParse(JSON.parse(JSON.stringify(body)));
      if (!parsed.success) throw new KvError("INVALID_REQUEST", parsed.error.message);
      const { id, plan } = await createChangesView(node.changes).begin(changeOf(parsed.data), { dryRun: false });
      return { status: 202, text: JSON.stringify({ id, ...plan }) };
    }
    if (method === "DELETE") {
      await node.changes.cancel(decodeURIComponent(path.slice(CHANGES.length + 1)));
      return { status: 204, text: "" };
    }
    if (path === "/v1/cluster") return { status: 200, text: JSON.stringify(clusterJson(await viewOf(node, access))) };
    if (path === "/v1/ring") return { status: 200, text: JSON.stringify(node.status.ring()) };
    return { status: 200, text: METRICS };
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    const { status, body: text } = problemOf(error);
    return { status, text };
  }
}

/** As `node/main.ts` puts it together. */
async function viewOf(node: StorageNode, access: ClusterView["access"]): Promise<ClusterView> {
  const { transition, ...cluster } = node.status.cluster();
  return {
    ...cluster,
    access,
    transition: transition === null ? null : await viewTransition(node.changes, transition.id),
  };
}
