/**
 * Machines of a simulated Kubernetes, each in a zone: they lose power and come back, fall silent, or are lost for good.
 * A machine that has not been heard of for a while is said not to be ready; one that is lost is struck off the list.
 */
import assert from "node:assert/strict";
import { formatInstant } from "../../../operator/core/instant.ts";
import type { Simulator } from "../simulator.ts";
import type { SimulatedApiServer } from "./api-server.ts";

export type Machine = {
  readonly name: string;
  readonly zone: string;
  /** Whether it has power. */
  isUp: boolean;
  /** It never comes back, and neither does what its disks held. */
  isLost: boolean;
  /** Until when its kubelet reaches no API server, though everything on it runs. */
  muteUntilMs: number;
  /** Until when no operator reaches what runs on it either. */
  cutOffUntilMs: number;
  /** When the API server last heard of it. */
  beatMs: number;
  /** When the API server heard of it again after a silence, and how long that had lasted then. */
  backMs: number;
  silenceMs: number;
  lostMs: number;
  /** Since when it is said not to be ready; undefined while it is. */
  unreadySinceMs: number | undefined;
};

export const ZONE_LABEL = "topology.kubernetes.io/zone";
export const HOSTNAME_LABEL = "kubernetes.io/hostname";
/** After so long without a beat it is not ready. */
const SILENT_MS = 4_000;
/** So long after it was lost it is struck off the list. */
const STRUCK_OFF_MS = 20_000;

export class Machines {
  readonly all: Machine[] = [];
  readonly #server: SimulatedApiServer;
  readonly #simulator: Simulator;

  constructor(simulator: Simulator, server: SimulatedApiServer, zones: readonly string[], perZone: number) {
    this.#simulator = simulator;
    this.#server = server;
    for (const zone of zones) for (let i = 0; i < perZone; i++) this.add(zone);
  }

  /** Puts up one more. */
  add(zone: string): Machine {
    const name = `machine-${this.all.length + 1}`;
    const { nowMs } = this.#simulator;
    const machine: Machine = {
      name,
      zone,
      isUp: true,
      isLost: false,
      muteUntilMs: 0,
      cutOffUntilMs: 0,
      beatMs: nowMs,
      backMs: nowMs,
      silenceMs: 0,
      lostMs: 0,
      unreadySinceMs: undefined,
    };
    this.all.push(machine);
    this.#tell(machine, "True");
    return machine;
  }

  /** By its name, or by what volumes call it. */
  find(name: string | undefined): Machine | undefined {
    return this.all.find((machine) => machine.name === name || hostOf(machine) === name);
  }

  /** Whether pods can be started and stopped on it, and their states be told. */
  isSeen(machine: Machine): boolean {
    return machine.isUp && machine.muteUntilMs <= this.#simulator.nowMs;
  }

  /** Whether the API server says that it is ready. */
  isReady(machine: Machine): boolean {
    return !machine.isLost && this.#simulator.nowMs - machine.beatMs < SILENT_MS;
  }

  /** Beats, and what the lack of them makes of the others. */
  look(): void {
    const { nowMs } = this.#simulator;
    for (const machine of this.all) {
      if (this.isSeen(machine)) hear(machine, nowMs);
      const node = this.#server.store.find("Node", machine.name, "");
      if (machine.isLost && nowMs - machine.lostMs > STRUCK_OFF_MS) {
        if (node !== undefined) this.#server.store.drop(node);
        continue;
      }
      const status = this.isReady(machine) ? "True" : "Unknown";
      const told = (node?.status as { conditions: { status: string }[] } | undefined)?.conditions[0]?.status;
      if (told !== status) this.#tell(machine, status);
      machine.unreadySinceMs = status === "True" ? undefined : (machine.unreadySinceMs ?? nowMs);
    }
  }

  #tell({ name, zone }: Machine, ready: "True" | "Unknown"): void {
    assert(zone !== "", "every machine has a zone");
    const { store } = this.#server;
    store.set({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { [ZONE_LABEL]: zone, [HOSTNAME_LABEL]: hostOf({ name }) } },
      status: { conditions: [{ type: "Ready", status: ready, lastTransitionTime: formatInstant(store.nowMs) }] },
    });
  }
}

/** Its label, by which volumes find it, is not its name: on many clouds the two differ. */
export function hostOf({ name }: { readonly name: string }): string {
  return `${name}.host`;
}

function hear(machine: Machine, nowMs: number): void {
  const silenceMs = nowMs - machine.beatMs;
  if (silenceMs >= SILENT_MS) {
    machine.backMs = nowMs;
    machine.silenceMs = silenceMs;
  }
  machine.beatMs = nowMs;
}
