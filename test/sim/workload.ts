/**
 * Clients of a simulated cluster: they read, write with what they read, write blindly, delete, and try again, through
 * any node, and everything they did and were told goes into the history.
 */
import assert from "node:assert/strict";
import { KvError } from "../../node/core/errors.ts";
import { decodeToken } from "../../node/core/version/context-codec.ts";
import type { Base, Coordinator, RequestOptions, WriteAnswer } from "../../node/services/coordinator.ts";
import { Acknowledgements, type Asked } from "./acknowledgements.ts";
import { Client, type Memory } from "./client.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { Copies } from "./copies.ts";
import { depthOf, promiseOf } from "./demands.ts";
import type { History, Stamping, Write, WriteId } from "./history.ts";
import { isHeld } from "./holdings.ts";
import type { SeededRandom } from "./random.ts";
import { checkReadReceipt, homesWithout } from "./receipts.ts";
import { Repetitions } from "./repetitions.ts";
import { drawRead, drawWrite, PLAIN, tellChoices, type WriteChoices } from "./request-choices.ts";
import { contentOf, idsOf } from "./values.ts";

export type Doing = "read" | "context" | "overwrite" | "sibling" | "remove";

export type WorkloadOptions = {
  readonly clients: number;
  readonly keys: number;
  /** Longest pause of a client between two operations, in ms. */
  readonly thinkMsMax: number;
  /** What a client does next is drawn from these; more of one, more often. */
  readonly mix: readonly Doing[];
  /**
   * Of so many keys, the first ones, nothing is ever overwritten or deleted blindly: of each write of theirs it is known
   * exactly what it replaced.
   */
  readonly keysKnown: number;
};

export type WorkloadCounters = {
  operations: number;
  acknowledged: number;
  unknown: number;
  refused: number;
  retried: number;
  /** Reads that showed more than one value, or a value beside a deletion. */
  siblings: number;
};

const RETRIES_MAX = 3;
/** A coordinator that was reached gives up after this long, and so does who was asked to stamp for it. */
const COORDINATOR_MS = 1_000;
/**
 * How much later than that a stamp may still be made: what the delay of a request may exceed its sender's guess by, where
 * clocks drift apart and the quickest frame so far was not quick (node/adapters/tcp/delay-meter.ts).
 */
const STAMP_SLACK_MS = 250;
/** How long one key is the hot one. */
const HOT_MS = [500, 5_000] as const;
/** Of what a client had seen, so many are told. */
const PAST_TOLD = 4;

export class Workload {
  readonly counters: WorkloadCounters = {
    operations: 0,
    acknowledged: 0,
    unknown: 0,
    refused: 0,
    retried: 0,
    siblings: 0,
  };
  /** What was asked for beyond what the ring says, and granted. */
  readonly granted = new Map<string, number>();
  readonly #cluster: SimulatedCluster;
  readonly #history: History;
  readonly #copies: Copies;
  readonly #options: WorkloadOptions;
  readonly #repetitions: Repetitions;
  #running = true;
  #hotKey = 0;

  /** @param watchers `copies` looks after what was acknowledged. */
  constructor(
    cluster: SimulatedCluster,
    watchers: { readonly history: History; readonly copies: Copies },
    options: WorkloadOptions,
  ) {
    this.#cluster = cluster;
    this.#history = watchers.history;
    this.#copies = watchers.copies;
    this.#options = options;
    this.#repetitions = new Repetitions(cluster, COORDINATOR_MS + STAMP_SLACK_MS);
    this.#turn(cluster.random.stream("hot keys"));
    for (let i = 0; i < options.clients; i++) {
      const client = new Client(`client ${i}`, cluster.random);
      this.#next(client);
    }
  }

  /** Another key is the one that most clients come for. */
  #turn(random: SeededRandom): void {
    if (!this.#running) return;
    this.#hotKey = random.below(this.#options.keys);
    this.#cluster.simulator.after(random.between(...HOT_MS), () => this.#turn(random));
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
    const { keys, keysKnown, mix } = this.#options;
    // Much goes to one key at a time: what is wrong for a moment shows only to who comes at that moment.
    const number = random.chance([1, 2]) ? this.#hotKey : random.below(keys);
    const key = `key ${number}`;
    const isKnown = number < keysKnown;
    switch (random.pick(mix)) {
      case "read":
        await this.#read(client, key);
        // Once more at once, through any node: what was shown has to stay.
        return random.chance([1, 2]) ? this.#read(client, key) : undefined;
      case "context":
        return this.#update(client, key);
      case "overwrite":
        if (isKnown) return this.#update(client, key);
        return this.#write(client, key, "overwrite", undefined);
      case "sibling":
        return this.#write(client, key, "sibling", undefined);
      case "remove": {
        if (isKnown && client.memory.get(key) === undefined) await this.#read(client, key);
        const memory = isKnown || random.chance([1, 2]) ? client.memory.get(key) : undefined;
        if (isKnown && memory === undefined) return;
        return this.#remove(client, key, memory);
      }
    }
  }

  /** Writes on top of what the client knows, and reads first when it knows nothing. */
  async #update(client: Client, key: string): Promise<void> {
    if (client.memory.get(key) === undefined) await this.#read(client, key);
    const memory = client.memory.get(key);
    return this.#write(client, key, memory === undefined ? "sibling" : "context", memory);
  }

  async #read(client: Client, key: string): Promise<void> {
    this.counters.operations += 1;
    const options = this.#choices(client);
    const startedMs = this.#nowMs;
    const lacking = homesWithout(this.#cluster, bytesOf(key));
    const { answer: asked } = client.ask(this.#cluster, `read ${key}${tellChoices(options)}`, (coordinator) =>
      coordinator.get(bytesOf(key), options),
    );
    const answer = await asked;
    if (answer === undefined || answer instanceof KvError) return this.#note(client, answer);
    const shown = idsOf(answer.siblings, key, this.#history.writes);
    const depth = depthOf(this.#cluster, options);
    const { zones } = options;
    checkReadReceipt(this.#cluster, bytesOf(key), answer, { ...depth, zones, startedMs, lacking });
    const context = answer.context === undefined ? undefined : decodeToken(answer.context, bytesOf(key));
    const read = { key, startedMs, endedMs: this.#nowMs, shown, ...depth, context };
    this.#grant(options);
    this.#cluster.simulator.tell(`${client.name} read ${key}: [${shown}]`);
    if (answer.siblings.length > 1) this.counters.siblings += 1;
    this.#history.checkRead(read);
    this.#history.reads.push(read);
    if (answer.context !== undefined)
      client.memory.set(key, { context: answer.context, past: this.#history.pastOf(shown) });
    this.counters.acknowledged += 1;
  }

  #grant(options: RequestOptions, { ttlS, onlyIfAbsent }: Omit<WriteChoices, "options"> = {}): void {
    const wishes = { ...options, ttlS, onlyIfAbsent };
    for (const [name, wish] of Object.entries(wishes))
      if (wish !== undefined) this.granted.set(name, (this.granted.get(name) ?? 0) + 1);
  }

  async #write(client: Client, key: string, kind: Write["kind"], memory: Memory | undefined): Promise<void> {
    const choices = this.#wishes(client, { isDelete: false, mayCreate: kind === "sibling" });
    const { options, ttlS, onlyIfAbsent } = choices;
    const write = this.#history.begin({
      key,
      // What is made where nothing is replaces only what it has seen to be gone.
      kind: onlyIfAbsent === true ? "context" : kind,
      isDelete: false,
      promise: promiseOf(this.#cluster, options),
      ...(ttlS === undefined ? {} : { ttlMs: ttlS * 1_000 }),
      isNamed: client.random.chance([2, 3]),
      past: memory?.past ?? new Set(),
      startedMs: this.#nowMs,
    });
    const base: Base =
      memory === undefined ? (kind === "overwrite" ? "overwrite" : "sibling") : { context: memory.context };
    const put = { key: bytesOf(key), base, ttlS, onlyIfAbsent };
    const context = await this.#repeat(client, { write, choices }, (coordinator, idempotencyKey, isFirstAttempt) =>
      coordinator.put({ ...put, ...contentOf(write), idempotencyKey, isFirstAttempt }, options),
    );
    if (context === undefined) client.memory.delete(key);
    else client.memory.set(key, { context, past: this.#history.pastOf([write.id]) });
  }

  /** A deletion without a context deletes what a read would see: nobody knows which writes that was. */
  async #remove(client: Client, key: string, memory: Memory | undefined): Promise<void> {
    const kind = memory === undefined ? "overwrite" : "context";
    const choices = this.#wishes(client, { isDelete: true, mayCreate: false });
    const write = this.#history.begin({
      promise: promiseOf(this.#cluster, choices.options),
      key,
      kind,
      isDelete: true,
      isNamed: client.random.chance([2, 3]),
      past: memory?.past ?? new Set(),
      startedMs: this.#nowMs,
    });
    await this.#repeat(client, { write, choices }, (coordinator, idempotencyKey) =>
      coordinator.delete({ key: bytesOf(key), context: memory?.context, idempotencyKey }, choices.options),
    );
    client.memory.delete(key);
  }

  /** Tries a write until somebody says what became of it, through one node after the other, as one event. */
  async #repeat(
    client: Client,
    { write, choices }: { readonly write: Write; readonly choices: WriteChoices },
    attempt: (
      coordinator: Coordinator,
      idempotencyKey: Uint8Array | undefined,
      isFirstAttempt: boolean,
    ) => Promise<WriteAnswer>,
  ): Promise<string | undefined> {
    this.counters.operations += 1;
    const name = write.isNamed ? bytesOf(`write ${write.id}`) : undefined;
    let restamps = 0;
    let stampableUntilMs = write.startedMs;
    const acknowledgements = this.#acknowledgementsOf(write, { options: choices.options, name });
    const whenLost = (given: WriteAnswer | KvError) => acknowledgements.take(given);
    for (let tries = 0; tries <= RETRIES_MAX; tries++) {
      const attemptedMs = this.#nowMs;
      const asked = client.ask(
        this.#cluster,
        `${describe(write)}${tellChoices(choices.options, choices)}`,
        (coordinator) => attempt(coordinator, name, tries === 0),
        whenLost,
      );
      const answer = await asked.answer;
      restamps += asked.restamps();
      this.#note(client, answer);
      if (answer !== undefined && !(answer instanceof KvError)) {
        this.#cluster.simulator.tell(`${client.name} wrote ${describe(write)}`);
        acknowledgements.take(answer);
        if (tries === 0) this.#checkCreation(write, choices, { attemptedMs, token: answer.context });
        this.#grant(choices.options, choices);
        this.#history.end(write, "acknowledged", this.#nowMs, {
          restamps,
          stampableUntilMs: Math.max(stampableUntilMs, this.#nowMs),
          ...this.#knownOf(write.key, answer.context),
        });
        this.counters.acknowledged += 1;
        acknowledgements.ended();
        if (acknowledgements.isRemembered && this.#cluster.options.requests?.repetitions === true)
          this.#repetitions.begin(write, {
            send: (coordinator) => attempt(coordinator, name, false),
            acknowledgements,
          });
        return answer.context;
      }
      const maySurface = asked.reachedMs() !== undefined && (answer === undefined || answer.outcome === "unknown");
      if (maySurface) {
        write.unknownTries += 1;
        stampableUntilMs = Math.max(this.#nowMs, (asked.reachedMs() ?? 0) + COORDINATOR_MS + STAMP_SLACK_MS);
      }
      if (answer !== undefined) acknowledgements.take(answer);
      if (answer instanceof KvError && answer.code === "PRECONDITION_FAILED") {
        const isKnown = this.#history.mayHaveValue(write.key, write.unknownTries > 0 ? undefined : write);
        assert(isKnown, `write ${write.id} was told that ${write.key} has a value, and nobody wrote one`);
        this.granted.set("refused creation", (this.granted.get("refused creation") ?? 0) + 1);
      }
      // Without a name a second try would be a second write.
      if ((write.unknownTries > 0 && !write.isNamed) || client.random.chance([1, 2])) break;
      this.counters.retried += 1;
    }
    const maySurface = write.unknownTries > 0;
    this.#cluster.simulator.tell(
      `${client.name} gave up ${maySurface ? "not knowing" : "knowing that nothing stuck"}: ${describe(write)}`,
    );
    // A write of unknown outcome never ends: it may surface whenever the replica that holds it is heard of again. But
    // what it replaces was there when it was stamped.
    const endedMs = maySurface ? Number.POSITIVE_INFINITY : this.#nowMs;
    this.#history.end(write, maySurface ? "unknown" : "none", endedMs, { stampableUntilMs });
    return undefined;
  }

  /** What the token of an acknowledged write says, and whether the disks bear it out. */
  #knownOf(key: string, answered: string): Pick<Stamping, "token" | "held"> {
    const token = decodeToken(answered, bytesOf(key));
    return { token, held: isHeld(this.#cluster, key, token) ? token : undefined };
  }

  #acknowledgementsOf(write: Write, asked: Asked): Acknowledgements {
    const watchers = { cluster: this.#cluster, history: this.#history, copies: this.#copies };
    return new Acknowledgements(watchers, write, { ...asked, stampingMs: COORDINATOR_MS + STAMP_SLACK_MS });
  }

  /** Who was told to create a key has been told that it had no value: that is a read of nothing, and is checked as one. */
  #checkCreation(
    { key }: Write,
    { options, onlyIfAbsent }: WriteChoices,
    { attemptedMs, token }: { readonly attemptedMs: number; readonly token: string },
  ): void {
    if (onlyIfAbsent !== true) return;
    const context = decodeToken(token, bytesOf(key));
    const read = { key, startedMs: attemptedMs, endedMs: this.#nowMs, shown: [], context };
    this.#history.checkSeen({ ...read, ...depthOf(this.#cluster, options) });
  }

  #note(client: Client, answer: unknown): void {
    if (answer === undefined) this.counters.unknown += 1;
    else if (answer instanceof KvError) this.counters[answer.outcome === "unknown" ? "unknown" : "refused"] += 1;
    if (answer === undefined || answer instanceof KvError)
      this.#cluster.simulator.note(`${client.name} was told ${answer === undefined ? "nothing" : answer.message}`);
  }

  get #nowMs(): number {
    return this.#cluster.simulator.nowMs;
  }

  #choices({ random, wishes }: Client): RequestOptions {
    const { options } = this.#cluster;
    const { replicationFactor, requests = PLAIN } = options;
    const more = drawRead(requests, wishes, options);
    return random.chance([1, 4]) ? { ...more, readQuorum: random.between(1, replicationFactor) } : more;
  }

  #wishes({ wishes }: Client, what: { readonly isDelete: boolean; readonly mayCreate: boolean }): WriteChoices {
    const { requests = PLAIN, ...bounds } = this.#cluster.options;
    return drawWrite(requests, wishes, { ...bounds, ...what });
  }
}

function describe({ id, key, kind, isDelete, past, startedMs }: Write): string {
  return `${id} to ${key}: ${isDelete ? "delete" : "put"}, ${kind} over [${tellPast(past)}], begun at ${startedMs.toFixed(1)}`;
}

/** The newest of them: what they had seen goes without saying. */
function tellPast(past: ReadonlySet<WriteId>): string {
  const newest = [...past].sort((a, b) => b - a).slice(0, PAST_TOLD);
  return past.size > PAST_TOLD ? `${newest}, and ${past.size - PAST_TOLD} older` : `${newest}`;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
