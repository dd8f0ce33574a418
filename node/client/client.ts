/**
 * `annulus/client`: the store as a service in TypeScript uses it.
 *
 * Requests go straight to a home replica of their key (directory.ts, route.ts) and are repeated and hedged within budgets
 * (operation.ts). Contexts are carried where they belong: with what was read (`Found.context`), through `update`, or by a
 * `Session`; never by the client itself, because two flows of one program that share it must not replace what only the
 * other has seen. docs/client.md shows how it is used; its examples run as tests.
 */
import type { Mode } from "../core/ring/document.ts";
import type { Ask } from "./connections.ts";
import { Directory } from "./directory.ts";
import { AnnulusError, SiblingsError } from "./errors.ts";
import { headerOf, type WholeAnswer } from "./exchange.ts";
import type { ClientTls } from "./http.ts";
import { kvPath } from "./keys.ts";
import { newName } from "./names.ts";
import { closedError, type Done, errorOf, type OperationCounters, Operations } from "./operation.ts";
import { bodyOf, type Content, Found, parseReceipt, type Reading, Sibling, Value, type Written } from "./values.ts";

export { AnnulusError, type ClientErrorCode, SiblingsError } from "./errors.ts";
export type { ClientTls } from "./http.ts";
export { type Content, Found, json, type Reading, Sibling, Value, type Written } from "./values.ts";

/** Text (UTF-8) or bytes, 1 .. 1_024 bytes. */
export type Key = string | Uint8Array;

/** Makes one value of several; `undefined`: there is none (all of them count as deleted). */
export type Resolve = (siblings: readonly Sibling[]) => Content | undefined;

export type ClientOptions = {
  /** Data API of one or several nodes, or of their Service; the other members are found from there. */
  readonly urls: readonly string[];
  /** The zone of this program: homes there are preferred. */
  readonly zone?: string;
  /** Settles siblings where a call brings no function of its own. */
  readonly resolve?: Resolve;
  /** How long a call may take, repetitions included, in ms (5_000). */
  readonly timeoutMs?: number;
  /** How long one attempt may go without an answer before another node is asked, in ms (1_500). */
  readonly attemptTimeoutMs?: number;
  /** Attempts of one call at most (10). */
  readonly attemptsMax?: number;
  /** Share of calls that may be repeated in the long run, besides ten a second (0.2); 0: none is. */
  readonly retryRatio?: number;
  /** Share of reads that may ask a second node when the first is later than usual, besides one a second (0.1); 0: none. */
  readonly hedgeRatio?: number;
  /** Connections to each node at once (64). */
  readonly connectionsMax?: number;
  readonly tls?: ClientTls;
  /** Bearer token, where the cluster asks for one. */
  readonly token?: string;
};

/** Choices for one call; what is not said comes from the cluster. */
export type RequestOptions = {
  readonly r?: number;
  readonly w?: number;
  /** Short for `r` and `w`; not together with them. */
  readonly consistency?: "one" | "quorum" | "all";
  readonly mode?: Mode;
  readonly zones?: number;
  /** How long the node may try, in ms: `timeout=` of the API. */
  readonly nodeTimeoutMs?: number;
  /** How long the call may take, repetitions included, in ms. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
};

export type GetOptions = RequestOptions & { readonly resolve?: Resolve };

export type WriteOptions = RequestOptions & {
  /**
   * What the write replaces: a token, or whatever carries one (`Found`, `Written`, `Reading`). A `Reading` of a key that was
   * never written has seen nothing: a put with it replaces nothing.
   */
  readonly context?: string | { readonly context: string | undefined } | undefined;
  /**
   * Names the write, 1 to 64 bytes; sent again by another call, it is the same write, and what that call says otherwise is
   * dropped without an error. A random one when absent.
   */
  readonly idempotencyKey?: string;
};

export type PutOptions = WriteOptions & {
  /** The value counts as deleted after so many whole seconds. */
  readonly ttlSeconds?: number;
  /** What a write without a context does (`overwrite`; `sibling` with a `Reading` that saw nothing). */
  readonly blind?: "overwrite" | "sibling";
  /** Refuses (PRECONDITION_FAILED) when a read finds a value. Not repeated once a replica may hold it. */
  readonly ifAbsent?: boolean;
};

export type UpdateOptions = GetOptions & Pick<PutOptions, "ttlSeconds">;

const DEFAULTS = {
  timeoutMs: 5_000,
  attemptTimeoutMs: 1_500,
  attemptsMax: 10,
  retryRatio: 0.2,
  hedgeRatio: 0.1,
  connectionsMax: 64,
};

/** A node's answer may come this much later than the time that it was given, in ms. */
const GRACE_MS = 500;
/** How often `update` reads anew when a write would pass the limit on siblings. */
const UPDATE_ROUNDS = 3;

/** One cluster, for a whole program; `close` it at the end. */
export class Client {
  readonly #directory: Directory;
  readonly #operations: Operations;
  readonly #resolve: Resolve | undefined;
  readonly #timeoutMs: number;

  /** @throws {TypeError} When there is no URL, or one that cannot be used. */
  constructor(options: ClientOptions) {
    const settled = { ...DEFAULTS, ...options };
    const headers: Record<string, string> =
      options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    this.#directory = new Directory({
      urls: options.urls,
      connectionsMax: settled.connectionsMax,
      timeoutMs: settled.attemptTimeoutMs,
      tls: options.tls,
      headers,
    });
    this.#operations = new Operations(this.#directory, { ...settled, zone: options.zone });
    this.#resolve = options.resolve;
    this.#timeoutMs = settled.timeoutMs;
  }

  /** Calls and what was done for them since the client was made. */
  get counters(): Readonly<OperationCounters> {
    return this.#operations.counters;
  }

  /** Epoch of the ring that requests go by; undefined until a node told one. */
  get epoch(): number | undefined {
    return this.#directory.ring?.epoch;
  }

  /** Names of the members that are home to something and are asked directly, sorted; grows as they are found. */
  get members(): readonly string[] {
    return this.#directory.members;
  }

  /**
   * Reads all that a key has: its value, its siblings, or nothing.
   *
   * @throws {AnnulusError} No answer within the time, or one that no node would give otherwise.
   */
  async read(key: Key, options: RequestOptions = {}): Promise<Reading> {
    const bytes = bytesOf(key);
    const call = { method: "GET", path: kvPath(bytes, queryOf(options)) } as const;
    const done = await this.#run(bytes, call, options, { wish: "near", mayHedge: true, mayRepeatUnknown: true });
    const { answer } = done;
    const about = {
      context: headerOf(answer, "kv-context"),
      node: headerOf(answer, "kv-node"),
      receipt: parseReceipt(headerOf(answer, "kv-receipt")),
    };
    if (answer.status === 404) return { siblings: [], ...about };
    if (answer.status === 200) return { siblings: [onlySibling(answer)], ...about };
    if (answer.status === 300) return { siblings: siblingsOf(answer), ...about };
    throw errorOf(answer, done);
  }

  /**
   * Reads the one value of a key, or what `resolve` makes of its siblings. Nothing is written: the next write with the
   * context that was found settles them.
   *
   * @returns Undefined when there is none: never written, deleted, or resolved to nothing.
   * @throws {SiblingsError} There are siblings, and no `resolve`.
   * @throws {AnnulusError} As `read`.
   */
  async get(key: Key, options: GetOptions = {}): Promise<Found | undefined> {
    const reading = await this.read(key, options);
    return settle(reading, options.resolve ?? this.#resolve);
  }

  /** Writes a value. @throws {AnnulusError} It was not acknowledged; `outcome` says whether it may surface all the same. */
  async put(key: Key, content: Content, options: PutOptions = {}): Promise<Written> {
    const bytes = bytesOf(key);
    const { body, contentType } = bodyOf(content);
    const context = contextOf(options.context);
    const { blind = options.context === undefined ? undefined : "sibling" } = options;
    const query = queryOf(options, { ttl: options.ttlSeconds, blind: context === undefined ? blind : undefined });
    const headers = {
      ...writeHeaders(context, options.idempotencyKey),
      "content-type": contentType,
      ...(options.ifAbsent === true ? { "if-none-match": "*" } : {}),
    };
    const isStampedByFirst = context === undefined && blind !== "sibling" && options.ifAbsent !== true;
    return written(
      await this.#run(bytes, { method: "PUT", path: kvPath(bytes, query), headers, body }, options, {
        wish: isStampedByFirst ? "first" : "near",
        mayHedge: false,
        mayRepeatUnknown: options.ifAbsent !== true,
      }),
    );
  }

  /** Deletes a key: what `context` covers, or what a read would see now. @throws {AnnulusError} As `put`. */
  async delete(key: Key, options: WriteOptions = {}): Promise<Written> {
    const bytes = bytesOf(key);
    const headers = writeHeaders(contextOf(options.context), options.idempotencyKey);
    const call = { method: "DELETE", path: kvPath(bytes, queryOf(options)), headers } as const;
    return written(await this.#run(bytes, call, options, { wish: "near", mayHedge: false, mayRepeatUnknown: true }));
  }

  /**
   * Reads, changes and writes back what was read. Nothing locks the key: of two updates at once both are kept as siblings,
   * and `resolve` brings them together in the next one. `timeoutMs` is for all of it, `change` included.
   *
   * @param change Gets what there is; gives what shall be, or undefined to leave it as it is. May be called again.
   * @returns What was written; undefined when `change` left it.
   * @throws {SiblingsError} There are siblings, and no `resolve`.
   * @throws {AnnulusError} As `read` and `put`.
   */
  async update(
    key: Key,
    change: (current: Found | undefined) => Content | undefined | Promise<Content | undefined>,
    options: UpdateOptions = {},
  ): Promise<Written | undefined> {
    const untilMs = performance.now() + (options.timeoutMs ?? this.#timeoutMs);
    const left = () => ({ ...options, timeoutMs: Math.max(1, untilMs - performance.now()) });
    for (let round = 1; ; round++) {
      const reading = await this.read(key, left());
      const content = await change(settle(reading, options.resolve ?? this.#resolve));
      if (content === undefined) return undefined;
      try {
        return await this.put(key, content, { ...left(), context: reading });
      } catch (error) {
        // One that may surface all the same would be in the value twice, and `change` have been called on both.
        const isCrowded = error instanceof AnnulusError && error.code === "CONFLICT" && error.outcome === "none";
        if (!isCrowded || round === UPDATE_ROUNDS) throw error;
      }
    }
  }

  /** The function that settles siblings where a call brings none. */
  get resolver(): Resolve | undefined {
    return this.#resolve;
  }

  /** A memory of contexts for one line of work; see `Session`. */
  session(): Session {
    return new Session(this);
  }

  /** Closes the connections as they come out of use. Calls after it are refused (CLOSED), and none is repeated any more. */
  close(): void {
    this.#directory.close();
  }

  #run(
    key: Uint8Array,
    call: Ask,
    { signal, timeoutMs, nodeTimeoutMs }: RequestOptions,
    how: { readonly wish: "first" | "near"; readonly mayHedge: boolean; readonly mayRepeatUnknown: boolean },
  ): Promise<Done> {
    if (this.#directory.isClosed) return Promise.reject(closedError({ attempts: 0, isUnknown: false }));
    const attemptTimeoutMs = nodeTimeoutMs === undefined ? undefined : nodeTimeoutMs + GRACE_MS;
    return this.#operations.run({
      key,
      call,
      ...how,
      signal,
      timeoutMs: timeoutMs ?? this.#timeoutMs,
      attemptTimeoutMs,
    });
  }
}

/**
 * One line of work (one request of a web service, one job): what it has read and written of a key is what its next write
 * of that key replaces, and nothing else. It remembers a token for each key that it touched, for as long as it lives; give
 * each line of work its own.
 */
export class Session {
  readonly #client: Client;
  /** Of each key that was touched; undefined: it was seen to be never written. */
  readonly #contexts = new Map<string, string | undefined>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** As `Client.get`; remembers what was seen. */
  async get(key: Key, options: GetOptions = {}): Promise<Found | undefined> {
    const reading = await this.#client.read(key, options);
    // What was seen before stays seen, whatever a replica that is behind says.
    if (reading.context !== undefined || !this.#contexts.has(nameOf(key)))
      this.#contexts.set(nameOf(key), reading.context);
    return settle(reading, options.resolve ?? this.#client.resolver);
  }

  /** As `Client.put`, with the context that is remembered. */
  async put(key: Key, content: Content, options: Omit<PutOptions, "context"> = {}): Promise<Written> {
    const done = await this.#client.put(key, content, { ...options, context: this.#seen(key) });
    this.#contexts.set(nameOf(key), done.context);
    return done;
  }

  /** As `Client.delete`, with the context that is remembered. */
  async delete(key: Key, options: Omit<WriteOptions, "context"> = {}): Promise<Written> {
    const done = await this.#client.delete(key, { ...options, context: this.#seen(key) });
    this.#contexts.set(nameOf(key), done.context);
    return done;
  }

  #seen(key: Key): WriteOptions["context"] {
    const name = nameOf(key);
    return this.#contexts.has(name) ? { context: this.#contexts.get(name) } : undefined;
  }
}

function bytesOf(key: Key): Uint8Array {
  return typeof key === "string" ? Buffer.from(key) : key;
}

function nameOf(key: Key): string {
  return Buffer.from(bytesOf(key)).toString("latin1");
}

function contextOf(context: WriteOptions["context"]): string | undefined {
  return typeof context === "object" ? context.context : context;
}

/** A write always has a name: it may be repeated, and must stay one write. */
function writeHeaders(context: string | undefined, idempotencyKey: string | undefined): Record<string, string> {
  return {
    "idempotency-key": idempotencyKey ?? newName(),
    ...(context === undefined ? {} : { "kv-context": context }),
  };
}

function queryOf(
  { r, w, consistency, mode, zones, nodeTimeoutMs }: RequestOptions,
  { ttl, blind }: { readonly ttl?: number | undefined; readonly blind?: string | undefined } = {},
): string {
  return (
    parameter("r", r) +
    parameter("w", w) +
    parameter("consistency", consistency) +
    parameter("mode", mode) +
    parameter("zones", zones) +
    parameter("timeout", nodeTimeoutMs) +
    parameter("ttl", ttl) +
    parameter("blind", blind)
  ).slice(1);
}

/** Behind an ampersand; empty where the cluster decides. */
function parameter(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : `&${name}=${encodeURIComponent(value)}`;
}

function onlySibling(answer: WholeAnswer): Sibling {
  const value = new Value(answer.body, headerOf(answer, "content-type") ?? "application/octet-stream");
  return new Sibling(value, { isDeleted: false, writtenAt: undefined });
}

type SiblingJson = {
  readonly contentType: string;
  readonly value?: string;
  readonly writtenAt: string;
  readonly deleted: boolean;
};

function siblingsOf({ body }: WholeAnswer): readonly Sibling[] {
  const { siblings } = JSON.parse(body.toString("utf8")) as { readonly siblings: readonly SiblingJson[] };
  return siblings.map(({ contentType, value = "", writtenAt, deleted }) => {
    const bytes = new Value(Buffer.from(value, "base64"), contentType);
    return new Sibling(bytes, { isDeleted: deleted, writtenAt: new Date(writtenAt) });
  });
}

/** @throws {SiblingsError} There are several, and nothing settles them. */
function settle({ siblings, context = "", node }: Reading, resolve: Resolve | undefined): Found | undefined {
  const [only] = siblings;
  if (only === undefined) return undefined;
  if (siblings.length === 1) return new Found(only, { context, siblings: 1 });
  if (resolve === undefined) throw new SiblingsError(siblings, context, node);
  const content = resolve(siblings);
  if (content === undefined) return undefined;
  const { body, contentType } = bodyOf(content);
  return new Found(new Value(Buffer.from(body), contentType), { context, siblings: siblings.length });
}

/** @throws {AnnulusError} The write was not taken. */
function written({ answer, attempts, isUnknown }: Done): Written {
  const context = headerOf(answer, "kv-context");
  if (answer.status !== 204 || context === undefined) {
    throw errorOf(answer, { attempts, isUnknown: isUnknown || answer.status < 400 });
  }
  return { context, node: headerOf(answer, "kv-node"), receipt: parseReceipt(headerOf(answer, "kv-receipt")) };
}
