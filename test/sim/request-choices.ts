/**
 * What clients ask for beyond what the ring says: a quorum, a mode, zones, a life span, creation only, the same once more.
 *
 * Half of the runs ask for nothing of it, as most clients do; each of the others leaves some out. All is drawn from streams
 * of its own, so that a run that asks for nothing is the same run as before there was anything to ask for. In half of all runs answers are lost.
 */
import type { RequestOptions } from "../../node/services/coordinator.ts";
import { createSeededRandom, type SeededRandom } from "./random.ts";

/** What the clients of a run may ask for, and whether they hear of all that comes of it. */
export type RequestVariety = {
  readonly quorums: boolean;
  readonly modes: boolean;
  readonly zones: boolean;
  readonly lifeSpans: boolean;
  readonly creations: boolean;
  /** Whether what was acknowledged is sent again under its name. */
  readonly repetitions: boolean;
  /** Whether now and then the answer to a client is lost. */
  readonly lostAnswers: boolean;
};

/** What one write asks for. */
export type WriteChoices = {
  readonly options: RequestOptions;
  /** In s, from when a coordinator takes it. */
  readonly ttlS?: number;
  /** `If-None-Match: *`. */
  readonly onlyIfAbsent?: true;
};

export const PLAIN: RequestVariety = {
  quorums: false,
  modes: false,
  zones: false,
  lifeSpans: false,
  creations: false,
  repetitions: false,
  lostAnswers: false,
};

const TTL_S_MAX = 15;

/** @param seed Of the run. */
export function drawVariety(seed: number): RequestVariety {
  const random = createSeededRandom(seed).stream("variety of requests");
  const lostAnswers = createSeededRandom(seed).stream("lost answers").chance([1, 2]);
  if (random.chance([1, 2])) return { ...PLAIN, lostAnswers };
  const one = () => random.chance([1, 2]);
  return {
    ...{ quorums: one(), modes: one(), zones: one(), lifeSpans: one(), creations: one(), repetitions: one() },
    lostAnswers,
  };
}

/** What a request asks for that is not as the ring says, as its URL would have it. */
export function tellChoices(
  { readQuorum, writeQuorum, mode, zones }: RequestOptions,
  { ttlS, onlyIfAbsent }: Omit<WriteChoices, "options"> = {},
): string {
  const asked = { r: readQuorum, w: writeQuorum, mode, zones, ttl: ttlS, absent: onlyIfAbsent };
  const told = Object.entries(asked).flatMap(([name, wish]) => (wish === undefined ? [] : [`${name}=${wish}`]));
  return told.length === 0 ? "" : ` (${told.join(" ")})`;
}

/** Where the bounds of what may be asked for come from. */
type Bounds = { readonly replicationFactor: number; readonly zones: number };

/** @param isDelete What is deleted has no life span, and is not created. */
export function drawWrite(
  variety: RequestVariety,
  random: SeededRandom,
  { isDelete, mayCreate, ...bounds }: Bounds & { readonly isDelete: boolean; readonly mayCreate: boolean },
): WriteChoices {
  const ownQuorum = variety.quorums && random.chance([1, 3]);
  const options: RequestOptions = {
    ...drawRead(variety, random, bounds),
    ...(ownQuorum ? { writeQuorum: random.between(1, bounds.replicationFactor) } : {}),
  };
  if (isDelete) return { options };
  const expires = variety.lifeSpans && random.chance([1, 3]);
  const creates = variety.creations && mayCreate && random.chance([1, 2]);
  return {
    options,
    ...(expires ? { ttlS: random.between(1, TTL_S_MAX) } : {}),
    ...(creates ? { onlyIfAbsent: true } : {}),
  };
}

/** What a read asks for besides R; a write may ask for the same. */
export function drawRead({ modes, zones }: RequestVariety, random: SeededRandom, bounds: Bounds): RequestOptions {
  const mode = modes && random.chance([1, 2]) ? random.pick(["strict", "sloppy"] as const) : undefined;
  // More than there are homes can never be had, and is refused like any quorum that is not there.
  const most = Math.min(bounds.zones, bounds.replicationFactor);
  const asked = zones && random.chance([1, 2]) ? random.between(1, most) : undefined;
  return { ...(mode === undefined ? {} : { mode }), ...(asked === undefined ? {} : { zones: asked }) };
}
