/** Nodes with the real data port and one model of a store behind all of them: what the client library is tested against. */
import { createDataServer } from "../../node/adapters/http/data-server.ts";
import type { HttpServer } from "../../node/adapters/http/http-server.ts";
import { systemTime } from "../../node/adapters/system.ts";
import { KvError } from "../../node/core/errors.ts";
import type { ClientRing } from "../../node/core/ring/client-ring.ts";
import type { Coordinator, PutCommand, RequestOptions } from "../../node/services/coordinator.ts";
import { createHttpModel, type HttpModel } from "../contract/http-model.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "../contract/http-world.ts";

export type Asked = {
  readonly node: string;
  readonly kind: "get" | "put" | "delete";
  readonly options: RequestOptions;
  readonly idempotencyKey: string | undefined;
};

/** What a node does instead of serving; undefined: it serves. */
export type Fault = "mute" | "unavailable" | "lost" | "overloaded" | undefined;

const NAMES = ["n1", "n2", "n3"];
const ZONES = ["a", "b", "c"];
const ERRORS = {
  unavailable: new KvError("QUORUM_UNAVAILABLE", "Cannot write.", { details: { required: 2, acknowledged: 1 } }),
  lost: new KvError("QUORUM_LOST", "Cannot confirm.", { outcome: "unknown" }),
  overloaded: new KvError("OVERLOADED", "Too many."),
};

export class FakeCluster {
  readonly model: HttpModel = createHttpModel();
  /** Requests that reached a coordinator, in order. */
  readonly asked: Asked[] = [];
  readonly faults = new Map<string, Fault>();
  /** What a node does after it has written; the client is told this. */
  readonly faultsAfter = new Map<string, Fault>();
  ring: ClientRing | undefined = ringOf(1, NAMES);
  ringReads = 0;
  readonly #servers: HttpServer[] = [];
  readonly urls: string[] = [];

  static async start(): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    for (const name of NAMES) await cluster.#add(name);
    return cluster;
  }

  /** The node goes away without a word. */
  async kill(name: string): Promise<void> {
    await this.#servers[NAMES.indexOf(name)]?.stop(0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop(0)));
  }

  async #add(name: string): Promise<void> {
    const server = createDataServer(
      {
        coordinator: this.#coordinator(name),
        telemetry: createTestTelemetry(),
        time: systemTime,
        bounds: () => ({ replicationFactor: 3, zoneCount: 3, epoch: this.ring?.epoch ?? 0 }),
        ring: () => {
          this.ringReads += 1;
          if (this.ring !== undefined) return this.ring;
          throw new KvError("NOT_READY", "Cannot serve yet: no ring.");
        },
        isWaking: () => false,
        onBug: (error) => {
          throw error;
        },
        gate: undefined,
      },
      { ...WORLD_OPTIONS, member: name },
    );
    this.#servers.push(server);
    this.urls.push(`http://127.0.0.1:${await server.start()}`);
  }

  #coordinator(node: string): Coordinator {
    const meet = (asked: Omit<Asked, "node">): Promise<void> => {
      this.asked.push({ node, ...asked });
      return suffer(this.faults.get(node));
    };
    const named = ({ idempotencyKey }: Pick<PutCommand, "idempotencyKey">) =>
      idempotencyKey === undefined ? undefined : Buffer.from(idempotencyKey).toString("latin1");
    return {
      isFull: () => false,
      get: async (key, options) => {
        await meet({ kind: "get", options, idempotencyKey: undefined });
        return this.model.get(key, options);
      },
      put: async (command, options) => {
        await meet({ kind: "put", options, idempotencyKey: named(command) });
        const answer = await this.model.put(command, options);
        await suffer(this.faultsAfter.get(node));
        return answer;
      },
      delete: async (command, options) => {
        await meet({ kind: "delete", options, idempotencyKey: named(command) });
        return this.model.delete(command, options);
      },
    };
  }
}

async function suffer(fault: Fault): Promise<void> {
  if (fault === "mute") await new Promise(() => {});
  else if (fault !== undefined) throw ERRORS[fault];
}

/** A ring of two partitions in which the given member is the first home of every key. */
export function ringOf(epoch: number, order: readonly string[]): ClientRing {
  return {
    cluster: "shop",
    epoch,
    partitions: 2,
    n: 3,
    members: NAMES.map((name, index) => ({ name, host: "127.0.0.1", zone: ZONES[index] ?? "" })),
    preferenceLists: [order, order],
  };
}
