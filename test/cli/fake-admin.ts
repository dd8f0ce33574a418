/** The admin port of a node as far as `top` and `doctor` look at it: whatever a test says that it says. */
import { createServer } from "node:http";
import { closeServer, listenOnLoopback } from "./loopback.ts";

export type FakeMember = {
  name: string;
  zone: string;
  state: string;
  health: "up" | "suspect" | "down";
  phi?: number;
  actor?: string;
};

export class FakeAdmin {
  readonly node: string;
  id = "shop";
  epoch = 7;
  aheadMs = 0;
  notReady: string | undefined;
  /** Answers everything so, as without a token that would do. */
  refusal: 401 | 403 | undefined;
  /** Answers what gives away keys so, with 403. */
  keysRefusal: string | undefined;
  members: FakeMember[] = ["n1", "n2", "n3"].map((name, index) => ({
    name,
    zone: "abc"[index] ?? "",
    state: "active",
    health: "up",
  }));
  /** The directories that the ring lists, by name. */
  readonly listed = new Map<string, string>();
  hints: { target: string; count: number; bytes: number }[] = [];
  transition: Record<string, unknown> | null = null;
  /** The metrics page, by sample; read anew for each look. */
  metrics: () => Record<string, number> = () => ({
    annulus_store_disk_bytes: 200,
    annulus_store_free_bytes: 100,
    annulus_store_table_bytes: 100,
    annulus_store_takes_writes: 1,
  });
  readonly #server = createServer((request, response) => {
    if (this.refusal !== undefined) {
      response.writeHead(this.refusal).end(JSON.stringify({ detail: "no token" }));
      return;
    }
    if (this.keysRefusal !== undefined && /^\/v1\/(export|backup)/.test(request.url ?? "")) {
      response.writeHead(403).end(JSON.stringify({ detail: this.keysRefusal }));
      return;
    }
    const body = this.#answer(request.url ?? "");
    const date = new Date(Date.now() + this.aheadMs).toUTCString();
    const isProblem = request.url === "/readyz" && this.notReady !== undefined;
    response.writeHead(isProblem ? 503 : 200, { date, "kv-node": this.node });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });

  constructor(node: string) {
    this.node = node;
  }

  start(): Promise<string> {
    return listenOnLoopback(this.#server);
  }

  stop(): Promise<void> {
    return closeServer(this.#server);
  }

  #answer(path: string): unknown {
    const { node, id, epoch, transition } = this;
    const members = this.members.map((member) => ({
      address: `${member.name}:7402`,
      weight: 100,
      phi: 0.5,
      ...member,
    }));
    if (path === "/readyz") return this.notReady === undefined ? { status: "ready" } : { detail: this.notReady };
    if (path === "/metrics")
      return Object.entries(this.metrics())
        .map(([name, value]) => `${name} ${value}\n`)
        .join("");
    if (path === "/v1/ring") {
      const preferenceLists = [
        ["n1", "n2", "n3"],
        ["n2", "n3", "n1"],
      ];
      const listing = members.map((member) => ({ ...member, actor: this.listed.get(member.name) }));
      return { epoch, partitions: 2, n: 3, r: 2, w: 2, mode: "sloppy", members: listing, preferenceLists };
    }
    return { id, node, ringEpoch: epoch, members, hints: { complete: true, waiting: this.hints }, transition };
  }
}
