/**
 * Clients of a simulated cluster: they read, write with what they read, write blindly, delete, and try again, through
 * any node, and everything they did and were told goes into the history.
 */
import { KvError } from "../../node/core/errors.ts";
import type { Base, Coordinator, RequestOptions, WriteAnswer } from "../../node/services/coordinator.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { Copies } from "./copies.ts";
import type { History, Write, WriteId } from "./history.ts";
import type { SeededRandom } from "./random.ts";
import { checkReadReceipt, checkReceipt, homesWithout } from "./receipts.ts";

/** What a client remembers of a key: the token of what it last saw or wrote, and the writes that stand behind it. */
type Memory = { readonly context: string; readonly past: ReadonlySet<WriteId> };

export type Doing = "read" | "context" | "overwrite" | "sibling" | "remove";

export type WorkloadOptions = {
  /** Looks after what was acknowledged. */
  readonly copies: Copies;
  readonly clients: number;
  readonly keys: number;
  /** Longest pause of a client between two operations, in ms. */
  readonly thinkMsMax: number;
  /** What a client does next is drawn from these; more of one, more often. */
  readonly mix: readonly Doing[];
};

export type WorkloadCounters = {
  operations: number;
  acknowledged: number;
  unknown: number;
  refused: number;
  retried: number;
};

/** Longest that a client waits for an answer; a node that died never gives one. */
const PATIENCE_MS = 1_500;
const RETRIES_MAX = 3;

export class Workload {
  readonly counters: WorkloadCounters = { operations: 0, acknowledged: 0, unknown: 0, refused: 0, retried: 0 };
  readonly #cluster: SimulatedCluster;
  readonly #history: History;
  readonly #options: WorkloadOptions;
  #running = true;

  constructor(cluster: SimulatedCluster, history: History, options: WorkloadOptions) {
    this.#cluster = cluster;
    this.#history = history;
    this.#options = options;
    for (let i = 0; i < options.clients; i++) {
      const client = new Client(cluster.random.stream(`client ${i}`));
      this.#next(client);
    }
  }

  /** Clients begin nothing new. */
  stop(): void {
    this.#running = false;
  }

  #next(client: Client): void {
    const { simulator } = this.#cluster;
    simulator.after(client.random.below(this.#options.thinkMsMax + 1), () => {
      if (!this.#running) return;
      this.#operate(client).then(
        () => this.#next(client),
        (error: unknown) => {
          this.#cluster.bug ??= error;
        },
      );
    });
  }

  async #operate(client: Client): Promise<void> {
    const { random } = client;
    const key = `key ${random.below(this.#options.keys)}`;
    this.counters.operations += 1;
    switch (random.pick(this.#options.mix)) {
      case "read":
        return this.#read(client, key);
      case "context": {
        if (client.memory.get(key) === undefined) await this.#read(client, key);
        const memory = client.memory.get(key);
        return this.#write(client, key, memory === undefined ? "sibling" : "context", memory);
      }
      case "overwrite":
        return this.#write(client, key, "overwrite", undefined);
      case "sibling":
        return this.#write(client, key, "sibling", undefined);
      case "remove":
        return this.#remove(client, key);
    }
  }

  async #read(client: Client, key: string): Promise<void> {
    const coordinator = this.#anyCoordinator(client);
    if (coordinator === undefined) return;
    const options = this.#choices(client.random);
    const startedMs = this.#cluster.simulator.nowMs;
    const lacking = homesWithout(this.#cluster, bytesOf(key));
    const answer = await this.#patiently(coordinator.get(bytesOf(key), options));
    if (answer === undefined || answer instanceof KvError) return this.#note(answer);
    const shown = answer.siblings
      .filter(({ value }) => value !== undefined)
      .map(({ value }) => idOf(value as Uint8Array));
    const { readQuorum: usual, writeQuorum, replicationFactor, mode } = this.#cluster.options;
    const readQuorum = options.readQuorum ?? usual;
    checkReadReceipt(this.#cluster, answer, { readQuorum, startedMs, lacking });
    // Sloppy quorums need not overlap: some of W may have been stand-ins, whom a read of R homes does not ask.
    const isFresh = mode === "strict" && readQuorum + writeQuorum > replicationFactor;
    const read = { key, startedMs, endedMs: this.#cluster.simulator.nowMs, shown, isFresh };
    this.#cluster.simulator.tell(`${client.name} read ${key}: [${shown}]`);
    this.#history.checkRead(read);
    this.#history.reads.push(read);
    if (answer.context !== undefined)
      client.memory.set(key, { context: answer.context, past: this.#history.pastOf(shown) });
    this.counters.acknowledged += 1;
  }

  async #write(client: Client, key: string, kind: Write["kind"], memory: Memory | undefined): Promise<void> {
    const write = this.#history.begin({
      key,
      kind,
      isDelete: false,
      isNamed: client.random.chance([2, 3]),
      past: memory?.past ?? new Set(),
      startedMs: this.#nowMs,
    });
    const base: Base =
      memory === undefined ? (kind === "overwrite" ? "overwrite" : "sibling") : { context: memory.context };
    const value = () => bytesOf(`${write.id}:${key}`);
    const context = await this.#repeat(client, write, (coordinator, idempotencyKey) =>
      coordinator.put(
        { key: bytesOf(key), value: value(), contentType: "text/plain", base, idempotencyKey },
        { writeQuorum: this.#cluster.options.writeQuorum },
      ),
    );
    if (context === undefined) client.memory.delete(key);
    else client.memory.set(key, { context, past: this.#history.pastOf([write.id]) });
  }

  /** A deletion without a context deletes what a read would see: nobody knows which writes that was. */
  async #remove(client: Client, key: string): Promise<void> {
    const memory = client.random.chance([1, 2]) ? client.memory.get(key) : undefined;
    const kind = memory === undefined ? "overwrite" : "context";
    const write = this.#history.begin({
      key,
      kind,
      isDelete: true,
      isNamed: client.random.chance([2, 3]),
      past: memory?.past ?? new Set(),
      startedMs: this.#nowMs,
    });
    await this.#repeat(client, write, (coordinator, idempotencyKey) =>
      coordinator.delete({ key: bytesOf(key), context: memory?.context, idempotencyKey }, {}),
    );
    client.memory.delete(key);
  }

  /** Tries a write until somebody says what became of it, through one node after the other, as one event. */
  async #repeat(
    client: Client,
    write: Write,
    attempt: (coordinator: Coordinator, idempotencyKey: Uint8Array | undefined) => Promise<WriteAnswer>,
  ): Promise<string | undefined> {
    const name = write.isNamed ? bytesOf(`write ${write.id}`) : undefined;
    let maySurface = false;
    for (let tries = 0; tries <= RETRIES_MAX; tries++) {
      const coordinator = this.#anyCoordinator(client);
      if (coordinator === undefined) break;
      const answer = await this.#patiently(attempt(coordinator, name));
      this.#note(answer);
      if (answer !== undefined && !(answer instanceof KvError)) {
        this.#cluster.simulator.tell(`${client.name} wrote ${describe(write)}`);
        const { writeQuorum } = this.#cluster.options;
        checkReceipt(this.#cluster, bytesOf(write.key), answer, { writeQuorum, startedMs: write.startedMs, name });
        const { startedMs } = write;
        const what = `write ${write.id}`;
        this.#options.copies.note(write.key, { what, token: answer.context, acks: answer.receipt.acks, startedMs });
        this.#history.end(write, "acknowledged", this.#nowMs);
        this.counters.acknowledged += 1;
        return answer.context;
      }
      maySurface ||= answer === undefined || answer.outcome === "unknown";
      // Without a name a second try would be a second write.
      if ((maySurface && !write.isNamed) || client.random.chance([1, 2])) break;
      this.counters.retried += 1;
    }
    this.#cluster.simulator.tell(
      `${client.name} gave up ${maySurface ? "not knowing" : "knowing that nothing stuck"}: ${describe(write)}`,
    );
    // A write of unknown outcome never ends: it may surface whenever the replica that holds it is heard of again.
    this.#history.end(write, maySurface ? "unknown" : "none", maySurface ? Number.POSITIVE_INFINITY : this.#nowMs);
    return undefined;
  }

  #note(answer: unknown): void {
    if (answer === undefined) this.counters.unknown += 1;
    else if (answer instanceof KvError) this.counters[answer.outcome === "unknown" ? "unknown" : "refused"] += 1;
  }

  get #nowMs(): number {
    return this.#cluster.simulator.nowMs;
  }

  #anyCoordinator(client: Client): Coordinator | undefined {
    const serving = this.#cluster.nodes.filter(({ node }) => node !== undefined);
    return serving.length === 0 ? undefined : client.random.pick(serving).node?.coordinator;
  }

  #choices(random: SeededRandom): RequestOptions {
    const { replicationFactor } = this.#cluster.options;
    return random.chance([1, 4]) ? { readQuorum: random.between(1, replicationFactor) } : {};
  }

  /** The answer, a `KvError`, or undefined when none came: the node may have died. */
  #patiently<T>(answer: Promise<T>): Promise<T | KvError | undefined> {
    return new Promise((resolve, reject) => {
      const timer = this.#cluster.simulator.after(PATIENCE_MS, () => resolve(undefined));
      answer.then(
        (value) => {
          timer.cancel();
          resolve(value);
        },
        (error: unknown) => {
          timer.cancel();
          if (error instanceof KvError) resolve(error);
          else reject(error);
        },
      );
    });
  }
}

function describe({ id, key, kind, isDelete, past, startedMs }: Write): string {
  return `${id} to ${key}: ${isDelete ? "delete" : "put"}, ${kind} over [${[...past]}], begun at ${startedMs.toFixed(1)}`;
}

class Client {
  readonly memory = new Map<string, Memory>();
  readonly random: SeededRandom;
  readonly name: string;

  constructor(random: SeededRandom) {
    this.random = random;
    this.name = `client ${random.below(1_000_000)}`;
  }
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function idOf(value: Uint8Array): WriteId {
  return Number.parseInt(new TextDecoder().decode(value), 10);
}
