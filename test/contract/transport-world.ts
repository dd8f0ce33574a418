/**
 * Where the transport contract takes place: machines that are booted and die, and time that passes only when asked.
 *
 * A test never sleeps and never awaits a promise of the transport by itself: over virtual time nothing would move
 * then. It goes through `until`, `advance` and `settle`, which do whatever makes time pass in their world.
 */
import assert from "node:assert/strict";
import type { TransportLimits } from "../../node/adapters/tcp/limits.ts";
import { type AddressedTransport, createTransport } from "../../node/adapters/tcp/transport.ts";
import type { ListenAddress, Network } from "../../node/adapters/tcp/wire.ts";
import { KvError } from "../../node/core/errors.ts";
import type { MemberId } from "../../node/core/ring/document.ts";
import type { Reply, Request } from "../../node/messages.ts";
import type { PeerIdentity, Random, RequestHandler, Time } from "../../node/ports.ts";
import { createRecordedTelemetry, type RecordedTelemetry } from "./recorded-telemetry.ts";

/** One machine from boot to death. */
export type Host = {
  readonly network: Network;
  readonly time: Time;
  readonly random: Random;
  /** Where its member listens for the first time. */
  readonly listen: ListenAddress;
  /**
   * Nothing runs on it any more. "process": the operating system closes its connections. "machine": whoever sends to
   * it is told nothing.
   */
  die(kind: "process" | "machine"): void;
};

export type TransportWorld = {
  /** A fresh machine. One that follows a dead one of the same name can be reached where that one was. */
  boot(name: string): Host;
  /** Lets time pass until the condition holds; throws when it does not within `withinMs`. */
  until(condition: () => boolean, withinMs: number): Promise<void>;
  /** Lets time pass. */
  advance(durationMs: number): Promise<void>;
  /** Ends every machine. */
  dispose(): Promise<void>;
};

export type NodeOptions = {
  readonly clusterId?: string;
  readonly handler?: RequestHandler;
  readonly actor?: string;
  readonly incarnation?: number;
  readonly limits?: Partial<TransportLimits>;
};

/** Long for a machine that has other things to do, and nothing over virtual time. */
const PATIENCE_MS = 20_000;

/** Quick to notice and to try again, since a test waits for both. */
const TEST_LIMITS: Partial<TransportLimits> = {
  helloTimeoutMs: 5_000,
  reconnectMsMin: 4,
  reconnectMsMax: 40,
  unusedMs: 60_000,
  stopTimeoutMs: 10_000,
};

export const read = (key: string): Request => ({ kind: "read", epoch: 1, key: Buffer.from(key) });
export const merge = (key: string, record: Uint8Array): Request => ({
  kind: "merge",
  epoch: 1,
  key: Buffer.from(key),
  record,
});

/** Answers a read with its key, and anything else as merged. */
export const echo: RequestHandler = async (_from, request) =>
  request.kind === "read" ? { kind: "record", record: request.key } : { kind: "merged", isCovered: false };

/** The text that `echo` sent back. */
export function textIn(reply: Reply): string {
  assert(reply.kind === "record", `expected a record, found ${reply.kind}`);
  return Buffer.from(reply.record ?? []).toString();
}

/** A member: a name and an address that outlive its machines, and the transport of the present one. */
export class TestNode {
  readonly name: MemberId;
  readonly telemetry: RecordedTelemetry = createRecordedTelemetry();
  /** May be changed at any time. */
  handler: RequestHandler;
  readonly #world: TransportWorld;
  readonly #options: NodeOptions;
  readonly #gauges = new Map<string, () => number>();
  #identity: { actor: string; incarnation: number };
  #host: Host | undefined;
  #transport: AddressedTransport | undefined;
  #listens: ListenAddress | undefined;

  constructor(world: TransportWorld, name: string, options: NodeOptions) {
    this.#world = world;
    this.name = name as MemberId;
    this.handler = options.handler ?? echo;
    this.#options = options;
    this.#identity = { actor: options.actor ?? "a".repeat(32), incarnation: options.incarnation ?? 1 };
  }

  get transport(): AddressedTransport {
    assert(this.#transport !== undefined, `${this.name} was never started`);
    return this.#transport;
  }

  get time(): Time {
    assert(this.#host !== undefined, `${this.name} was never started`);
    return this.#host.time;
  }

  get address(): string {
    assert(this.#listens !== undefined, `${this.name} was never started`);
    return `${this.#listens.host}:${this.#listens.port}`;
  }

  /** Links that are open, also those that gave way to another one and are not closed yet. */
  get openLinks(): number {
    const { telemetry } = this;
    return telemetry.counted("annulus.transport.opened_links") - telemetry.counted("annulus.transport.closed_links");
  }

  gauge(name: string): number {
    return this.#gauges.get(`annulus.transport.${name}`)?.() ?? Number.NaN;
  }

  counted(name: string): number {
    return this.telemetry.counted(`annulus.transport.${name}`);
  }

  /** Boots a machine with a new transport, at the address of the last one. */
  async start(identity: Partial<Pick<PeerIdentity, "actor" | "incarnation">> = {}): Promise<void> {
    const host = this.#world.boot(this.name);
    this.#host = host;
    this.#identity = { ...this.#identity, ...identity };
    const telemetry = { ...this.telemetry, gauge: (name: string, read: () => number) => this.#gauges.set(name, read) };
    const ports = { time: host.time, random: host.random, telemetry };
    const present = this.#identity;
    const transport = createTransport(ports, host.network, {
      clusterId: this.#options.clusterId ?? "test-cluster",
      member: this.name,
      identity: () => present,
      listen: this.#listens ?? host.listen,
      limits: { ...TEST_LIMITS, ...this.#options.limits },
    });
    this.#transport = transport;
    await transport.start((from, request, budgetMs) => this.handler(from, request, budgetMs));
    this.#listens = transport.listenAddress();
  }

  kill(kind: "process" | "machine"): void {
    assert(this.#host !== undefined, `${this.name} was never started`);
    this.#host.die(kind);
  }

  peers(...others: readonly TestNode[]): void {
    this.transport.setPeers(others.map(({ name, address }) => ({ name, address })));
  }

  request(to: TestNode, request: Request, timeoutMs = PATIENCE_MS): Promise<Reply> {
    return this.transport.request(to.name, request, timeoutMs);
  }

  isLinked(...others: readonly TestNode[]): boolean {
    return others.every(({ name }) => this.transport.isLinked(name));
  }
}

/** A world with its members, and the ways to wait in it. */
export class Scene {
  readonly #world: TransportWorld;

  constructor(world: TransportWorld) {
    this.#world = world;
  }

  /** A member that is not started yet. */
  member(name: string, options: NodeOptions = {}): TestNode {
    return new TestNode(this.#world, name, options);
  }

  async started(name: string, options: NodeOptions = {}): Promise<TestNode> {
    const node = this.member(name, options);
    await this.settle(node.start());
    return node;
  }

  /** Two members with a link between them. */
  async pair(options: NodeOptions = {}, othersOptions: NodeOptions = options): Promise<[TestNode, TestNode]> {
    const [a, b] = [await this.started("a", options), await this.started("b", othersOptions)];
    a.peers(b);
    b.peers(a);
    await this.linked(a, b);
    return [a, b];
  }

  /** Waits until each of the nodes is linked with each other one. */
  async linked(...nodes: readonly TestNode[]): Promise<void> {
    await this.until(() => nodes.every((node) => node.isLinked(...nodes.filter((other) => other !== node))));
  }

  until(condition: () => boolean): Promise<void> {
    return this.#world.until(condition, PATIENCE_MS);
  }

  advance(durationMs: number): Promise<void> {
    return this.#world.advance(durationMs);
  }

  /** Lets time pass until a promise is settled, and gives what it gives. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const done = () => {
      isSettled = true;
    };
    promise.then(done, done);
    await this.until(() => isSettled);
    return promise;
  }

  /** Waits for a call to be refused with a `KvError` of this code and outcome, and gives it. */
  async refused(call: Promise<unknown>, code: KvError["code"], outcome: KvError["outcome"]): Promise<KvError> {
    const error = await this.settle(
      call.then(
        () => assert.fail("the call was answered"),
        (reason: unknown) => reason,
      ),
    );
    assert(error instanceof KvError, `rejected with ${error}`);
    assert.equal(`${error.code} ${error.outcome}`, `${code} ${outcome}`, error.message);
    return error;
  }

  end(): Promise<void> {
    return this.#world.dispose();
  }
}
