/**
 * The nodes that a client knows, and the ring by which it finds those that are home to a key.
 *
 * It begins with the URLs that it was given. Each node that is asked says who it is (`KV-Node`), so that a URL becomes a
 * member's; for members that no URL was given for, the host that the ring names is tried with the port of the first URL,
 * and taken only when what answers there is that member of this cluster. In Kubernetes the URL of the Service is thus enough.
 * The ring is asked for again when an answer tells of a newer epoch, or a member is not who it was. Without
 * a ring everything works as well, one hop longer.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientRing } from "../core/ring/client-ring.ts";
import { partitionOf } from "../core/ring/hash.ts";
import { Connections } from "./connections.ts";
import { headerOf, type WholeAnswer } from "./exchange.ts";
import type { ClientTls } from "./http.ts";
import { NoAnswerError } from "./no-answer-error.ts";
import { parseClientRing } from "./ring-answer.ts";
import type { Candidate } from "./route.ts";
import { awayMs } from "./verdict.ts";

export type DirectoryOptions = {
  readonly urls: readonly string[];
  readonly connectionsMax: number;
  readonly timeoutMs: number;
  readonly tls: ClientTls | undefined;
  /** Sent with each request. */
  readonly headers: Readonly<Record<string, string>>;
};

/** One node at one URL. */
export class KnownNode implements Candidate {
  readonly connections: Connections;
  /** Whether the caller gave its URL, so that it is kept whatever the ring says. */
  readonly isGiven: boolean;
  /** Who answered there last. */
  name: string | undefined;
  zone: string | undefined;
  /** It is of another cluster than the node that was heard first, and is never asked. */
  isStranger = false;
  inFlight = 0;
  awayUntilMs = 0;
  #failures = 0;

  constructor(connections: Connections, isGiven: boolean) {
    this.connections = connections;
    this.isGiven = isGiven;
  }

  /** It answered, and as it should. */
  served(): void {
    this.#failures = 0;
    this.awayUntilMs = 0;
  }

  /** It is passed over for a while; failures that were on their way together count once. */
  failed(): void {
    const nowMs = performance.now();
    if (nowMs < this.awayUntilMs) return;
    this.#failures += 1;
    this.awayUntilMs = nowMs + awayMs(this.#failures, Math.random());
  }
}

const NOBODY: readonly KnownNode[] = [];
/** The least time between two questions for the ring, so that a change does not make every answer ask. */
const REFRESH_MS_MIN = 100;
/** After the first answer, how long the other nodes are waited for. */
const GRACE_MS = 50;
/** How long whoever asks first waits for the members that no URL was given for. */
const LOOK_MS = 200;

/** All nodes that are known, and who is home to what. */
export class Directory {
  readonly #options: DirectoryOptions;
  readonly #given: readonly KnownNode[];
  readonly #found = new Map<string, KnownNode>();
  /** Members that are being looked for. */
  readonly #sought = new Set<string>();
  readonly #closing = new AbortController();
  #all: readonly KnownNode[];
  #ring: ClientRing | undefined;
  /** Of each partition the homes that are known. */
  #homes: readonly (readonly KnownNode[])[] = [];
  #refreshing: Promise<void> | undefined;
  #refreshedMs = Number.NEGATIVE_INFINITY;

  /** @throws {TypeError} When there is no URL, or one that cannot be used. */
  constructor(options: DirectoryOptions) {
    this.#options = options;
    this.#given = options.urls.map((url) => this.#open(url, true));
    if (this.#given.length === 0) throw new TypeError("expected the URL of at least one node");
    this.#all = this.#given;
  }

  get ring(): ClientRing | undefined {
    return this.#ring;
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Every node that may be asked. */
  get all(): readonly KnownNode[] {
    return this.#all;
  }

  /** Names of the members that are asked directly. */
  get members(): readonly string[] {
    return [...new Set(this.#homes.flat().flatMap(({ name }) => name ?? []))].sort();
  }

  /** The known homes of a key, in the ring's order. */
  homesOf(key: Uint8Array): readonly KnownNode[] {
    return this.#ring === undefined ? NOBODY : (this.#homes[partitionOf(key, this.#ring.partitions)] ?? NOBODY);
  }

  /** Asks for the ring unless there is one; resolves also when nobody had one. */
  async open(): Promise<void> {
    if (this.#ring !== undefined) return;
    if (performance.now() - this.#refreshedMs >= REFRESH_MS_MIN || this.#refreshing !== undefined) await this.refresh();
  }

  /** Asks every node for the ring and goes on soon after the first answer; the others are heard as they come. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#askAll().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Takes note of who answered and of the epoch by which it goes. */
  learn(node: KnownNode, answer: WholeAnswer): void {
    const name = headerOf(answer, "kv-node");
    const isSomebodyElse = name !== undefined && node.name !== undefined && name !== node.name;
    const isNewer = this.#ring !== undefined && Number(headerOf(answer, "kv-epoch") ?? 0) > this.#ring.epoch;
    // A URL that was given may be that of a load balancer, behind which everybody answers.
    if (!isNewer && (!isSomebodyElse || node.isGiven)) return;
    if (performance.now() - this.#refreshedMs >= REFRESH_MS_MIN) void this.refresh();
  }

  /** Closes the connections as they come out of use, and looks for nobody any more. */
  close(): void {
    this.#closing.abort();
    for (const { connections } of [...this.#given, ...this.#found.values()]) connections.close();
  }

  #open(url: string, isGiven: boolean): KnownNode {
    return new KnownNode(
      new Connections(url, { ...this.#options, connectTimeoutMs: this.#options.timeoutMs }),
      isGiven,
    );
  }

  async #askAll(): Promise<void> {
    this.#refreshedMs = performance.now();
    const asked = this.#all.map((node) => this.#ask(node));
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const answered of asked) void answered.then((isRing) => (isRing ? setTimeout(resolve, GRACE_MS) : undefined));
    void Promise.all(asked).then(() => resolve());
    await promise;
    const looking = this.#lookForOthers();
    await Promise.race([looking, sleep(LOOK_MS, undefined, { ref: false })]);
  }

  /** Asks one node for its ring; says whether it gave one. */
  async #ask(node: KnownNode): Promise<boolean> {
    const told = await this.#ringAt(node);
    if (told === undefined) return false;
    node.isStranger = this.#ring !== undefined && told.ring.cluster !== this.#ring.cluster;
    if (node.isStranger) {
      this.#arrange();
      return false;
    }
    node.name = told.name;
    if (this.#ring === undefined || told.ring.epoch > this.#ring.epoch) this.#ring = told.ring;
    this.#arrange();
    return true;
  }

  async #ringAt(node: KnownNode): Promise<{ readonly ring: ClientRing; readonly name: string } | undefined> {
    try {
      const patience = { timeoutMs: this.#options.timeoutMs, signal: this.#closing.signal };
      const answer = await node.connections.exchange({ method: "GET", path: "/v1/ring" }, patience);
      const ring = answer.status === 200 ? parseClientRing(answer.body.toString("utf8")) : undefined;
      const name = headerOf(answer, "kv-node");
      return ring === undefined || name === undefined ? undefined : { ring, name };
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      return undefined;
    }
  }

  /** Tries the host that the ring names for each member that has no node yet. */
  async #lookForOthers(): Promise<void> {
    const ring = this.#ring;
    const [first] = this.#given;
    if (ring === undefined || first === undefined) return;
    await Promise.all(
      ring.members.map(async ({ name, host }) => {
        const url = new URL(first.connections.url);
        url.hostname = host;
        const isGiven = this.#given.some(({ connections }) => new URL(connections.url).host === url.host);
        if (isGiven || this.#found.has(name) || this.#sought.has(name)) return;
        this.#sought.add(name);
        await this.#lookFor(name, this.#open(url.href, false)).finally(() => this.#sought.delete(name));
      }),
    );
  }

  /** Takes a node for a member when it is that. */
  async #lookFor(name: string, node: KnownNode): Promise<void> {
    const told = await this.#ringAt(node);
    if (this.isClosed || told?.name !== name || told.ring.cluster !== this.#ring?.cluster) {
      node.connections.close();
      return;
    }
    node.name = name;
    this.#found.set(name, node);
    this.#arrange();
  }

  /** Puts the nodes where the ring has their members; those that were found and are members no longer are let go. */
  #arrange(): void {
    const ring = this.#ring as ClientRing;
    const zones = new Map(ring.members.map(({ name, zone }) => [name, zone]));
    for (const [name, node] of this.#found) {
      if (zones.has(name) && node.name === name) continue;
      this.#found.delete(name);
      node.connections.close();
    }
    // One that was found is surely the member itself; a URL that was given may be a balancer's.
    const byName = new Map(this.#found);
    for (const node of this.#given) {
      if (node.name !== undefined && !node.isStranger && !byName.has(node.name)) byName.set(node.name, node);
    }
    for (const node of [...this.#given, ...this.#found.values()]) node.zone = zones.get(node.name ?? "");
    this.#all = [...this.#given.filter(({ isStranger }) => !isStranger), ...this.#found.values()];
    this.#homes = ring.preferenceLists.map((list) =>
      list.flatMap((name) => {
        const node = byName.get(name);
        return node === undefined ? [] : [node];
      }),
    );
  }
}
