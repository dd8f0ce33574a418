/** How it is said that a request fell short: by what was short, the zones first where replicas are enough. */
import { counted } from "../core/counted.ts";

/** What came, and what was needed. */
export type Shortfall = {
  readonly acks: number;
  readonly required: number;
  readonly zones: number;
  readonly zonesRequired: number;
};

/**
 * @param what Of which replicas, with what they did: `home replicas answered`.
 * @returns `1 of 2 home replicas answered, from 1 of 3 zones`; or, with replicas enough, that they are of too few zones.
 */
export function shortfallText({ acks, required, zones, zonesRequired }: Shortfall, what: string): string {
  if (acks >= required && zones < zonesRequired)
    return `only ${zones} of ${zonesRequired} zones took part; ${acks} of ${required} ${what}`;
  return `${acks} of ${required} ${what}${zonesRequired > 1 ? `, from ${zones} of ${zonesRequired} zones` : ""}`;
}

/**
 * Of a request that was not sent, for too few are up.
 *
 * @param who `home replicas`, or who may stand in besides.
 */
export function unsentText({ acks, required, zones, zonesRequired }: Shortfall, who: string): string {
  const up = `${acks} ${acks === 1 ? "is" : "are"} up`;
  if (acks >= required) {
    return `${counted(zonesRequired, "zone")} ${zonesRequired === 1 ? "is" : "are"} needed, and of the ${who} ${up}, which count for ${counted(zones, "zone")}`;
  }
  if (required === 1 && zonesRequired === 1) return `one of the ${who} is needed, ${up}`;
  if (zonesRequired === 1) return `${required} ${who} are needed, ${up}`;
  return `${required} ${who} of ${counted(zonesRequired, "zone")} are needed, ${up}, of ${counted(zones, "zone")}`;
}
