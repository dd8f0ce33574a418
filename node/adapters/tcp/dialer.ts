/**
 * Keeps trying to reach one peer until there is a link, with pauses that double and are shortened at random.
 *
 *   idle ──linkLost──> pausing ──> greeting ──linked──> idle
 *                         ^────failed, refused──┘
 *
 * Whether a connection becomes the link is the transport's decision; it may also come from the other side, and then
 * the transport tells the dialer to rest.
 */
import type { PeerAddress, Random, Time, Timer } from "../../ports.ts";
import { type Greeting, type GreetingContext, type GreetingResult, greetByDialling } from "./greeting.ts";
import type { Network } from "./wire.ts";

export type DialerPorts = { readonly time: Time; readonly random: Random; readonly network: Network };

/** Dials one peer, at most one attempt at a time. Made idle; never gives up by itself. */
export class Dialer {
  readonly #ports: DialerPorts;
  readonly #context: GreetingContext;
  readonly #report: (peer: PeerAddress, result: GreetingResult) => void;
  #peer: PeerAddress;
  #pause: Timer | undefined;
  #greeting: Greeting | undefined;
  #failures = 0;

  /** @param report Told of every attempt that ended by itself. After anything but a link the dialer goes on. */
  constructor(
    ports: DialerPorts,
    context: GreetingContext,
    peer: PeerAddress,
    report: (peer: PeerAddress, result: GreetingResult) => void,
  ) {
    this.#ports = ports;
    this.#context = context;
    this.#peer = peer;
    this.#report = report;
  }

  /** Whether this side has said hello and the answer is open. */
  greeted(): boolean {
    return this.#greeting?.greeted() ?? false;
  }

  /** Takes another address of the same peer; it is dialled at the next attempt. */
  readdress(peer: PeerAddress): void {
    if (peer.address !== this.#peer.address) this.#failures = 0;
    this.#peer = peer;
  }

  /** Connects at once, unless an attempt is under way. */
  dial(): void {
    if (this.#greeting !== undefined) return;
    this.#pause?.cancel();
    this.#pause = undefined;
    const target = { address: this.#peer.address, meant: this.#peer.name, role: "member" } as const;
    this.#greeting = greetByDialling(this.#context, this.#ports.network, target, (result) => this.#attempted(result));
  }

  /** There was a link and it is gone: connects again after the shortest pause, so that two peers do not spin. */
  linkLost(): void {
    this.#failures = 0;
    if (this.#greeting === undefined && this.#pause === undefined) this.#dialLater();
  }

  /** Stops trying: there is a link, or the peer is none any more. */
  rest(): void {
    this.#pause?.cancel();
    this.#pause = undefined;
    this.#greeting?.abandon();
    this.#greeting = undefined;
    this.#failures = 0;
  }

  #attempted(result: GreetingResult): void {
    this.#greeting = undefined;
    if (result.kind !== "linked") this.#dialLater();
    this.#report(this.#peer, result);
  }

  #dialLater(): void {
    const { reconnectMsMin, reconnectMsMax } = this.#context.limits;
    const fullMs = Math.min(reconnectMsMax, reconnectMsMin * 2 ** Math.min(this.#failures, 16));
    const share = 0.5 + this.#ports.random.uint32() / 0x2_0000_0000;
    this.#failures++;
    this.#pause = this.#ports.time.after(fullMs * share, () => this.dial());
  }
}
