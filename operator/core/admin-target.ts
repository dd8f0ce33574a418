/** Where a pod's admin port is, and how it is spoken to: by what certificate it is known, and which token it asks for. */
import { adminToken } from "./access.ts";
import { adminIdentity } from "./certificates.ts";
import type { PodFacts, World } from "./world.ts";

/** @returns As `AdminTarget` of the ports has it. A pod that asks for no token is shown none. */
export function adminTarget(
  world: Pick<World, "cluster" | "objects">,
  pod: Pick<PodFacts, "name" | "isAdminSecure" | "asksForToken">,
  ip: string,
): { pod: string; ip: string; tls?: { authorities: string; name: string }; token?: string } {
  const token = pod.asksForToken ? adminToken(world) : undefined;
  return {
    pod: pod.name,
    ip,
    ...(pod.isAdminSecure ? { tls: adminIdentity(world, pod.name) } : {}),
    ...(token === undefined ? {} : { token }),
  };
}
