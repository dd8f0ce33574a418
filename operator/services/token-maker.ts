/**
 * Carries out that an administrator's token is made: draws what is missing, and stores it with the nodes' table.
 *
 * Cut off before the one call it has not happened, and is done again. Of two operators that both found no Secret, the second
 * cannot create another: it is told so, and looks again. So it is where a person changed the Secret since it was looked at.
 */
import { accessSecret, asSeen, renewedTokens } from "../core/access.ts";
import { SECRETS } from "../core/kinds.ts";
import type { World } from "../core/world.ts";
import type { Kube, Random } from "../ports.ts";

/** As many bits as the digest has by which nodes know it. */
const TOKEN_BYTES = 32;

/**
 * Makes the tokens and stores them. They are nowhere else: not in the log, not in an event, not in the status.
 *
 * @throws {KubeError} What the API server would not do.
 */
export async function makeTokens(
  { kube, random }: { readonly kube: Kube; readonly random: Random },
  world: World,
): Promise<void> {
  const draw = () => Buffer.from(random.bytes(TOKEN_BYTES)).toString("base64url");
  const secret = accessSecret(world, renewedTokens(world, draw));
  if (world.objects.has(`Secret/${secret.metadata.name}`)) await kube.apply(SECRETS, asSeen(world, secret));
  else await kube.create(SECRETS, secret);
}
