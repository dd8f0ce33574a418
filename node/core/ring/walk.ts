/**
 * The clockwise walk (DeCandia et al. 2007, §4.2 and §6.2): from a point of the ring on, over distinct members, a zone
 * not taken twice while an untaken one is left.
 *
 * It is used twice. Before there is a table, members stand on the ring by hashed tokens, as many as the replicas they
 * should hold, and the walk draws a first table that looks random: the partners of a member are many, so that its
 * failure burdens many. Once there is a table, the places of the partitions are the tokens, and the walk orders the
 * stand-ins. The walk alone keeps no promise about shares: the planner corrects the first table.
 */
import { keyHash } from "./hash.ts";
import type { ZoneBounds } from "./shares.ts";

/** Tokens a walk looks at before it leaves a place empty; the planner fills such places. */
const STEPS_MAX = 64;

const encoder = new TextEncoder();

/** Positions are the top 53 bits of a hash: exact in a double, and quick to sort. */
const POSITIONS = 2 ** 53;

type Tokens = { readonly positions: Float64Array; readonly members: Int32Array };

/** As many tokens for each member as its share of replicas, in clockwise order. */
function drawTokens(names: readonly string[], shares: readonly number[]): Tokens {
  const tokens: { position: number; member: number }[] = [];
  for (const [member, name] of names.entries()) {
    for (let index = 0; index < Math.round(shares[member] ?? 0); index++) {
      tokens.push({ position: Number(keyHash(encoder.encode(`${name}/${index}`)) >> 11n), member });
    }
  }
  tokens.sort((a, b) => a.position - b.position || a.member - b.member);
  return {
    positions: Float64Array.from(tokens, (token) => token.position),
    members: Int32Array.from(tokens, (token) => token.member),
  };
}

/**
 * Draws a first table.
 *
 * @param request `names` of all members; `shares` in replicas, one per name; `zones` with members as indexes into them.
 * @returns partitions × N places, row by row, each an index into `names`, or −1 where the walk found nobody.
 */
export function walkTokens(request: {
  readonly names: readonly string[];
  readonly shares: readonly number[];
  readonly zones: readonly ZoneBounds[];
  readonly partitions: number;
  readonly replicationFactor: number;
}): Int32Array {
  const { names, shares, zones, partitions, replicationFactor } = request;
  const { positions, members } = drawTokens(names, shares);
  const zoneOf = new Int32Array(names.length);
  for (const [zone, bounds] of zones.entries()) for (const member of bounds.members) zoneOf[member] = zone;

  const places = new Int32Array(partitions * replicationFactor).fill(-1);
  let start = 0;
  for (let partition = 0; partition < partitions; partition++) {
    while (start < positions.length && (positions[start] ?? 0) < (partition / partitions) * POSITIONS) start++;
    const row = places.subarray(partition * replicationFactor, (partition + 1) * replicationFactor);
    const taken = new Int32Array(zones.length);
    let found = 0;
    for (let step = 0; step < STEPS_MAX && found < replicationFactor; step++) {
      const member = members[(start + step) % members.length] ?? 0;
      const zone = zoneOf[member] ?? 0;
      const isFull = (taken[zone] ?? 0) >= (zones[zone]?.replicasMax ?? 0);
      if (isFull || row.includes(member)) continue;
      taken[zone] = (taken[zone] ?? 0) + 1;
      row[found++] = member;
    }
  }
  return places;
}

/**
 * Orders members by the walk: first the first of each zone that is not taken, then the others.
 *
 * @param walk Distinct members in the order in which the walk meets them.
 * @param taken Zones that hold a place already.
 */
export function untakenZonesFirst<Member extends { readonly zone: string }>(
  walk: readonly Member[],
  taken: Iterable<string>,
): Member[] {
  const zones = new Set(taken);
  const first: Member[] = [];
  const rest: Member[] = [];
  for (const member of walk) {
    (zones.has(member.zone) ? rest : first).push(member);
    zones.add(member.zone);
  }
  return [...first, ...rest];
}
