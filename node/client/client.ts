/**
 * `annulus/client`: the store as a service in TypeScript uses it.
 *
 * Requests go straight to a home replica of their key (directory.ts, route.ts) and are repeated and hedged within budgets
 * (operation.ts). Contexts are carried where they belong: with what was read (`Found.context`), through `update`, or by a
 * `Session`; never by the client itself, because two flows of one program that share it must not replace what only the
 * other has seen. docs/client.md shows how it is used; its examples run as tests.
 */
import "./node-version.ts";
import { readingOf, settle, writtenOf } from "./answers.ts";
import type { Ask } from "./connections.ts";
import { Directory } from "./directory.ts";
import { AnnulusError } from "./errors.ts";
import { closedError, overError } from "./failure.ts";
import { kvPath } from "./keys.ts";
import { type Done, type OperationCounters, Operations } from "./operation.ts";
import {
  type ClientOptions,
  callTimeOf,
  type GetOptions,
  type Key,
  type PutOptions,
  type RequestOptions,
  type Resolve,
  settledOf,
  type UpdateOptions,
  type WriteOptions,
} from "./options.ts";
import { atMost, LATE } from "./pause.ts";
import { ATTEMPT_HEADER, bytesOf, contextOf, nameOf, queryOf, writeHeaders } from "./request.ts";
import { tlsFaultOf } from "./tls-fault.ts";
import { bodyOf, type Content, type Found, type Reading, type Written } from "./values.ts";

export { AnnulusError, type ClientErrorCode, SiblingsError } from "./errors.ts";
export type { ClientTls } from "./http.ts";
export type {
  ClientOptions,
  GetOptions,
  Key,
  PutOptions,
  RequestOptions,
  Resolve,
  UpdateOptions,
  WriteOptions,
} from "./options.ts";
export { type Content, Found, json, type Reading, Sibling, Value, type Written } from "./values.ts";

/** A node's answer may come this much later than the time that it was given, in ms. */
const GRACE_MS = 500;
/** How often `update` reads anew when a write would pass the limit on siblings. */
const UPDATE_ROUNDS = 3;

/** Nothing of a call was sent. */
const UNASKED = { attempts: 0, isUnknown: false, idempotencyKey: undefined };

/** One cluster, for a whole program; `close` it at the end. */
export class Client {
  readonly #directory: Directory;
  readonly #operations: Operations;
  readonly #resolve: Resolve | undefined;
  readonly #timeoutMs: number;

  /** @throws {TypeError} When there is no URL, or an option that cannot be used. */
  constructor(options: ClientOptions) {
    const settled = settledOf(options);
    const tlsFault = tlsFaultOf(options.tls ?? {});
    if (tlsFault !== undefined) throw new TypeError(`Cannot use the option tls: ${tlsFault}.`);
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
    return readingOf(await this.#run(bytes, call, options, { wish: "near", mayHedge: true }));
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
    const isStampedByFirst = context === undefined && blind !== "sibling" && options.ifAbsent !== true;
    // A name of the caller's may have been sent before.
    const isNamedHere = isStampedByFirst && options.idempotencyKey === undefined;
    const headers = {
      ...writeHeaders(context, options.idempotencyKey),
      "content-type": contentType,
      ...(options.ifAbsent === true ? { "if-none-match": "*" } : {}),
      ...(isNamedHere ? { [ATTEMPT_HEADER]: "1" } : {}),
    };
    return writtenOf(
      await this.#run(bytes, { method: "PUT", path: kvPath(bytes, query), headers, body }, options, {
        wish: isStampedByFirst ? "first" : "near",
        mayHedge: false,
      }),
    );
  }

  /** Deletes a key: what `context` covers, or what a read would see now. @throws {AnnulusError} As `put`. */
  async delete(key: Key, options: WriteOptions = {}): Promise<Written> {
    const bytes = bytesOf(key);
    const headers = writeHeaders(contextOf(options.context), options.idempotencyKey);
    const call = { method: "DELETE", path: kvPath(bytes, queryOf(options)), headers } as const;
    return writtenOf(await this.#run(bytes, call, options, { wish: "near", mayHedge: false }));
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
    const { signal } = options;
    const left = () => ({ ...options, timeoutMs: untilMs - performance.now() });
    for (let round = 1; ; round++) {
      const reading = await this.read(key, left());
      const changing = Promise.resolve(change(settle(reading, options.resolve ?? this.#resolve)));
      const content = await atMost(changing, Math.max(0, callTimeOf(untilMs - performance.now())), signal);
      if (content === LATE) throw overError(undefined, UNASKED, "while the function of update was at work");
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

  async #run(
    key: Uint8Array,
    call: Ask,
    { signal, timeoutMs, nodeTimeoutMs }: RequestOptions,
    how: { readonly wish: "first" | "near"; readonly mayHedge: boolean },
  ): Promise<Done> {
    if (this.#directory.isClosed) throw closedError(UNASKED);
    const attemptTimeoutMs = nodeTimeoutMs === undefined ? undefined : nodeTimeoutMs + GRACE_MS;
    return this.#operations.run({
      key,
      call,
      ...how,
      signal,
      timeoutMs: callTimeOf(timeoutMs ?? this.#timeoutMs),
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
