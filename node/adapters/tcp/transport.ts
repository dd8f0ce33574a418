/**
 * The `Transport` port over a network of byte streams: one link per pair of members, whoever dialled it.
 *
 * Owns the listener, a dialer per peer, the handshakes under way and the links; decides which connection becomes the
 * link (handshake.ts) and which link goes. Links do the rest by themselves.
 */
import assert from "node:assert/strict";
import { KvError } from "../../core/errors.ts";
import type { MemberId } from "../../core/ring/document.ts";
import type { Reply, Request } from "../../messages.ts";
import type {
  PeerAddress,
  PeerIdentity,
  Random,
  RequestHandler,
  Telemetry,
  Time,
  Timer,
  Transport,
} from "../../ports.ts";
import { Dialer } from "./dialer.ts";
import {
  type Greeting,
  type GreetingContext,
  type GreetingResult,
  greetByAccepting,
  greetByDialling,
} from "./greeting.ts";
import { type Hello, isItself, type Refusal, type RefusalReason, refusedError, settleHello } from "./handshake.ts";
import { TRANSPORT_LIMITS, type TransportLimits } from "./limits.ts";
import { Link, type LinkContext } from "./link.ts";
import { type PeerTls, secureNetwork } from "./secure-network.ts";
import { socketNetwork } from "./sockets.ts";
import { ToldStrangers } from "./told-strangers.ts";
import type { ListenAddress, Listener, Network } from "./wire.ts";

export type TransportPorts = { readonly time: Time; readonly random: Random; readonly telemetry: Telemetry };

export type TransportConfig = {
  /** Peers of another cluster are refused. */
  readonly clusterId: string;
  /** This member's name. */
  readonly member: MemberId;
  /** Asked at every handshake: an incarnation may change while the node runs. */
  readonly identity: () => Omit<PeerIdentity, "name">;
  /** Where to listen; port 0 takes any free one. */
  readonly listen: ListenAddress;
  readonly limits?: Partial<TransportLimits>;
};

/** A transport that also says where it listens. */
export type AddressedTransport = Transport & {
  /** Where it listens, once started. */
  listenAddress(): ListenAddress;
};

const INSPECT_MS = 1_000;

/**
 * The transport of production. Does nothing until it is started.
 *
 * @param tls Certificates for the connections between members; without them everything is plain and nobody is checked.
 */
export function createTcpTransport(
  ports: TransportPorts,
  config: TransportConfig,
  tls: PeerTls | undefined,
): AddressedTransport {
  return createTransport(ports, tls === undefined ? socketNetwork() : secureNetwork(tls), config);
}

/** The transport over any network. */
export function createTransport(ports: TransportPorts, network: Network, config: TransportConfig): AddressedTransport {
  return new LinkedTransport(ports, network, config);
}

class LinkedTransport implements AddressedTransport {
  readonly #ports: TransportPorts;
  readonly #network: Network;
  readonly #config: TransportConfig;
  readonly #limits: TransportLimits;
  readonly #greetings: GreetingContext;
  readonly #links: LinkContext;
  readonly #linked = new Map<MemberId, { readonly link: Link; readonly hello: Hello; readonly isTrusted: boolean }>();
  readonly #visitors = new Set<Link>();
  /** Who has connected and not said who it is, the oldest first. */
  readonly #strangers = new Set<Greeting>();
  readonly #visits = new Set<Greeting>();
  readonly #dialers = new Map<MemberId, Dialer>();
  readonly #identities = new Map<MemberId, PeerIdentity>();
  readonly #told = new ToldStrangers();
  #peers: readonly PeerAddress[] = [];
  #handler: RequestHandler | undefined;
  #listener: Listener | undefined;
  #inspection: Timer | undefined;
  #stopped: Promise<void> | undefined;
  #state: "made" | "started" | "stopping" = "made";

  constructor(ports: TransportPorts, network: Network, config: TransportConfig) {
    this.#ports = ports;
    this.#network = network;
    this.#config = config;
    this.#limits = { ...TRANSPORT_LIMITS, ...config.limits };
    const instance = Buffer.from(ports.random.bytes(8)).toString("hex");
    const { clusterId, member: name } = config;
    let sequence = 0;
    this.#greetings = {
      time: ports.time,
      limits: this.#limits,
      self: { clusterId, name, instance },
      introduce: (role, expects) => {
        sequence++;
        const { frameBytesMax } = this.#limits;
        return { clusterId, role, name, ...config.identity(), expects, instance, sequence, frameBytesMax };
      },
    };
    this.#links = {
      time: ports.time,
      telemetry: ports.telemetry,
      limits: this.#limits,
      handler: () => (this.#state === "started" ? this.#handler : undefined),
      afterTurn: (run) => network.afterTurn(run),
    };
  }

  async start(handler: RequestHandler): Promise<void> {
    assert(this.#state === "made", "a transport is started once");
    this.#state = "started";
    this.#handler = handler;
    const { host, port } = this.#config.listen;
    try {
      this.#listener = await this.#network.listen({ host, port }, (wire) => this.#accept(wire));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `Cannot listen for peers on ${host}:${port}: expected a free address of this machine: ${why}`;
      throw new KvError("NOT_READY", message, { cause });
    }
    if (this.#state !== "started") return this.#listener.close();
    const { telemetry } = this.#ports;
    telemetry.gauge("annulus.transport.links", () => this.#linked.size);
    telemetry.gauge("annulus.transport.in_flight_requests", () => this.#sum((link) => link.inFlight));
    telemetry.gauge("annulus.transport.outgoing_bytes", () => this.#sum((link) => link.outgoingBytes));
    telemetry.gauge("annulus.transport.untrusted_links", () => this.#untrusted());
    this.#inspectLater();
    this.setPeers(this.#peers);
  }

  listenAddress(): ListenAddress {
    assert(this.#listener !== undefined, "a transport has an address once it is started");
    return this.#listener.address;
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers = peers.filter(({ name }) => name !== this.#config.member);
    if (this.#state !== "started" || this.#listener === undefined) return;
    const wanted = new Set(this.#peers.map(({ name }) => name));
    for (const [name, dialer] of this.#dialers) {
      if (wanted.has(name)) continue;
      dialer.rest();
      this.#dialers.delete(name);
    }
    for (const peer of this.#peers) {
      const known = this.#dialers.get(peer.name);
      if (known !== undefined) {
        known.readdress(peer);
        continue;
      }
      const dialer = this.#createDialer(peer);
      this.#dialers.set(peer.name, dialer);
      if (!this.#linked.has(peer.name)) dialer.dial();
    }
  }

  request(to: MemberId, request: Request, timeoutMs: number): Promise<Reply> {
    const linked = this.#linked.get(to);
    if (linked !== undefined) return linked.link.request(request, timeoutMs);
    return Promise.reject(new KvError("PEER_UNREACHABLE", `Cannot ask ${to}: there is no link to it`));
  }

  ask(address: string, request: Request, timeoutMs: number): Promise<Reply> {
    if (this.#state === "stopping") {
      return Promise.reject(new KvError("PEER_UNREACHABLE", `Cannot ask ${address}: this node is stopping`));
    }
    const startedMs = this.#ports.time.monotonicMs();
    return new Promise((resolve, reject) => {
      const late = this.#ports.time.after(timeoutMs, () => greeting.fail(`no handshake within ${timeoutMs} ms`));
      const target = { address, meant: undefined, role: "visitor" } as const;
      const greeting = greetByDialling(this.#greetings, this.#network, target, (result) => {
        late.cancel();
        this.#visits.delete(greeting);
        if (result.kind === "failed") return reject(result.error);
        if (result.kind === "refused") return reject(refusedError(address, result.refusal));
        const link = this.#visit(result);
        const restMs = timeoutMs - (this.#ports.time.monotonicMs() - startedMs);
        link
          .request(request, restMs)
          .finally(() => link.finish("it was asked what there was to ask"))
          .then(resolve, reject);
      });
      this.#visits.add(greeting);
    });
  }

  isLinked(to: MemberId): boolean {
    return this.#linked.has(to);
  }

  identityOf(member: MemberId): PeerIdentity | undefined {
    return this.#identities.get(member);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#state = "stopping";
    this.#listener?.close();
    this.#inspection?.cancel();
    for (const dialer of this.#dialers.values()) dialer.rest();
    this.#dialers.clear();
    for (const greeting of [...this.#strangers, ...this.#visits]) greeting.fail("this node is stopping");
    const links = [...[...this.#linked.values()].map(({ link }) => link), ...this.#visitors];
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = this.#ports.time.after(this.#limits.stopTimeoutMs, resolve);
    });
    const quiet = Promise.all(links.map((link) => new Promise<void>((resolve) => link.whenQuiet(resolve))));
    await Promise.race([quiet, late]);
    timer?.cancel();
    for (const link of links) link.finish("this node is stopping");
  }

  #accept(wire: Parameters<Parameters<Network["listen"]>[1]>[0]): void {
    if (this.#state !== "started") return wire.destroy();
    this.#makeRoom();
    const greeting = greetByAccepting(
      this.#greetings,
      wire,
      (hello) => this.#admit(hello),
      (result) => {
        this.#strangers.delete(greeting);
        if (result.kind === "linked") this.#enter(result);
        else this.#reportFailure("in", wire.remote, result);
      },
    );
    this.#strangers.add(greeting);
  }

  /** Whoever has said nothing for longest goes: a member says who it is at once, and many who say nothing keep none out. */
  #makeRoom(): void {
    const [oldest] = this.#strangers;
    if (oldest === undefined || this.#strangers.size < this.#limits.strangersMax) return;
    this.#ports.telemetry.count("annulus.transport.dropped_connections");
    this.#strangers.delete(oldest);
    oldest.abandon();
  }

  #admit(hello: Hello): Refusal | undefined {
    if (this.#state !== "started") return { reason: "stopping", detail: "this node is stopping" };
    if (hello.role === "visitor") {
      if (this.#visitors.size < this.#limits.visitorsMax) return undefined;
      return { reason: "busy", detail: "too many visitors are here" };
    }
    const rivals = {
      link: this.#linked.get(hello.name)?.hello,
      greeted: this.#dialers.get(hello.name)?.greeted() ?? false,
    };
    if (settleHello(hello, this.#config.member, rivals) === "accept") return undefined;
    return { reason: "duplicate", detail: "another connection between these two members stays" };
  }

  #createDialer(peer: PeerAddress): Dialer {
    const ports = { ...this.#ports, network: this.#network };
    return new Dialer(ports, this.#greetings, peer, ({ name, address }, result) => {
      if (result.kind === "linked") this.#enter(result);
      else this.#reportFailure("out", `${name} at ${address}`, result);
    });
  }

  /** Makes a handshaken connection the link of its peer. */
  #enter(greeted: Extract<GreetingResult, { kind: "linked" }>): void {
    const { hello } = greeted;
    if (hello.role === "visitor") {
      this.#visit(greeted).begin();
      return;
    }
    const peer = identityIn(hello);
    this.#dialers.get(peer.name)?.rest();
    const link = new Link(this.#links, peer, greeted, (ended, why) => this.#leave(ended, why));
    const older = this.#linked.get(peer.name);
    this.#linked.set(peer.name, { link, hello, isTrusted: greeted.objection === undefined });
    this.#identities.set(peer.name, peer);
    older?.link.close("a newer connection of the same peer replaced it");
    this.#ports.telemetry.count("annulus.transport.opened_links");
    this.#ports.telemetry.log("info", "link.opened", {
      peer: peer.name,
      actor: peer.actor,
      remote: greeted.wire.remote,
      ...(greeted.objection === undefined ? {} : { untrusted: greeted.objection }),
    });
    link.begin();
  }

  #visit(greeted: Extract<GreetingResult, { kind: "linked" }>): Link {
    const link = new Link(this.#links, identityIn(greeted.hello), greeted, () => this.#visitors.delete(link));
    this.#visitors.add(link);
    return link;
  }

  #leave(link: Link, why: string): void {
    const { name } = link.peer;
    this.#ports.telemetry.count("annulus.transport.closed_links");
    this.#ports.telemetry.log("info", "link.closed", { peer: name, why });
    if (this.#linked.get(name)?.link !== link) return; // A newer one has taken its place.
    this.#linked.delete(name);
    this.#dialers.get(name)?.linkLost();
  }

  #inspectLater(): void {
    const { time } = this.#ports;
    this.#inspection = time.after(Math.min(INSPECT_MS, this.#limits.silenceMs / 2), () => {
      // After a turn: what came in while this process was held up is read first, and speaks for its sender.
      this.#inspection = time.after(0, () => {
        this.#inspect(time.monotonicMs());
        this.#inspectLater();
      });
    });
  }

  #inspect(nowMs: number): void {
    const { unusedMs } = this.#limits;
    for (const [name, { link }] of [...this.#linked]) {
      if (!this.#dialers.has(name) && link.isUnused(nowMs, unusedMs))
        link.finish("it is unused and no peer of this ring");
      else link.inspect(nowMs);
    }
    for (const visitor of [...this.#visitors]) {
      if (visitor.isUnused(nowMs, unusedMs)) visitor.finish("the visitor asked nothing any more");
      else visitor.inspect(nowMs);
    }
  }

  /** Counts every failure; logs a stranger once for each way it was refused, and no peer that is merely not up. */
  #reportFailure(
    direction: "in" | "out",
    other: string,
    result: Exclude<GreetingResult, { readonly kind: "linked" }>,
  ): void {
    const { telemetry } = this.#ports;
    if (result.kind === "failed") {
      telemetry.count("annulus.transport.failed_handshakes");
      return telemetry.log("debug", "handshake.failed", { direction, other, why: result.error.message });
    }
    const { reason, detail } = result.refusal;
    const isPassing = PASSING[reason] || isItself(result.refusal, this.#config.member);
    if (isPassing) return telemetry.log("debug", "handshake.refused", { direction, other, reason });
    telemetry.count("annulus.transport.refused_strangers");
    // A stranger's port differs with every attempt; who it says it is, or else its host, does not.
    const stranger = `${direction} ${result.name ?? other.replace(/:\d+$/, "")} ${reason}`;
    if (!this.#told.isNews(stranger, this.#ports.time.monotonicMs())) return;
    telemetry.log("warn", "stranger.refused", { direction, other, name: result.name, reason, detail });
  }

  #untrusted(): number {
    let count = 0;
    for (const { isTrusted } of this.#linked.values()) if (!isTrusted) count++;
    return count;
  }

  #sum(figure: (link: Link) => number): number {
    let sum = 0;
    for (const { link } of this.#linked.values()) sum += figure(link);
    return sum;
  }
}

/** Refusals that are part of normal life. */
const PASSING: Readonly<Record<RefusalReason, boolean>> = {
  malformed: false,
  version: false,
  certificate: false,
  cluster: false,
  "own-name": false,
  "wrong-name": false,
  duplicate: true,
  busy: true,
  stopping: true,
};

function identityIn({ name, actor, incarnation, durability }: Hello): PeerIdentity {
  return { name, actor, incarnation, ...(durability === undefined ? {} : { durability }) };
}
