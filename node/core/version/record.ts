/**
 * What a replica holds for one key: concurrent values with their dots, and the causal past they stand on.
 *
 * Source: dotted version vector sets (Preguiça et al. 2010, Almeida et al. 2014) read as a causal store of two
 * dot-maps (siblings, write events) under one causal context, so that merge is the join of a lattice.
 */
import type { VersionVector } from "./vector.ts";

/** 32 hex digits, the id of a data directory. */
export type ActorId = string;

/** Name of one write event, made by the replica that stamped it. Counters grow over all keys of an actor. */
export type Dot = { readonly actor: ActorId; readonly incarnation: number; readonly counter: number };

/** A causal past: all dots at or under the vector's entries, and `dots` above them. */
export type CausalContext = { readonly vector: VersionVector; readonly dots: readonly Dot[] };

/** One of the concurrent values of a key; without `value` a tombstone. Never changed once made. */
export type Sibling = {
  readonly dot: Dot;
  readonly value: Uint8Array | undefined;
  readonly contentType: string;
  /** Wall clock of the replica that stamped it, ms since 1970. Shown to people, never used for ordering writes. */
  readonly writtenAtMs: number;
  /** From this instant the value is a tombstone of the same dot; undefined is never. */
  readonly expiresAtMs: number | undefined;
};

/** Remembers which write a client's key (or a coordinator's forward id) named, also after it was replaced. */
export type WriteEvent = {
  readonly dot: Dot;
  readonly kind: "client" | "forward";
  readonly id: Uint8Array;
  readonly stampedAtMs: number;
};

export type KvRecord = {
  readonly context: CausalContext;
  /** In dot order; at least one unless everything was collected. */
  readonly siblings: readonly Sibling[];
  /** In dot order. */
  readonly events: readonly WriteEvent[];
};
