/**
 * What every `Transport` must do; run over loopback sockets and over the simulated network.
 *
 * In parts: what a request meets (transport-requests.ts), what becomes of links (transport-links.ts), who is let in
 * (transport-strangers.ts), and what happens when there is too much of anything (transport-bounds.ts).
 */
import { afterEach, beforeEach, describe } from "@jest/globals";
import { boundsContract } from "./transport-bounds.ts";
import { linksContract } from "./transport-links.ts";
import { requestsContract } from "./transport-requests.ts";
import { strangersContract } from "./transport-strangers.ts";
import { Scene, type TransportWorld } from "./transport-world.ts";

/** @param createWorld Makes the world of one test; nothing of it may be left after its `dispose`. */
export function transportContract(name: string, createWorld: () => TransportWorld): void {
  describe(`the transport contract on ${name}`, () => {
    let scene: Scene | undefined;
    beforeEach(() => {
      scene = new Scene(createWorld());
    });
    afterEach(() => scene?.end());
    const present = (): Scene => scene ?? new Scene(createWorld());
    requestsContract(present);
    linksContract(present);
    strangersContract(present);
    boundsContract(present);
  });
}
