/**
 * The acknowledgements of one write: each that a node gives, whether its client hears of it or not.
 *
 * A write that is sent again under its name is the same event (design §4). So whatever the first answer promised the second
 * one does, and besides: its token covers the write, and of what came after the first answer only what is gone by others'
 * doing. Whoever writes with that token next would else replace what he never saw.
 */
import assert from "node:assert/strict";
import { KvError } from "../../node/core/errors.ts";
import { covers } from "../../node/core/version/context.ts";
import { decodeToken } from "../../node/core/version/context-codec.ts";
import { type Dot, isEvent, type KvRecord } from "../../node/core/version/record.ts";
import type { RequestOptions, WriteAnswer } from "../../node/services/coordinator.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { Copies } from "./copies.ts";
import { isStrict, promiseOf } from "./demands.ts";
import type { History } from "./history.ts";
import { checkReceipt } from "./receipts.ts";
import { idsOf } from "./values.ts";
import { isStampedOnce, type Write } from "./writes.ts";

export type Watchers = { readonly cluster: SimulatedCluster; readonly history: History; readonly copies: Copies };

/** What one write asked for, and under which name. */
export type Asked = { readonly options: RequestOptions; readonly name: Uint8Array | undefined };

export class Acknowledgements {
  readonly #watchers: Watchers;
  readonly #write: Write;
  readonly #asked: Asked;
  /** How long after it was asked for a stamp may be made. */
  readonly #stampingMs: number;
  /** When the first one was given. */
  #firstMs: number | undefined;
  #wasStampedOnce = false;

  constructor(watchers: Watchers, write: Write, asked: Asked & { readonly stampingMs: number }) {
    this.#watchers = watchers;
    this.#write = write;
    this.#asked = asked;
    this.#stampingMs = asked.stampingMs;
  }

  /** Whether the name is known for sure to whoever is sent the write again: by a read that meets all who acknowledged it. */
  get isRemembered(): boolean {
    const { cluster } = this.#watchers;
    const { options, name } = this.#asked;
    if (name === undefined || this.#write.ttlMs !== undefined) return false;
    const isByRing = options.writeQuorum === undefined && options.readQuorum === undefined;
    return isByRing && isStrict(cluster, options) && cluster.isOverlapping;
  }

  /** Checks an answer in the moment in which it is given. */
  take(given: WriteAnswer | KvError): void {
    if (given instanceof KvError) this.#checkRefusal(given);
    else this.#checkAcknowledged(given);
  }

  #checkAcknowledged({ context: token, receipt }: WriteAnswer): void {
    const { cluster, history, copies } = this.#watchers;
    const { options, name } = this.#asked;
    const { id, key, startedMs } = this.#write;
    const dots: Dot[] = [];
    const observe = (record: KvRecord) => {
      history.stamps.observe(key, record, (found) => idsOf([found], key, history.writes)[0]);
      if (name !== undefined)
        for (const event of record.events) if (isEvent(event, { kind: "client", id: name })) dots.push(event.dot);
    };
    checkReceipt(
      cluster,
      bytesOf(key),
      { context: token, receipt },
      {
        ...{
          zones: options.zones,
          writeQuorum: promiseOf(cluster, options).holders,
          isStrict: isStrict(cluster, options),
        },
        ...{ startedMs, name, observe },
      },
    );
    copies.note(key, { id, token, receipt, startedMs });
    if (!history.mayBeStampedAnew(this.#write, this.#nowMs)) {
      const context = decodeToken(token, bytesOf(key));
      assert(
        dots.length === 0 || dots.some((dot) => covers(context, dot)),
        `the token of write ${id} to ${key} covers it: stamped as [${[...new Set(dots.map(tell))]}]`,
      );
    }
    if (this.#firstMs !== undefined) this.#checkAgain(token, this.#firstMs);
    this.#firstMs ??= this.#nowMs;
  }

  /** The write has ended for its client, and its history knows how it was stamped. */
  ended(): void {
    this.#wasStampedOnce = isStampedOnce(this.#write);
  }

  /** It may come after an acknowledgement that was lost, or where the write is sent again. */
  #checkRefusal({ code }: KvError): void {
    const { id, key } = this.#write;
    if (code !== "PRECONDITION_FAILED" || this.#firstMs === undefined || !this.isRemembered) return;
    assert(
      this.#watchers.history.mayBeStampedAnew(this.#write, this.#nowMs),
      `write ${id} was acknowledged, and is told under its name that ${key} has a value`,
    );
  }

  #checkAgain(token: string, firstMs: number): void {
    const { history, cluster } = this.#watchers;
    const { id, key, kind } = this.#write;
    if (!this.isRemembered || history.mayBeStampedAnew(this.#write, this.#nowMs)) return;
    cluster.counters.set(AGAIN, (cluster.counters.get(AGAIN) ?? 0) + 1);
    const context = decodeToken(token, bytesOf(key));
    // Of a blind overwrite that several were asked to stamp, the last one may still have done it after the first answer.
    const sinceMs = kind === "overwrite" && !this.#wasStampedOnce ? firstMs + this.#stampingMs : firstMs;
    for (const later of history.writes.values()) {
      if (later.key !== key || later.startedMs <= sinceMs || history.stamps.isCovered(later.id, context) !== true)
        continue;
      assert(
        history.isAccountedFor(later, [], this.#nowMs, this.#write),
        `write ${id} to ${key} was acknowledged at ${firstMs.toFixed(1)} ms, and its token of ${this.#nowMs.toFixed(1)} ms covers write ${later.id}, which began later`,
      );
    }
  }

  get #nowMs(): number {
    return this.#watchers.cluster.simulator.nowMs;
  }
}

const AGAIN = "simulated.acknowledged_again";

function tell({ actor, incarnation, counter }: Dot): string {
  return `${actor.slice(0, 4)}.${incarnation}:${counter}`;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
