/**
 * The world of the transport contract over loopback sockets: every machine has timers and wires that die with it.
 *
 * A machine that loses its power keeps its sockets open and reads nothing, which is what its peers see of it: no end,
 * no reset, bytes that go nowhere.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { systemRandom, systemTime } from "../../../node/adapters/system.ts";
import { socketNetwork } from "../../../node/adapters/tcp/sockets.ts";
import type { Listener, Network, Objection, Wire, WireEvents } from "../../../node/adapters/tcp/wire.ts";
import type { Time, Timer } from "../../../node/ports.ts";
import type { Host, TransportWorld } from "../../contract/transport-world.ts";

const DEAF: WireEvents = { connected() {}, data() {}, drained() {}, closed() {} };

export type TcpHost = Host & {
  /** Connections of this machine that are open, whoever dialled them. */
  openWires(): number;
};

export type TcpWorld = TransportWorld & { boot(name: string): TcpHost };

/** @param createNetwork Makes the network of the machine of this name. */
export function createTcpWorld(createNetwork: (name: string) => Network = socketNetwork): TcpWorld {
  const hosts: MortalHost[] = [];
  return {
    boot(name) {
      const host = new MortalHost(createNetwork(name));
      hosts.push(host);
      return host;
    },
    async until(condition, withinMs) {
      const untilMs = systemTime.monotonicMs() + withinMs;
      while (!condition()) {
        assert(systemTime.monotonicMs() < untilMs, `the condition did not hold within ${withinMs} ms: ${condition}`);
        await sleep(1);
      }
    },
    advance: (durationMs) => sleep(durationMs),
    async dispose() {
      for (const host of hosts) host.die("process");
      while (hosts.some((host) => host.openWires() > 0)) await sleep(1);
    },
  };
}

class MortalHost implements TcpHost {
  readonly network: Network;
  readonly time: Time;
  readonly random = systemRandom();
  readonly listen = { host: "127.0.0.1", port: 0 };
  readonly #wires = new Set<MortalWire>();
  readonly #timers = new Set<Timer>();
  readonly #listeners: Listener[] = [];
  #isAlive = true;

  constructor(sockets: Network) {
    this.time = { ...systemTime, after: (delayMs, run) => this.#after(delayMs, run) };
    this.network = {
      listen: async (address, accepted) => {
        const listener = await sockets.listen(address, (wire) => accepted(this.#own(wire)));
        this.#listeners.push(listener);
        return listener;
      },
      dial: (address) => this.#own(sockets.dial(address)),
      afterTurn: (run) => sockets.afterTurn(() => (this.#isAlive ? run() : undefined)),
    };
  }

  openWires(): number {
    return this.#wires.size;
  }

  die(kind: "process" | "machine"): void {
    this.#isAlive = false;
    for (const timer of this.#timers) timer.cancel();
    for (const listener of this.#listeners) listener.close();
    for (const wire of this.#wires) wire.die(kind);
  }

  #after(delayMs: number, run: () => void): Timer {
    if (!this.#isAlive) return { cancel() {} };
    const timer = systemTime.after(delayMs, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
    return {
      cancel: () => {
        timer.cancel();
        this.#timers.delete(timer);
      },
    };
  }

  #own(inner: Wire): Wire {
    const wire = new MortalWire(inner, () => this.#wires.delete(wire));
    this.#wires.add(wire);
    if (!this.#isAlive) wire.die("process");
    return wire;
  }
}

class MortalWire implements Wire {
  readonly remote: string;
  readonly #inner: Wire;
  #events: WireEvents = DEAF;
  #isDead = false;

  constructor(inner: Wire, closed: () => void) {
    this.#inner = inner;
    this.remote = inner.remote;
    inner.attach({
      connected: () => this.#events.connected(),
      data: (chunk) => this.#events.data(chunk),
      drained: () => this.#events.drained(),
      closed: (error) => {
        closed();
        this.#events.closed(error);
      },
    });
  }

  die(kind: "process" | "machine"): void {
    this.#events = DEAF;
    this.#isDead = true;
    if (kind === "machine") this.#inner.pause();
    else this.#inner.destroy();
  }

  attach(events: WireEvents): void {
    if (!this.#isDead) this.#events = events;
  }

  write(chunk: Uint8Array): boolean {
    return this.#isDead || this.#inner.write(chunk);
  }

  queuedBytes(): number {
    return this.#inner.queuedBytes();
  }

  objection(name: string | undefined): Objection | undefined {
    return this.#inner.objection(name);
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    if (!this.#isDead) this.#inner.resume();
  }

  end(): void {
    if (!this.#isDead) this.#inner.end();
  }

  destroy(): void {
    if (!this.#isDead) this.#inner.destroy();
  }
}
