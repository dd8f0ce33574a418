/**
 * The nodes that a client knows, and the ring by which it finds those that are home to a key.
 *
 * It begins with the URLs that it was given. Each node that is asked says who it is (`KV-Node`), so that a URL becomes a
 * member's; for members that no URL was given for, the host that the ring names is tried with the port of the first URL,
 * and taken only when what answers there is that member of this cluster. In Kubernetes the URL of the Service is thus enough.
 * The ring is asked for again when an answer tells of a newer epoch, or a member is not who it was; a member that was not
 * there is looked for again, ever more seldom. Without a ring everything works as well, one hop longer. Who turns out to be
 * of another cluster is asked nothing but that, until it is of this one.
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
  /** The host that the ring named when it was found there, and the URL that was made of it. */
  host: string | undefined;
  url: string | undefined;
  /** It is of another cluster than the node that was heard first, and is never asked. */
  isStranger = false;
  inFlight = 0;
  awayUntilMs = 0;
  #failures = 0;

  /** How often in a row it did not answer as it should, while it was not passed over. */
  get failures(): number {
    return this.#failures;
  }

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
/** Members that were not there are looked for again after so long, doubled each time, for each look may cost a connection. */
const LOOK_AGAIN_MS = 1_000;
const LOOK_AGAIN_MS_MAX = 60_000;
/** A member that failed so often in a row is looked for as well where the nodes that answer say that it would be now. */
const FAILURES_MAX = 3;

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
  /** The first question for the ring. */
  #opening: Promise<void> | undefined;
  /** When members that were not there are to be looked for again. */
  #lookDueMs = Number.POSITIVE_INFINITY;
  #lookPauseMs = LOOK_AGAIN_MS;
  /** Of which cluster a node is that is asked no longer. */
  #otherCluster: string | undefined;

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

  /** Why no node may be asked; undefined where one may. */
  get lostTo(): { readonly ours: string | undefined; readonly other: string | undefined } | undefined {
    return this.#all.length > 0 ? undefined : { ours: this.#ring?.cluster, other: this.#otherCluster };
  }

  /**
   * Asks for the ring unless there is one and somebody is known by it. Only the first question is waited for, until it is
   * answered or nobody can: a node that says nothing would hold up every call of a cluster that tells no ring.
   */
  async open(): Promise<void> {
    if (this.#ring !== undefined && this.#all.length > 0) return;
    if (performance.now() - this.#refreshedMs >= REFRESH_MS_MIN) {
      const refreshing = this.refresh();
      this.#opening ??= refreshing;
    }
    await this.#opening;
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
    const nowMs = performance.now();
    // A URL that was given may be that of a load balancer, behind which everybody answers.
    if (isNewer || (isSomebodyElse && !node.isGiven)) {
      if (nowMs - this.#refreshedMs >= REFRESH_MS_MIN) void this.refresh();
    } else if (nowMs >= this.#lookDueMs) void this.#lookForOthers();
  }

  /** Takes note of a node that was passed over: it may be there in another way, as after its cluster began to speak TLS. */
  missed(node: KnownNode): void {
    if (!node.isGiven && node.failures >= FAILURES_MAX && this.#lookDueMs === Number.POSITIVE_INFINITY)
      this.#lookDueMs = performance.now();
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
    const asked = [...this.#given, ...this.#found.values()].map((node) => this.#ask(node));
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
      this.#otherCluster = told.ring.cluster;
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

  /** Tries the host that the ring names for each member that has no node yet, or one that answers no more. */
  async #lookForOthers(): Promise<void> {
    const ring = this.#ring;
    const like = this.#given.find(({ failures }) => failures === 0) ?? this.#given[0];
    if (ring === undefined || like === undefined || this.isClosed) return;
    this.#lookDueMs = Number.POSITIVE_INFINITY;
    const looks = ring.members.flatMap(({ name, host }) => {
      const url = new URL(like.connections.url);
      url.hostname = host;
      const isGiven = this.#given.some(({ connections }) => new URL(connections.url).host === url.host);
      const found = this.#found.get(name);
      const isThere = found !== undefined && (found.failures < FAILURES_MAX || found.url === url.href);
      return isGiven || isThere || this.#sought.has(name) ? [] : [this.#lookFor(name, host, url.href)];
    });
    const areFound = (await Promise.all(looks)).every((isFound) => isFound);
    if (areFound) this.#lookPauseMs = LOOK_AGAIN_MS;
    else {
      this.#lookDueMs = performance.now() + this.#lookPauseMs;
      this.#lookPauseMs = Math.min(LOOK_AGAIN_MS_MAX, this.#lookPauseMs * 2);
    }
  }

  /** Takes a node for a member when it is that; says whether. */
  async #lookFor(name: string, host: string, url: string): Promise<boolean> {
    this.#sought.add(name);
    const node = this.#open(url, false);
    const told = await this.#ringAt(node).finally(() => this.#sought.delete(name));
    if (this.isClosed || told?.name !== name || told.ring.cluster !== this.#ring?.cluster) {
      node.connections.close();
      return false;
    }
    node.name = name;
    node.host = host;
    node.url = url;
    this.#found.get(name)?.connections.close();
    this.#found.set(name, node);
    this.#arrange();
    return true;
  }

  /** Puts the nodes where the ring has their members; those that were found and are no longer there as members are let go. */
  #arrange(): void {
    const ring = this.#ring as ClientRing;
    const members = new Map(ring.members.map((member) => [member.name, member]));
    for (const [name, node] of this.#found) {
      if (members.get(name)?.host === node.host && node.name === name && !node.isStranger) continue;
      this.#found.delete(name);
      node.connections.close();
    }
    // One that was found is surely the member itself; a URL that was given may be a balancer's.
    const byName = new Map(this.#found);
    for (const node of this.#given) {
      if (node.name !== undefined && !node.isStranger && !byName.has(node.name)) byName.set(node.name, node);
    }
    for (const node of [...this.#given, ...this.#found.values()]) node.zone = members.get(node.name ?? "")?.zone;
    this.#all = [...this.#given.filter(({ isStranger }) => !isStranger), ...this.#found.values()];
    this.#homes = ring.preferenceLists.map((list) =>
      list.flatMap((name) => {
        const node = byName.get(name);
        return node === undefined ? [] : [node];
      }),
    );
  }
}
