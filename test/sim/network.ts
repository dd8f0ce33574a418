/**
 * A simulated network of byte streams, with the faults that a network is known for, in virtual time.
 *
 * The transport that ships runs on it unchanged: only sockets are replaced (`node/adapters/tcp/wire.ts`). What is
 * written is cut at frame borders and each frame travels by itself, so that frames can be lost, doubled and
 * reordered; a cut holds them back until it heals, as TCP's retransmission would. A process that dies resets its
 * connections; a machine that dies says nothing, and its peers find out by themselves.
 */
import type { Listener, Network, Wire, WireEvents } from "../../node/adapters/tcp/wire.ts";
import type { Ratio, SeededRandom } from "./random.ts";
import type { Process, Simulator } from "./simulator.ts";
import { isStamp, tellFrame } from "./story.ts";

export type NetworkFaults = {
  /** How long a frame travels, in ms: lowest and highest. */
  readonly delayMs: readonly [number, number];
  readonly loss: Ratio;
  readonly duplication: Ratio;
  /** Frames that take `reorderMs` longer than those behind them. */
  readonly reordering: Ratio;
  readonly reorderMs: readonly [number, number];
};

export const CALM_NETWORK: NetworkFaults = {
  delayMs: [0.2, 2],
  loss: [0, 1],
  duplication: [0, 1],
  reordering: [0, 1],
  reorderMs: [5, 50],
};

/** How often each fault was really met. */
export type NetworkCounters = {
  frames: number;
  lost: number;
  duplicated: number;
  reordered: number;
  held: number;
  reset: number;
  /** Connections reset between processes that both live. */
  broken: number;
};

type Host = { readonly name: string; readonly process: Process; accepted: ((wire: Wire) => void) | undefined };

export class SimulatedNetwork {
  readonly counters: NetworkCounters = {
    frames: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    held: 0,
    reset: 0,
    broken: 0,
  };
  /** Bytes that each process sent, by its name, sent again ones included. */
  readonly sentBytes = new Map<string, number>();
  faults: NetworkFaults;
  readonly #simulator: Simulator;
  readonly #random: SeededRandom;
  readonly #listening = new Map<string, Host>();
  readonly #cuts = new Set<string>();
  /** How long a frame travels from one host to another, where it is not as everywhere. */
  readonly #slow = new Map<string, readonly [number, number]>();
  readonly #wires = new Set<SimulatedWire>();

  constructor(simulator: Simulator, random: SeededRandom, faults: NetworkFaults = CALM_NETWORK) {
    this.#simulator = simulator;
    this.#random = random;
    this.faults = faults;
  }

  get simulator(): Simulator {
    return this.#simulator;
  }

  /** The network as one process sees it. Its address is its host's name with any port. */
  of(process: Process): Network {
    const host: Host = { name: process.name, process, accepted: undefined };
    return {
      listen: async (address, accepted): Promise<Listener> => {
        host.accepted = accepted;
        this.#listening.set(host.name, host);
        return {
          address,
          close: () => {
            if (this.#listening.get(host.name) === host) this.#listening.delete(host.name);
          },
        };
      },
      dial: (address) => this.#dial(host, hostOf(address)),
      afterTurn: (run) => void this.#simulator.after(0, run, process),
    };
  }

  /** Nothing from `from` arrives at `to` until it heals. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** From here on each frame from `from` to `to` travels so long, in ms: lowest and highest; undefined is as everywhere. */
  setTravel(from: string, to: string, delayMs: readonly [number, number] | undefined): void {
    if (delayMs === undefined) this.#slow.delete(`${from}>${to}`);
    else this.#slow.set(`${from}>${to}`, delayMs);
  }

  /** How long a frame travels between two hosts, in ms: lowest and highest. */
  travelMs(from: string, to: string): readonly [number, number] {
    return this.#slow.get(`${from}>${to}`) ?? this.faults.delayMs;
  }

  /**
   * Resets all connections between two hosts, whose processes live on and may dial anew. What is under way is lost.
   *
   * @returns How many there were.
   */
  breakConnections(one: string, other: string): number {
    let broken = 0;
    for (const wire of [...this.#wires]) {
      const { remote } = wire;
      const { name } = wire.process;
      if (name === one && remote === other) broken += 1;
      else if (name !== other || remote !== one) continue;
      wire.fail(new Error(`the connection to ${remote} was reset`));
    }
    this.counters.broken += broken;
    return broken;
  }

  /** Ends all cuts and delays, or cuts in one direction between two hosts; what was held back arrives. */
  heal(from?: string, to?: string): void {
    if (from === undefined) {
      this.#cuts.clear();
      this.#slow.clear();
    } else this.#cuts.delete(`${from}>${to}`);
    for (const wire of [...this.#wires]) wire.release();
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  /** Ends everything of a dead process: "process" resets its connections, "machine" lets them hang. */
  crash(process: Process, kind: "process" | "machine"): void {
    const host = this.#listening.get(process.name);
    if (host?.process === process) this.#listening.delete(process.name);
    for (const wire of [...this.#wires]) {
      if (wire.process !== process) continue;
      this.#wires.delete(wire);
      if (kind === "machine") continue;
      this.counters.reset += 1;
      wire.tellOther();
    }
  }

  /**
   * Draws what becomes of one frame: the delays after which copies of it arrive; below 0 for one that others may overtake.
   *
   * A stamp is never doubled. TCP doubles nothing, and a copy that is refused says "nothing stuck" of itself only: when
   * the other one then goes through, no node told a lie (seeds 104712 and 105410 of 4258e72). What a node or a client
   * sends again is another matter, and happens.
   */
  fates(frame: Uint8Array, delayMs: readonly [number, number]): readonly number[] {
    const { loss, duplication, reordering, reorderMs } = this.faults;
    const random = this.#random;
    this.counters.frames += 1;
    if (random.chance(loss)) {
      this.counters.lost += 1;
      return [];
    }
    const travel = () => delayMs[0] + (random.uint32() / 2 ** 32) * (delayMs[1] - delayMs[0]);
    let delay = travel();
    if (random.chance(reordering)) {
      this.counters.reordered += 1;
      delay += random.between(...reorderMs);
      return [-delay];
    }
    if (!random.chance(duplication) || isStamp(frame)) return [delay];
    this.counters.duplicated += 1;
    return [delay, delay + travel()];
  }

  add(wire: SimulatedWire): void {
    this.#wires.add(wire);
  }

  remove(wire: SimulatedWire): void {
    this.#wires.delete(wire);
  }

  #dial(from: Host, to: string): Wire {
    const near = new SimulatedWire(this, from.process, to);
    this.#simulator.after(
      this.travelMs(from.name, to)[1],
      () => {
        // A cut answers nothing: whoever dials gives up by its own clock.
        if (near.isClosed || this.isCut(from.name, to) || this.isCut(to, from.name)) return;
        const host = this.#listening.get(to);
        if (host === undefined || !host.process.alive) return near.fail(new Error(`${to} refused the connection`));
        const far = new SimulatedWire(this, host.process, from.name);
        near.join(far);
        this.#simulator.after(0, () => host.accepted?.(far), host.process);
        this.#simulator.after(this.travelMs(to, from.name)[1], () => near.connected(), from.process);
      },
      from.process,
    );
    return near;
  }
}

const DEAF: WireEvents = { connected() {}, data() {}, drained() {}, closed() {} };
/** A frame's length field counts what follows the length and the checksum. */
const LENGTH_AND_CHECKSUM_BYTES = 8;

export class SimulatedWire implements Wire {
  readonly process: Process;
  readonly remote: string;
  readonly #network: SimulatedNetwork;
  #events: WireEvents = DEAF;
  #other: SimulatedWire | undefined;
  #paused = false;
  #closed = false;
  /** Arrived, but not taken yet by a reader that paused. */
  #unread: Uint8Array[] = [];
  /** Written while a cut stood. */
  #held: Uint8Array[] = [];
  /** Instant before which nothing further may arrive, so that frames keep their order unless reordered. */
  #orderedUntilMs = 0;

  constructor(network: SimulatedNetwork, process: Process, remote: string) {
    this.#network = network;
    this.process = process;
    this.remote = remote;
    network.add(this);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  attach(events: WireEvents): void {
    this.#events = events;
  }

  join(other: SimulatedWire): void {
    this.#other = other;
    other.#other = this;
  }

  connected(): void {
    if (!this.#closed) this.#events.connected();
  }

  write(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length; ) {
      const view = new DataView(chunk.buffer, chunk.byteOffset + at);
      const end = Math.min(chunk.length, at + LENGTH_AND_CHECKSUM_BYTES + view.getUint32(0));
      this.#send(Uint8Array.prototype.slice.call(chunk, at, end));
      at = end;
    }
    return true;
  }

  queuedBytes(): number {
    return this.#other?.unreadBytes() ?? 0;
  }

  objection(): undefined {}

  unreadBytes(): number {
    return this.#unread.reduce((sum, frame) => sum + frame.length, 0);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const frames = this.#unread;
    this.#unread = [];
    for (const frame of frames) this.#arrive(frame);
    if (frames.length > 0 && this.#unread.length === 0) this.#other?.drained();
  }

  drained(): void {
    const tell = () => {
      if (!this.#closed) this.#events.drained();
    };
    this.#network.simulator.after(0, tell, this.process);
  }

  end(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#closed) return;
    this.tellOther();
    this.#close(undefined);
  }

  /** The connection could not be made, or is reset. */
  fail(error: Error): void {
    if (!this.#closed) this.#close(error);
  }

  /** The other end hears, after what was sent before, that this one is gone. */
  tellOther(): void {
    const other = this.#other;
    if (other === undefined) return;
    const simulator = this.#network.simulator;
    const atMs = Math.max(
      this.#orderedUntilMs,
      simulator.nowMs + this.#network.travelMs(this.process.name, this.remote)[1],
    );
    simulator.after(atMs - simulator.nowMs, () => other.#hearEnd(), other.process);
  }

  /** A cut has healed: what it held back goes on its way. */
  release(): void {
    if (this.#network.isCut(this.process.name, this.remote)) return;
    const frames = this.#held;
    this.#held = [];
    for (const frame of frames) this.#send(frame);
  }

  #hearEnd(): void {
    if (this.#closed) return;
    // The news does not cross a cut either; the end is heard of by silence, or when the cut has healed.
    if (this.#network.isCut(this.remote, this.process.name)) {
      this.#network.simulator.after(1_000, () => this.#hearEnd(), this.process);
      return;
    }
    this.#close(undefined);
  }

  #send(frame: Uint8Array): void {
    const other = this.#other;
    if (other === undefined || this.#closed) return;
    if (this.#network.isCut(this.process.name, this.remote)) {
      this.#network.counters.held += 1;
      this.#tell(frame, ", held back by a cut");
      this.#held.push(frame);
      return;
    }
    const { simulator, sentBytes } = this.#network;
    const { name } = this.process;
    sentBytes.set(name, (sentBytes.get(name) ?? 0) + frame.length);
    const fates = this.#network.fates(frame, this.#network.travelMs(name, this.remote));
    this.#tell(
      frame,
      fates.length === 0 ? ", lost" : fates.length > 1 ? ", twice" : (fates[0] ?? 0) < 0 ? ", late" : "",
    );
    for (const fate of fates) {
      const isReordered = fate < 0;
      let atMs = simulator.nowMs + Math.abs(fate);
      if (!isReordered) {
        atMs = Math.max(atMs, this.#orderedUntilMs);
        this.#orderedUntilMs = atMs;
      }
      simulator.after(atMs - simulator.nowMs, () => other.#arrive(frame.slice()), other.process);
    }
  }

  #tell(frame: Uint8Array, fate: string): void {
    const { simulator } = this.#network;
    if (!simulator.isRead) return;
    const told = tellFrame(frame);
    if (told !== undefined) simulator.note(`${this.process.name} > ${this.remote}: ${told}${fate}`);
  }

  #arrive(frame: Uint8Array): void {
    if (this.#closed) return;
    if (this.#paused) this.#unread.push(frame);
    else this.#events.data(frame);
  }

  /** As with a socket, whoever closes hears of the end after the call, not within it. */
  #close(error: Error | undefined): void {
    this.#closed = true;
    this.#network.remove(this);
    this.#network.simulator.after(0, () => this.#events.closed(error), this.process);
  }
}

/** The host that an address leads to: the first label of its name, as the DNS of a StatefulSet has it. */
function hostOf(address: string): string {
  return address.replace(/[.:].*$/, "");
}
