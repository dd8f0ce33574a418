/**
 * The collection horizons of this node's partitions, on disk and in memory: which tombstones may be forgotten
 * (core/version/collect.ts), and whether this node's own copy can tell what was forgotten from what it lost.
 *
 *     raised here, or heard of ── joined with what is there ── on the disk, synced ── in force ── applied to all records
 *
 * A horizon only grows. It is in force once it would survive the loss of power, and *settled* when every record of the partition was
 * looked at since. A node *vouches* for a partition when it held all that the horizon covers and has lost nothing since: it
 * has been part of the evidence, or was found equal to one that vouches, under the incarnation of now. Any loss begins a new
 * incarnation (design §4), and so ends that by itself.
 */
import { KvError } from "../core/errors.ts";
import { horizonKey, horizonRange, parseHorizonKey } from "../core/keyspace.ts";
import { PARTITIONS_MAX } from "../core/ring/document.ts";
import { sealBytes, unsealBytes } from "../core/seal.ts";
import { type Horizon, horizonDescends, joinHorizons } from "../core/version/collect.ts";
import {
  decodeHorizon,
  encodeHorizon,
  HorizonMalformedError,
  horizonDigest,
  NO_HORIZON,
} from "../core/version/horizon-codec.ts";
import type { Engine, Telemetry } from "../ports.ts";
import type { Identity } from "./identity.ts";
import { pagesOf } from "./stored-pages.ts";

export type Horizons = {
  /** Reads what is on the disk. To be called before anything is merged. */
  open(): Promise<void>;
  /** The horizon in force; undefined where there is none. */
  of(partition: number): Horizon | undefined;
  /** The same as `encodeHorizon` writes it. */
  encoded(partition: number): Uint8Array | undefined;
  /** Tells horizons apart; `NO_HORIZON` where there is none. */
  digest(partition: number): number;
  /** Whether what is missing here and covered by the horizon was surely deleted, as far as this disk goes. */
  isVouched(partition: number): boolean;
  /** Whether no record here is left that the horizon collects. */
  isSettled(partition: number): boolean;
  /** Partitions whose records have still to be looked at. */
  unsettled(): readonly number[];
  /**
   * Joins a horizon with the one in force. Resolves once that would survive the loss of power and is in force.
   *
   * @param vouchedUnder The incarnation under which all that it covers was held here, if that is known.
   */
  adopt(partition: number, horizon: Horizon, vouchedUnder?: number): Promise<void>;
  /** Says that all that the horizon of this digest covers was held here under an incarnation. */
  vouch(partition: number, digest: number, incarnation: number): Promise<void>;
  /** Before records of the partition are given up: what is missing here says nothing any more. */
  disown(partition: number): Promise<void>;
  /** Says that every record was looked at since the horizon of this digest came into force. */
  settle(partition: number, digest: number): Promise<void>;
  /** Calls `listener` when a partition has come to be unsettled. */
  onUnsettled(listener: () => void): void;
};

/** Incarnations begin with 1. */
const NEVER = 0;

type State = {
  readonly horizon: Horizon;
  readonly bytes: Uint8Array;
  readonly digest: number;
  /** The incarnations under which this copy was vouched for, and under which it was settled. */
  readonly vouchedUnder: number;
  readonly settledUnder: number;
};

const NAME = "horizon";
/** Two incarnations before the horizon itself. */
const HEAD_BYTES = 8;
const PAGE = 256;

/** @param parts `identity`: whose incarnation says whether something was lost. */
export function createHorizons(parts: {
  readonly engine: Engine;
  readonly identity: Pick<Identity, "incarnation">;
  readonly telemetry: Telemetry;
}): Horizons {
  const { engine, identity, telemetry } = parts;
  const states = new Map<number, State>();
  /** One write after the other, each upon what the one before it left. */
  let lastWrite: Promise<unknown> = Promise.resolve();
  let listener: () => void = () => {};
  telemetry.gauge("annulus.tombstones.horizons", () => states.size);
  telemetry.gauge("annulus.tombstones.partitions_vouched", () => [...states.keys()].filter(isVouched).length);

  function isVouched(partition: number): boolean {
    return states.get(partition)?.vouchedUnder === identity.incarnation();
  }

  /** `next` gives the state to store; the same one, or undefined, when there is nothing to do. */
  function change(partition: number, next: (state: State | undefined) => State | undefined): Promise<void> {
    const write = async (): Promise<void> => {
      const state = next(states.get(partition));
      if (state === undefined || state === states.get(partition)) return;
      await engine.batch([{ kind: "put", key: horizonKey(partition), value: encodeState(state) }], { sync: true });
      states.set(partition, state);
      if (state.settledUnder === NEVER) listener();
    };
    const writing = lastWrite.then(write);
    lastWrite = writing.catch((error: unknown) => {
      // Thrown to whoever asked for it; the next one stores what it knows, and this with it or not.
      if (!(error instanceof KvError)) throw error;
    });
    return writing;
  }

  /**
   * Reads those of some partitions, but for those that cannot be read, for a damaged block say: of these nothing is known, as
   * of damaged ones. So nothing is vouched for, and nothing is forgotten, until a peer tells of the horizon; and where none knows
   * it, for it was raised here and told to nobody yet, the peers still have all the deletions.
   *
   * @returns How many could not be read.
   */
  async function read(from: number, until: number): Promise<number> {
    try {
      const range = {
        from: horizonKey(from),
        until: until < PARTITIONS_MAX ? horizonKey(until) : horizonRange().until,
      };
      for await (const entries of pagesOf(engine, range, PAGE)) {
        for (const { key, value } of entries) take(parseHorizonKey(key), value);
      }
      return 0;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      if (until - from === 1) return (await readOne(from)) ? 0 : 1;
      const middle = (from + until) >>> 1;
      return (await read(from, middle)) + (await read(middle, until));
    }
  }

  /** What was written later than the damaged block is found all the same, where only that is asked for. */
  async function readOne(partition: number): Promise<boolean> {
    try {
      const value = await engine.get(horizonKey(partition));
      if (value !== undefined) take(partition, value);
      return true;
    } catch (cause) {
      if (!(cause instanceof KvError)) throw cause;
      telemetry.log("debug", "horizon.unread", { partition, cause });
      return false;
    }
  }

  function take(partition: number, value: Uint8Array): void {
    const state = decodeState(value);
    if (state !== undefined) states.set(partition, fresh(state));
    else telemetry.log("error", "horizon.damaged", { partition });
  }

  /** After a loss, removals may be undone: all is looked at anew. */
  function fresh(state: State): State {
    return state.settledUnder === identity.incarnation() ? state : { ...state, settledUnder: NEVER };
  }

  return {
    async open() {
      const partitions = await read(0, PARTITIONS_MAX);
      if (partitions > 0) telemetry.log("error", "horizons.unread", { partitions });
    },
    of: (partition) => states.get(partition)?.horizon,
    encoded: (partition) => states.get(partition)?.bytes,
    digest: (partition) => states.get(partition)?.digest ?? NO_HORIZON,
    isVouched,
    isSettled: (partition) => states.get(partition)?.settledUnder !== NEVER,
    unsettled: () =>
      [...states].filter(([, { settledUnder }]) => settledUnder === NEVER).map(([partition]) => partition),
    adopt: (partition, horizon, vouchedUnder = NEVER) =>
      change(partition, (state) => {
        if (state !== undefined && horizonDescends(state.horizon, horizon)) {
          return vouchedUnder === NEVER ? state : { ...state, vouchedUnder };
        }
        const joined = state === undefined ? horizon : joinHorizons(state.horizon, horizon);
        const bytes = encodeHorizon(joined);
        return { horizon: joined, bytes, digest: horizonDigest(bytes), vouchedUnder, settledUnder: NEVER };
      }),
    vouch: (partition, digest, incarnation) =>
      change(partition, (state) => {
        if (state?.digest !== digest || state.vouchedUnder === incarnation) return state;
        return { ...state, vouchedUnder: incarnation };
      }),
    disown: (partition) =>
      change(partition, (state) =>
        state?.vouchedUnder === NEVER ? state : state && { ...state, vouchedUnder: NEVER },
      ),
    settle: (partition, digest) =>
      change(partition, (state) =>
        state?.digest === digest ? { ...state, settledUnder: identity.incarnation() } : state,
      ),
    onUnsettled(listen) {
      listener = listen;
    },
  };
}

function encodeState({ bytes, vouchedUnder, settledUnder }: State): Uint8Array {
  const content = new Uint8Array(HEAD_BYTES + bytes.length);
  const head = new DataView(content.buffer);
  head.setUint32(0, vouchedUnder);
  head.setUint32(4, settledUnder);
  content.set(bytes, HEAD_BYTES);
  return sealBytes(NAME, content);
}

/** Undefined for what is damaged: peers know the horizon, and until then tombstones are kept and nothing is refused. */
function decodeState(value: Uint8Array): State | undefined {
  const content = unsealBytes(NAME, value);
  if (content === undefined || content.length < HEAD_BYTES) return undefined;
  const head = new DataView(content.buffer, content.byteOffset, content.length);
  const bytes = content.slice(HEAD_BYTES);
  try {
    const [vouchedUnder, settledUnder] = [head.getUint32(0), head.getUint32(4)];
    return { horizon: decodeHorizon(bytes), bytes, digest: horizonDigest(bytes), vouchedUnder, settledUnder };
  } catch (error) {
    if (!(error instanceof HorizonMalformedError)) throw error;
    return undefined;
  }
}
