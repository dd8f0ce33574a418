/** Resolves what a request leaves open, and refuses what the ring cannot give. */

import type { Durability } from "../core/errors.ts";
import { KvError, type Receipt } from "../core/errors.ts";
import type { Tally } from "../core/quorum/tally.ts";
import type { Mode } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { TraceContext } from "../messages.ts";
import type { RequestOptions } from "./coordinator.ts";

/** A request's choices with nothing left open. */
export type Choices = {
  readonly readQuorum: number;
  readonly writeQuorum: number;
  readonly mode: Mode;
  readonly zones: number;
  readonly timeoutMs: number;
  /** Under which span the replicas are asked; undefined for what is not traced. */
  readonly trace: TraceContext | undefined;
};

/**
 * @param options What the request said.
 * @param defaults What the configuration says where neither the request nor the ring document does.
 * @throws {KvError} INVALID_REQUEST for a quorum above N, or more zones than the ring has.
 */
export function resolveOptions(ring: Ring, options: RequestOptions, defaults: { readonly timeoutMs: number }): Choices {
  const { document } = ring;
  const choices = {
    readQuorum: options.readQuorum ?? ring.readQuorum,
    writeQuorum: options.writeQuorum ?? ring.writeQuorum,
    mode: options.mode ?? document.mode,
    zones: options.zones ?? 1,
    timeoutMs: options.timeoutMs ?? defaults.timeoutMs,
    trace: options.trace,
  };
  const n = document.replicationFactor;
  if (choices.readQuorum > n) refuse("r", choices.readQuorum, `the ring keeps ${n} replicas`);
  if (choices.writeQuorum > n) refuse("w", choices.writeQuorum, `the ring keeps ${n} replicas`);
  if (choices.zones > ring.zoneCount) refuse("zones", choices.zones, `the ring has ${ring.zoneCount}`);
  return choices;
}

/** A request of a trace's span, where there is one. */
export function underTrace<T extends object>(request: T, trace: TraceContext | undefined): T {
  return trace === undefined ? request : { ...request, trace };
}

function refuse(name: string, value: number, limit: string): never {
  throw new KvError("INVALID_REQUEST", `Cannot serve ${name}=${value}: ${limit}.`);
}

/** What an answer stands on, from the tally that it was decided by. */
export function receiptOf(tally: Pick<Tally, "acks" | "asked" | "zones" | "hinted">, durability: Durability): Receipt {
  return { acks: tally.acks, asked: tally.asked, zones: tally.zones, hinted: tally.hinted, durability };
}
