/**
 * A plain causal-history model beside the real thing: replicas of one key, clients with tokens, a network that
 * loses, repeats and reorders records.
 *
 * Every stamped dot has its history written out as a set of dots; every replica and every token has the set of dots it
 * knows. No vectors, no contexts, no encoding: what the code under test packs into a few numbers is here a list of names.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { standingSiblings } from "../../../node/core/version/closure.ts";
import { covers, EMPTY_CONTEXT } from "../../../node/core/version/context.ts";
import { decodeToken, encodeToken } from "../../../node/core/version/context-codec.ts";
import { mergeEncoded } from "../../../node/core/version/merge-encoded.ts";
import {
  type CausalContext,
  type Dot,
  type EventKind,
  type KvRecord,
  mergeRecords,
} from "../../../node/core/version/record.ts";
import { decodeRecord, encodeRecord } from "../../../node/core/version/record-codec.ts";
import { EVENTS_MAX } from "../../../node/core/version/retention.ts";
import { type StampBase, type Stamped, stampWrite } from "../../../node/core/version/stamp.ts";

export const KEY = Buffer.from("the key");
/** Not in the order of the replicas, and equal in parts, as ids may be. */
export const ACTORS = ["c0", "07", "c1", "ff", "06"].map((byte, index) => `${byte.repeat(15)}a${index}`);
const CLIENTS = 3;
const STAMPS_MAX = 40;
export const START_MS = 1_760_000_000_000;

type DotName = string;
/** What a dot stands for: a name that all dots of one event share. */
type StampedDot = {
  readonly dot: Dot;
  readonly history: ReadonlySet<DotName>;
  readonly event: string;
  readonly isOverwrite: boolean;
};
type Token = { readonly context: CausalContext; readonly known: ReadonlySet<DotName> };
/** The model's replica: what it knows of, holds as a value, and has the event of. */
type Knowledge = {
  readonly known: ReadonlySet<DotName>;
  readonly live: ReadonlySet<DotName>;
  readonly events: ReadonlySet<DotName>;
};
type Replica = {
  readonly actor: string;
  incarnation: number;
  counter: number;
  bytes: Uint8Array | undefined;
  knowledge: Knowledge;
};
type SentRecord = { readonly bytes: Uint8Array; readonly knowledge: Knowledge };
type WriteRequest = {
  readonly client: number;
  readonly base: "context" | "overwrite" | "sibling";
  readonly token: Token | undefined;
  readonly event: { readonly kind: EventKind; readonly id: Uint8Array } | undefined;
  readonly value: Uint8Array | undefined;
};

const NO_KNOWLEDGE: Knowledge = { known: new Set(), live: new Set(), events: new Set() };

export type Command =
  | {
      readonly kind: "write";
      readonly replica: number;
      readonly client: number;
      readonly base: WriteRequest["base"];
      readonly event: EventKind | undefined;
      readonly deletes: boolean;
    }
  | { readonly kind: "retry"; readonly replica: number; readonly request: number; readonly isRefreshed: boolean }
  | { readonly kind: "read"; readonly client: number; readonly replicas: readonly number[] }
  | { readonly kind: "send"; readonly replica: number }
  | { readonly kind: "deliver"; readonly sent: number; readonly to: number; readonly isRepeated: boolean }
  | { readonly kind: "restart"; readonly replica: number }
  | { readonly kind: "wait"; readonly ms: number };

const small = fc.nat({ max: 63 });

function commandArbitrary(waitMsMax: number): fc.Arbitrary<Command> {
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("write" as const),
        replica: small,
        client: small,
        base: fc.constantFrom("context" as const, "overwrite" as const, "sibling" as const),
        event: fc.constantFrom(undefined, "client" as const, "forward" as const),
        deletes: fc.nat({ max: 5 }).map((n) => n === 0),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("retry" as const),
        replica: small,
        request: small,
        isRefreshed: fc.nat({ max: 4 }).map((n) => n === 0),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant("read" as const),
        client: small,
        replicas: fc.array(small, { minLength: 1, maxLength: 2 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("send" as const), replica: small }) },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant("deliver" as const), sent: small, to: small, isRepeated: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), replica: small }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat({ max: waitMsMax }) }) },
  );
}

export type Script = { readonly replicas: number; readonly commands: readonly Command[] };

/** Scripts over 3 to 5 replicas. `waitMsMax` bounds a single pause; events are forgotten only by long ones. */
export function scriptArbitrary({ waitMsMax = 100, commandsMax = 45 } = {}): fc.Arbitrary<Script> {
  return fc.record({
    replicas: fc.integer({ min: 3, max: ACTORS.length }),
    commands: fc.array(commandArbitrary(waitMsMax), { minLength: 5, maxLength: commandsMax, size: "max" }),
  });
}

export function nameOf(dot: Dot): DotName {
  return `${dot.actor}/${dot.incarnation}/${dot.counter}`;
}

export class World {
  readonly replicas: Replica[];
  readonly stamps = new Map<DotName, StampedDot>();
  readonly sent: SentRecord[] = [];
  /** Every record that any replica ever held. */
  readonly past: { readonly replica: number; readonly record: KvRecord }[] = [];
  readonly #tokens: (Token | undefined)[] = new Array(CLIENTS).fill(undefined);
  readonly #requests: WriteRequest[] = [];
  readonly #eventsPerKindMax: number;
  readonly #isModelled: boolean;
  readonly #eventCounts = { client: 0, forward: 0 };
  #refreshed: WriteRequest | undefined;
  #stampCount = 0;
  #nowMs = START_MS;

  /**
   * @param eventsPerKindMax Dots with a name that are stamped per kind. Up to 8 no event is ever forgotten, and all is
   *   checked against the model; with more there is no model, only the records.
   */
  constructor(replicas: number, eventsPerKindMax: number) {
    this.#eventsPerKindMax = eventsPerKindMax;
    this.#isModelled = eventsPerKindMax <= EVENTS_MAX.forward;
    this.replicas = ACTORS.slice(0, replicas).map((actor) => ({
      actor,
      incarnation: 1,
      counter: 0,
      bytes: undefined,
      knowledge: NO_KNOWLEDGE,
    }));
  }

  run({ commands }: Script, check: (world: World, touched: number) => void): void {
    for (const command of commands) {
      const touched = this.step(command);
      if (touched === undefined) continue;
      const record = this.record(touched);
      if (record !== undefined) this.past.push({ replica: touched, record });
      check(this, touched);
    }
  }

  /** Carries out one command and returns the replica that it touched. */
  step(command: Command): number | undefined {
    switch (command.kind) {
      case "write":
        return this.#write(command);
      case "retry":
        return this.#retry(command);
      case "read":
        this.#read(command.client % CLIENTS, command.replicas);
        return undefined;
      case "send": {
        const { bytes, knowledge } = this.#replica(command.replica);
        if (bytes !== undefined) this.sent.push({ bytes, knowledge });
        return undefined;
      }
      case "deliver":
        return this.#deliver(command);
      case "restart":
        this.#replica(command.replica).incarnation += 1;
        return undefined;
      case "wait":
        this.#nowMs += command.ms;
        return undefined;
    }
  }

  record(replica: number): KvRecord | undefined {
    const { bytes } = this.#replica(replica);
    return bytes === undefined ? undefined : decodeRecord(bytes);
  }

  knowledge(replica: number): Knowledge {
    return this.#replica(replica).knowledge;
  }

  /** What all replicas would hold once everything had been exchanged. */
  converged(): KvRecord | undefined {
    let merged: Uint8Array | undefined;
    for (const { bytes } of this.replicas) if (bytes !== undefined) merged = mergeEncoded(merged, bytes).bytes;
    return merged === undefined ? undefined : decodeRecord(merged);
  }

  #replica(index: number): Replica {
    return this.replicas[index % this.replicas.length] as Replica;
  }

  #write(command: Command & { kind: "write" }): number | undefined {
    const client = command.client % CLIENTS;
    const kind = command.event;
    const event =
      kind === undefined || this.#eventCounts[kind] >= this.#eventsPerKindMax
        ? undefined
        : { kind, id: Buffer.from(`${this.#requests.length}`) };
    const value = command.deletes ? undefined : Buffer.from(`value ${this.#requests.length}`);
    const request = { client, base: command.base, token: this.#tokens[client], event, value };
    this.#requests.push(request);
    return this.#stamp(command.replica, request);
  }

  #retry(command: Command & { kind: "retry" }): number | undefined {
    const named = this.#requests.filter(({ event }) => event !== undefined);
    const request = named[command.request % Math.max(1, named.length)];
    if (request?.event === undefined || this.#eventCounts[request.event.kind] >= this.#eventsPerKindMax)
      return undefined;
    // At most one request is ever sent again with another context than before: see `checkConverged`.
    const isRefreshed = command.isRefreshed && (this.#refreshed ?? request) === request;
    if (isRefreshed) this.#refreshed = request;
    const token = isRefreshed ? this.#tokens[request.client] : request.token;
    return this.#stamp(command.replica, { ...request, token });
  }

  #stamp(index: number, request: WriteRequest): number | undefined {
    if (this.#stampCount >= STAMPS_MAX) return undefined;
    const replica = this.#replica(index);
    const record = this.record(index);
    replica.counter += 1 + (replica.counter % 3);
    const dot: Dot = { actor: replica.actor, incarnation: replica.incarnation, counter: replica.counter };
    const base: StampBase =
      request.base === "context"
        ? { kind: "context", context: request.token?.context ?? EMPTY_CONTEXT }
        : { kind: request.base };
    const content = { value: request.value, contentType: "text/plain", expiresAtMs: undefined };
    const stamped = stampWrite({
      record,
      dot,
      base,
      content,
      event: request.event,
      nowMs: this.#nowMs,
      limits: { siblingsMax: 1_000, siblingBytesMax: 1 << 20 },
    });
    this.#stampCount += 1;
    const known = !this.#isModelled ? new Set<DotName>() : this.#applyToModel(replica, request, stamped, dot);
    replica.bytes = encodeRecord(stamped.record);
    this.#tokens[request.client] = this.#checkedToken(stamped.token, known);
    return index % this.replicas.length;
  }

  /** The same write on plain sets; returns what its token has to cover. */
  #applyToModel(replica: Replica, request: WriteRequest, stamped: Stamped, dot: Dot): ReadonlySet<DotName> {
    const { known, live, events } = replica.knowledge;
    const event = request.event === undefined ? nameOf(dot) : `${request.event.kind} ${Buffer.from(request.event.id)}`;
    const earlier = [...events].filter((name) => this.#stampOf(name).event === event);
    const base: ReadonlySet<DotName> = request.base === "context" ? (request.token?.known ?? new Set()) : new Set();
    if (request.event !== undefined && earlier.length > 0) {
      assert(stamped.repeated, "a write that the replica has the event of was stamped again");
      const isAlone = this.standing(replica.knowledge).every((name) => earlier.includes(name));
      const isHeld = earlier.some((name) => live.has(name));
      const replaced = earlier.filter((name) => live.has(name)).flatMap((name) => [...this.#stampOf(name).history]);
      return isAlone && isHeld ? known : new Set([...base, ...earlier, ...replaced]);
    }
    assert(!stamped.repeated, "a new write was taken for a repetition");
    const name = nameOf(dot);
    const history = request.base === "overwrite" ? known : base;
    this.stamps.set(name, { dot, history, event, isOverwrite: request.base === "overwrite" });
    if (request.event !== undefined) this.#eventCounts[request.event.kind] += 1;
    const draft: Knowledge = {
      known: new Set([...known, ...history, name]),
      live: new Set([...[...live].filter((held) => !history.has(held)), name]),
      events: request.event === undefined ? events : new Set([...events, name]),
    };
    const standing = this.standing(draft);
    replica.knowledge = draft;
    return standing.length === 1 ? draft.known : new Set([...history, name]);
  }

  /** The closure over events, on plain sets and with every history at hand. */
  standing({ live, events }: Knowledge): readonly DotName[] {
    const dotsOf = (event: string) => [...events].filter((name) => this.#stampOf(name).event === event);
    const names = new Set([...events].map((name) => this.#stampOf(name).event));
    const splitsAnother = (name: DotName): boolean => {
      const { event, history, isOverwrite } = this.#stampOf(name);
      const others = [...names].filter((other) => other !== event).map(dotsOf);
      const isSplit = (dots: readonly DotName[]) => new Set(dots.map((dot) => history.has(dot))).size === 2;
      return isOverwrite && others.some(isSplit);
    };
    const falls = (event: string): boolean => {
      const held = dotsOf(event).filter((name) => live.has(name));
      const explained = new Set(held.flatMap((name) => [name, ...this.#stampOf(name).history]));
      return dotsOf(event).some((name) => !explained.has(name)) && !held.some(splitsAnother);
    };
    const standing = [...live].filter((name) => !events.has(name) || !falls(this.#stampOf(name).event));
    return standing.length === 0 ? [...live] : standing;
  }

  #stampOf(name: DotName): StampedDot {
    const stamp = this.stamps.get(name);
    assert(stamp !== undefined, "the model knows a dot that was never stamped");
    return stamp;
  }

  #read(client: number, replicas: readonly number[]): void {
    let record: KvRecord | undefined;
    const known = new Set<DotName>();
    for (const index of replicas) {
      const theirs = this.record(index);
      if (theirs === undefined) continue;
      record = record === undefined ? theirs : mergeRecords(record, theirs);
      for (const name of this.knowledge(index).known) known.add(name);
    }
    this.#tokens[client] = this.#checkedToken(record?.context ?? EMPTY_CONTEXT, known);
  }

  /** A token after its way to the client and back. */
  #checkedToken(context: CausalContext, known: ReadonlySet<DotName>): Token {
    const returned = decodeToken(encodeToken(context, KEY), KEY);
    this.checkCovers(returned, known, "a token");
    return { context: returned, known };
  }

  /** Fails unless the context covers exactly these of all dots that exist. */
  checkCovers(context: CausalContext, known: ReadonlySet<DotName>, what: string): void {
    if (!this.#isModelled) return;
    for (const [name, { dot }] of this.stamps)
      assert.equal(
        covers(context, dot),
        known.has(name),
        `${what} covers ${name}: ${!known.has(name)}, expected ${known.has(name)}`,
      );
  }

  #deliver({ sent, to, isRepeated }: Command & { kind: "deliver" }): number | undefined {
    if (this.sent.length === 0) return undefined;
    const at = sent % this.sent.length;
    const { bytes, knowledge } = this.sent[at] as SentRecord;
    if (!isRepeated) this.sent.splice(at, 1);
    const replica = this.#replica(to);
    replica.bytes = mergeEncoded(replica.bytes, bytes).bytes;
    const ours = replica.knowledge;
    const live = [...ours.live].filter((name) => knowledge.live.has(name) || !knowledge.known.has(name));
    const arrived = [...knowledge.live].filter((name) => !ours.known.has(name));
    replica.knowledge = {
      known: new Set([...ours.known, ...knowledge.known]),
      live: new Set([...live, ...arrived]),
      events: new Set([...ours.events, ...knowledge.events]),
    };
    return to % this.replicas.length;
  }
}

/** The events of the values that a record shows, through the code under test. */
export function shownEvents(world: World, record: KvRecord): ReadonlySet<string> {
  return new Set(standingSiblings(record).map((sibling) => world.stamps.get(nameOf(sibling.dot))?.event ?? "unknown"));
}
