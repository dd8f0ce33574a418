/**
 * Thrown by a request that met a later ring before it had its answer: its coordinator begins it again by that.
 *
 * It is no answer and never leaves this node. A write that was stamped already takes along what the stamp gave it: it
 * is the same event, and its copies are merged wherever the later ring wants them.
 */
import type { EventName } from "../messages.ts";
import type { StampResult } from "./replica.ts";

/** What a write that begins again goes on with. */
export type WriteSoFar = {
  readonly event: EventName | undefined;
  readonly stamped: StampResult | undefined;
  /** Whether a replica may hold it. */
  readonly isUnknown: boolean;
};

/** The request has ended without an answer, and is to begin again. */
export class RingChanged extends Error {
  readonly soFar: WriteSoFar | undefined;

  constructor(soFar?: WriteSoFar) {
    super("a request met a later ring");
    this.name = "RingChanged";
    this.soFar = soFar;
  }
}
