/** Which node is asked next, for what any of them can answer and one may be unable to for a moment. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Endpoint } from "../client/http.ts";
import type { Nodes } from "../client/nodes.ts";

const ATTEMPTS_MAX = 20;
const PAUSE_MS = 250;

/**
 * The nodes one after the other, those that did not answer lately last, again and again: the first time at once, then with
 * pauses, for some seconds.
 */
export async function* endpointsInTurn({ likeliest: endpoints }: Pick<Nodes, "likeliest">): AsyncGenerator<Endpoint> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    if (attempt >= endpoints.length) await sleep(PAUSE_MS);
    yield endpoints[attempt % endpoints.length] as Endpoint;
  }
}
