/**
 * Clients of real nodes over HTTP, who behave as the simulated ones do (`test/sim/workload.ts`): they read, write with
 * what they read, write blindly, delete, and try again through the next node, and all that they did and were told goes
 * into the same history. Times are those of this process's monotonic clock.
 *
 * Half of the keys see no blind overwrite and no blind deletion. One of unknown outcome may stand in for whatever is
 * missing later; on these keys nothing can be put down to it.
 */
import { sleep } from "../bench/processes.ts";
import type { History, Write, WriteId } from "../sim/history.ts";
import { createSeededRandom, type SeededRandom } from "../sim/random.ts";
import { contentOf, type Found, idsOf } from "../sim/values.ts";
import { type Call, type Called, Caller, type Endpoint } from "./calls.ts";

export type Doing = "read" | "context" | "overwrite" | "sibling" | "remove";

export type ClientsOptions = {
  readonly seed: number;
  readonly clients: number;
  readonly keys: number;
  /** Longest pause of a client between two operations, in ms. */
  readonly thinkMsMax: number;
  /** What a client does next is drawn from these; more of one, more often. */
  readonly mix: readonly Doing[];
  /** Whether a read sees every write that was acknowledged before: `strict` and R + W > N. */
  readonly isFresh: boolean;
  /** Query of every write and every read, `w=2` for example. */
  readonly writeQuery?: string;
  readonly readQuery?: string;
  /** Each write has an Idempotency-Key; otherwise two in three, and the others are not tried again when in doubt. */
  readonly allNamed?: boolean;
  /** Pauses before the second try, the third and so on, in ms; absent: 100, 200, 400. */
  readonly retryMs?: readonly number[];
};

export type ClientCounters = {
  operations: number;
  acknowledged: number;
  /** Tries after the first one. */
  retries: number;
  /** Operations that failed for good: a read without an answer; a write of which nothing stuck, or maybe something. */
  readsFailed: number;
  writesRefused: number;
  writesUnknown: number;
  /** What the failed tries were told. */
  readonly reasons: Map<string, number>;
};

/** What a client remembers of a key: the token of what it last saw or wrote, and the writes that stand behind it. */
type Memory = { readonly context: string; readonly past: ReadonlySet<WriteId> };

/** How long one try may take: longer than a node takes to answer with a timeout of its own. */
const PATIENCE_MS = 1_500;
/** Before the second, third and fourth try. */
const RETRY_MS: readonly number[] = [100, 200, 400];
/** Half of the operations go to these few keys, so that clients meet. */
const HOT_KEYS = 4;
/** A client that remembers a key still looks again this often before it writes to it. */
const LOOKS_AGAIN = [1, 2] as const;

export class Clients {
  readonly counters: ClientCounters = {
    operations: 0,
    acknowledged: 0,
    retries: 0,
    readsFailed: 0,
    writesRefused: 0,
    writesUnknown: 0,
    reasons: new Map(),
  };
  readonly #nodes: readonly Endpoint[];
  readonly #history: History;
  readonly #options: ClientsOptions;
  readonly #ended: Promise<void>;
  #running = true;
  #broken: unknown;

  constructor(nodes: readonly Endpoint[], history: History, options: ClientsOptions) {
    this.#nodes = nodes;
    this.#history = history;
    this.#options = options;
    const random = createSeededRandom(options.seed);
    const clients = Array.from({ length: options.clients }, (_, index) => new Client(random.stream(`client ${index}`)));
    this.#ended = Promise.all(clients.map((client) => this.#live(client))).then(() => undefined);
  }

  /** The names of the keys, percent-encoded already. */
  get keys(): readonly string[] {
    return Array.from({ length: this.#options.keys }, (_, index) => keyName(index));
  }

  /** Throws when a client has already seen what it may not see. */
  checkSoFar(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** Clients begin nothing new; resolves when all have ended, and throws what they saw that they may not see. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#ended;
    this.checkSoFar();
  }

  async #live(client: Client): Promise<void> {
    try {
      while (this.#running && this.#broken === undefined) {
        await sleep(client.random.below(this.#options.thinkMsMax + 1));
        await this.#operate(client);
      }
    } catch (error) {
      this.#broken ??= error;
    } finally {
      client.caller.close();
    }
  }

  async #operate(client: Client): Promise<void> {
    const { random } = client;
    const { keys, mix } = this.#options;
    const index = random.below(random.chance([1, 2]) ? Math.min(keys, HOT_KEYS) : keys);
    const key = keyName(index);
    const isCareful = index % 2 === 0;
    this.counters.operations += 1;
    switch (random.pick(mix)) {
      case "read":
        return this.#read(client, key);
      case "overwrite":
        if (!isCareful) return this.#write(client, key, "overwrite", undefined);
        return this.#writeWhatItKnows(client, key);
      case "context":
        return this.#writeWhatItKnows(client, key);
      case "sibling":
        return this.#write(client, key, "sibling", undefined);
      case "remove": {
        const memory = isCareful || random.chance([1, 2]) ? client.memory.get(key) : undefined;
        if (isCareful && memory === undefined) return this.#read(client, key);
        return this.#remove(client, key, memory);
      }
    }
  }

  async #writeWhatItKnows(client: Client, key: string): Promise<void> {
    if (client.memory.get(key) === undefined || client.random.chance(LOOKS_AGAIN)) await this.#read(client, key);
    const memory = client.memory.get(key);
    return this.#write(client, key, memory === undefined ? "sibling" : "context", memory);
  }

  async #read(client: Client, key: string): Promise<void> {
    const call = { method: "GET", path: withQuery(key, this.#options.readQuery) } as const;
    const answered = await this.#repeat(client, call, (called) =>
      foundIn(called) === undefined ? "again" : "settled",
    );
    const seen = answered === undefined ? undefined : foundIn(answered.called);
    if (answered === undefined || seen === undefined) {
      this.counters.readsFailed += 1;
      return;
    }
    const { isFresh } = this.#options;
    const shown = idsOf(seen.values, key, this.#history.writes);
    const read = { key, startedMs: answered.startedMs, endedMs: performance.now(), shown, isFresh };
    this.#history.checkRead(read);
    this.#history.reads.push(read);
    this.counters.acknowledged += 1;
    if (seen.context === undefined) return;
    client.memory.set(key, { context: seen.context, past: this.#history.pastOf(shown) });
  }

  async #write(client: Client, key: string, kind: Write["kind"], memory: Memory | undefined): Promise<void> {
    const write = this.#begin(client, key, { kind, isDelete: false, memory });
    const blind = kind === "sibling" ? "blind=sibling" : undefined;
    const { value, contentType } = contentOf(write);
    const context = await this.#send(client, write, {
      method: "PUT",
      path: withQuery(key, memory === undefined ? blind : undefined, this.#options.writeQuery),
      headers: { "Content-Type": contentType, ...contextHeader(memory) },
      body: value,
    });
    if (context === undefined) client.memory.delete(key);
    else client.memory.set(key, { context, past: this.#history.pastOf([write.id]) });
  }

  /** A deletion without a context deletes what a read would see: nobody knows which writes that was. */
  async #remove(client: Client, key: string, memory: Memory | undefined): Promise<void> {
    const kind = memory === undefined ? "overwrite" : "context";
    const write = this.#begin(client, key, { kind, isDelete: true, memory });
    const path = withQuery(key, this.#options.writeQuery);
    await this.#send(client, write, { method: "DELETE", path, headers: contextHeader(memory) });
    client.memory.delete(key);
  }

  #begin(
    client: Client,
    key: string,
    { kind, isDelete, memory }: Pick<Write, "kind" | "isDelete"> & { readonly memory: Memory | undefined },
  ): Write {
    const isNamed = this.#options.allNamed === true || client.random.chance([2, 3]);
    const past = memory?.past ?? new Set();
    return this.#history.begin({ key, kind, isDelete, isNamed, past, startedMs: performance.now() });
  }

  /** Sends a write until somebody says what became of it, as one event. Gives the token of its answer. */
  async #send(client: Client, write: Write, call: Call): Promise<string | undefined> {
    const name: Record<string, string> = write.isNamed ? { "Idempotency-Key": `write ${write.id}` } : {};
    let maySurface = false;
    const answered = await this.#repeat(client, { ...call, headers: { ...call.headers, ...name } }, (called) => {
      if (isTaken(called)) return "settled";
      if (mayHaveStuck(called)) {
        maySurface = true;
        write.unknownTries += 1;
      }
      // Without a name a second try would be a second write.
      return isFinal(called) || (maySurface && !write.isNamed) ? "over" : "again";
    });
    if (answered !== undefined) {
      this.#history.end(write, "acknowledged", performance.now());
      this.counters.acknowledged += 1;
      return headerOf(answered.called, "kv-context");
    }
    this.counters[maySurface ? "writesUnknown" : "writesRefused"] += 1;
    // A write of unknown outcome never ends: it may surface whenever the replica that holds it is heard of again.
    if (maySurface) this.#history.end(write, "unknown", Number.POSITIVE_INFINITY);
    else this.#history.end(write, "none", performance.now());
    return undefined;
  }

  /** Tries through one node after the other. Gives the answer that settled it and when that try began. */
  async #repeat(
    { caller, random }: Client,
    call: Call,
    judge: (called: Called) => "settled" | "again" | "over",
  ): Promise<{ readonly called: Called; readonly startedMs: number } | undefined> {
    const first = random.below(this.#nodes.length);
    for (let tries = 0; ; tries++) {
      const startedMs = performance.now();
      const called = await caller.call(this.#nodes[(first + tries) % this.#nodes.length] as Endpoint, call);
      const verdict = judge(called);
      if (verdict === "settled") return { called, startedMs };
      this.#noteReason(call, called);
      const pauseMs = (this.#options.retryMs ?? RETRY_MS)[tries];
      if (verdict === "over" || pauseMs === undefined) return undefined;
      this.counters.retries += 1;
      await sleep(pauseMs);
    }
  }

  #noteReason({ method }: Call, called: Called): void {
    const { reasons } = this.counters;
    const reason = `${method}: ${called.kind === "silent" ? called.why : `${called.status} ${headerOf(called, "kv-outcome") ?? ""}`}`;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
}

class Client {
  readonly memory = new Map<string, Memory>();
  readonly caller = new Caller(PATIENCE_MS);
  readonly random: SeededRandom;

  constructor(random: SeededRandom) {
    this.random = random;
  }
}

/** What a read found: the values, in the order shown, and the token; undefined when it is no answer. */
export function foundIn(
  called: Called,
): { readonly values: readonly Found[]; readonly context: string | undefined } | undefined {
  if (called.kind === "silent") return undefined;
  const context = headerOf(called, "kv-context");
  if (called.status === 404) return { values: [], context };
  if (called.status === 200)
    return { values: [{ value: called.body, contentType: headerOf(called, "content-type") ?? "" }], context };
  if (called.status !== 300) return undefined;
  const { siblings } = JSON.parse(called.body.toString("utf8")) as {
    readonly siblings: readonly { readonly value?: string; readonly contentType: string }[];
  };
  const values = siblings.map(({ value, contentType }) => ({
    value: value === undefined ? undefined : Buffer.from(value, "base64"),
    contentType,
  }));
  return { values, context };
}

function isTaken(called: Called): boolean {
  return called.kind === "answered" && called.status === 204;
}

/** Whether every other node would say the same. */
function isFinal(called: Called): boolean {
  return called.kind === "answered" && called.status >= 400 && called.status < 500 && called.status !== 429;
}

function mayHaveStuck(called: Called): boolean {
  if (called.kind === "silent") return called.isSent;
  // Below 500 nothing was ever attempted. An error that does not say is taken for the worst.
  return called.status >= 500 && headerOf(called, "kv-outcome") !== "none";
}

function headerOf(called: Called, name: string): string | undefined {
  const value = called.kind === "answered" ? called.headers[name] : undefined;
  return typeof value === "string" ? value : undefined;
}

function contextHeader(memory: Memory | undefined): Record<string, string> {
  return memory === undefined ? {} : { "KV-Context": memory.context };
}

function withQuery(key: string, ...parts: readonly (string | undefined)[]): string {
  const query = parts.filter((part) => part !== undefined).join("&");
  return query === "" ? key : `${key}?${query}`;
}

function keyName(index: number): string {
  return `key-${index}`;
}
