/**
 * Members that do nothing but gossip, in virtual time: the shipped gossiper over a transport that loses, delays and
 * pauses. Apart from whole clusters so that days of it take seconds: no frames, no disks, no data.
 */
import { KvError } from "../../node/core/errors.ts";
import type { MemberId } from "../../node/core/ring/document.ts";
import type { Reply, Request } from "../../node/messages.ts";
import { encodeReply, encodeRequest } from "../../node/messages-codec.ts";
import type { Telemetry, Transport } from "../../node/ports.ts";
import { createGossiper, type Gossiper } from "../../node/services/gossiper.ts";
import { createSeededRandom, type Ratio, type SeededRandom } from "./random.ts";
import { type Process, Simulator } from "./simulator.ts";

export type MembershipOptions = {
  readonly seed: number;
  readonly members: number;
  readonly loss: Ratio;
  /** Each member is held up about once in so many ms, for up to `pauseMsMax`; 0 for never. */
  readonly pauseEveryMs: number;
  readonly pauseMsMax: number;
};

type Member = { readonly name: MemberId; process: Process; gossiper: Gossiper; isDead: boolean };

const INTERVAL_MS = 1_000;
const PHI_THRESHOLD = 8;
const DELAY_MS = [0.2, 5] as const;

export class MembershipWorld {
  readonly simulator = new Simulator();
  readonly members: readonly Member[];
  /** What happened to a member's health in the eyes of another, counted by the health. */
  readonly changes = new Map<string, number>();
  messages = 0;
  bytes = 0;
  readonly #random: SeededRandom;
  readonly #options: MembershipOptions;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#random = createSeededRandom(options.seed).stream("membership");
    const names = Array.from({ length: options.members }, (_, index) => `n${index + 1}`);
    this.members = names.map((name) => this.#join(name));
    for (const member of this.members) {
      member.gossiper.setMembers(names);
      member.gossiper.start();
      if (options.pauseEveryMs > 0) this.#pauseLater(member);
    }
  }

  /** A member's process dies; whether its peers notice that the connection broke is up to the caller. */
  kill(name: MemberId): void {
    const member = this.#named(name);
    member.isDead = true;
    member.process.alive = false;
  }

  /** How many living members hold `name` for this. */
  heldFor(name: MemberId, health: "up" | "suspect" | "down"): number {
    return this.members.filter(
      (member) => !member.isDead && member.name !== name && member.gossiper.health(name) === health,
    ).length;
  }

  #named(name: MemberId): Member {
    const found = this.members.find((member) => member.name === name);
    if (found === undefined) throw new Error(`no member ${name}`);
    return found;
  }

  #join(name: MemberId): Member {
    const process = this.simulator.createProcess(name);
    const random = this.#random.stream(name);
    const telemetry: Telemetry = {
      count: (metric, amount = 1) => this.changes.set(metric, (this.changes.get(metric) ?? 0) + amount),
      observe() {},
      gauge() {},
      log() {},
    };
    const gossiper = createGossiper(
      {
        transport: this.#transportOf(process),
        time: this.simulator.timeOf(process),
        random,
        telemetry,
        epoch: () => 1,
        heardEpoch() {},
      },
      { member: name, intervalMs: INTERVAL_MS, phiThreshold: PHI_THRESHOLD },
    );
    return { name, process, gossiper, isDead: false };
  }

  /** Links never break here: what is told apart from silence is shown by whole clusters. */
  #transportOf(process: Process): Transport {
    const request = (to: MemberId, message: Request, timeoutMs: number): Promise<Reply> =>
      new Promise((resolve, reject) => {
        this.#count(encodeRequest(message));
        const timer = this.simulator.after(
          timeoutMs,
          () => reject(new KvError("TIMED_OUT", "no reply came in time", { outcome: "unknown" })),
          process,
        );
        const target = this.#named(to);
        this.#travel(target.process, () => {
          if (message.kind !== "gossip") throw new Error("only gossip travels here");
          const reply: Reply = { kind: "gossiped", news: target.gossiper.exchange(message.news), epoch: 1 };
          this.#count(encodeReply(reply));
          this.#travel(process, () => {
            timer.cancel();
            resolve(reply);
          });
        });
      });
    return { request, isLinked: () => true } as unknown as Transport;
  }

  #count(message: readonly unknown[]): void {
    this.messages += 1;
    for (const field of message) this.bytes += field instanceof Uint8Array ? field.length : 1;
  }

  #travel(process: Process, arrive: () => void): void {
    if (this.#random.chance(this.#options.loss)) return;
    const delayMs = DELAY_MS[0] + (this.#random.uint32() / 2 ** 32) * (DELAY_MS[1] - DELAY_MS[0]);
    this.simulator.after(delayMs, arrive, process);
  }

  #pauseLater(member: Member): void {
    const { pauseEveryMs, pauseMsMax } = this.#options;
    this.simulator.after(this.#random.between(1, 2 * pauseEveryMs), () => {
      this.simulator.pause(member.process, this.#random.between(1, pauseMsMax));
      this.#pauseLater(member);
    });
  }
}
