/**
 * The HorizontalPodAutoscaler: it follows a load that rises and falls, up at once and down after a while, and writes
 * nothing but the number of replicas, through the KVCluster's scale subresource.
 */
import { numberAt } from "../../../operator/core/objects.ts";
import type { SeededRandom } from "../random.ts";
import type { Simulator } from "../simulator.ts";
import type { SimulatedApiServer } from "./api-server.ts";

/** It goes down no sooner after it last wanted as many as there are. */
const STABLE_MS = 5_000;

export class Autoscaler {
  /** How often it changed the number. */
  changes = 0;
  /** How many replicas the load of the moment calls for. */
  load: number;
  readonly #server: SimulatedApiServer;
  readonly #simulator: Simulator;
  #neededMs = 0;

  /** @param random Draws the load, which turns every few seconds until `stop`. */
  constructor(parts: { simulator: Simulator; server: SimulatedApiServer; random: SeededRandom }, loadMax: number) {
    this.#server = parts.server;
    this.#simulator = parts.simulator;
    this.load = parts.random.below(loadMax + 1);
    this.#turn(parts.random, loadMax);
  }

  #turn(random: SeededRandom, loadMax: number): void {
    this.#simulator.after(random.between(3_000, 20_000), () => {
      if (this.#isSteady) return;
      this.load = random.below(loadMax + 1);
      this.#turn(random, loadMax);
    });
  }

  #isSteady = false;

  /** The load stays as it is. */
  settle(): void {
    this.#isSteady = true;
  }

  /** @param scale Sets the number, as `kubectl scale` does. */
  look(name: string, scale: (replicas: number) => void): void {
    const autoscaler = this.#server.store.find("HorizontalPodAutoscaler", name);
    const present = numberAt(this.#server.store.find("KVCluster", name), "spec", "replicas");
    if (autoscaler === undefined || present === undefined) return;
    const min = numberAt(autoscaler, "spec", "minReplicas") ?? 1;
    const max = numberAt(autoscaler, "spec", "maxReplicas") ?? min;
    const wanted = Math.min(max, Math.max(min, this.load));
    const { nowMs } = this.#simulator;
    if (wanted >= present) this.#neededMs = nowMs;
    if (wanted === present || (wanted < present && nowMs - this.#neededMs < STABLE_MS)) return;
    this.changes += 1;
    scale(wanted);
  }
}
