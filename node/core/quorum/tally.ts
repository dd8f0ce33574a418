/**
 * Counts replies towards a quorum: how many replicas, from how many zones, and whether anything may have stuck.
 *
 * One tally serves one request. It is a plain mutable counter rather than a value copied at each step because it is
 * made for every request; it sends, stores and waits for nothing itself. Source: DeCandia et al. 2007, §4.5 and §4.6
 * (R and W), with the zones of the acknowledgements counted besides.
 */
import assert from "node:assert/strict";
import type { Outcome } from "../errors.ts";

/** `lost` only when no reply is outstanding: an answer about a write that was sent waits for what it may still learn. */
export type Verdict = "pending" | "won" | "lost";

/** The count for one request: made with what is required, told of each question and each reply. */
export class Tally {
  /** Replicas whose reply counts. */
  readonly required: number;
  /** Distinct zones that those replicas must come from. */
  readonly zonesRequired: number;
  #acks = 0;
  #hinted = 0;
  #asked = 0;
  #outstanding = 0;
  #mayHold = false;
  readonly #zones: string[] = [];

  /**
   * @param required R or W, at least 1.
   * @param zonesRequired At least 1.
   */
  constructor(required: number, zonesRequired: number) {
    assert(required >= 1 && zonesRequired >= 1, "a quorum of nobody would acknowledge anything");
    this.required = required;
    this.zonesRequired = zonesRequired;
  }

  /** Replicas whose reply has counted. */
  get acks(): number {
    return this.#acks;
  }

  /** Those among `acks` that stand in for a home replica: they hold the write as a hint, or were read in its place. */
  get hinted(): number {
    return this.#hinted;
  }

  /** Replicas that were asked. */
  get asked(): number {
    return this.#asked;
  }

  /** Distinct zones among the acknowledgements, now and when those of stand-ins have moved to their homes. */
  get zones(): number {
    return this.#zones.length > 0 || this.#acks === 0 ? this.#zones.length : 1;
  }

  /** Replicas that were asked and have not replied yet. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** Whether a replica may hold what was sent. */
  get outcome(): Outcome {
    return this.#mayHold ? "unknown" : "none";
  }

  /** One replica is being asked; exactly one of `acked` and `failed` follows. */
  ask(): void {
    this.#asked += 1;
    this.#outstanding += 1;
  }

  /** A replica in `zone` did what it was asked for. */
  acked(zone: string): void {
    this.#did(zone);
  }

  /**
   * A stand-in keeps the write as a hint, or replied to a read in a home's place.
   *
   * @param zone Undefined for a copy that will not stay where it is: its home is in another zone.
   */
  hint(zone: string | undefined): void {
    this.#did(zone);
    this.#hinted += 1;
  }

  /** A reply that adds nothing: the home replica it is of, or stands in for, is counted already. */
  repeated(): void {
    this.#settle();
  }

  /** A stand-in's reply that settled as one that does not count turns out to count after all. */
  hintAfterAll(zone: string): void {
    this.#add(zone);
    this.#hinted += 1;
  }

  /** A replica refused ("none") or was not heard of in time ("unknown"). */
  failed(outcome: Outcome): void {
    this.#settle();
    if (outcome === "unknown") this.#mayHold = true;
  }

  /** Somebody outside the count may hold what was sent: a home that was asked to stamp it and stayed silent. */
  noteUnknown(): void {
    this.#mayHold = true;
  }

  /** The deadline has come: whoever was asked and has not replied may hold it. */
  expire(): void {
    if (this.#outstanding > 0) this.#mayHold = true;
  }

  verdict(): Verdict {
    if (this.#acks >= this.required && this.zones >= this.zonesRequired) return "won";
    return this.#outstanding > 0 ? "pending" : "lost";
  }

  #did(zone: string | undefined): void {
    this.#settle();
    this.#mayHold = true;
    this.#add(zone);
  }

  #add(zone: string | undefined): void {
    this.#acks += 1;
    if (zone !== undefined && !this.#zones.includes(zone)) this.#zones.push(zone);
  }

  #settle(): void {
    assert(this.#outstanding > 0, "a reply came from a replica that was never asked");
    this.#outstanding -= 1;
  }
}
