/**
 * Whether the ring lists a data directory: what a member is worth, it is worth with that directory.
 *
 * One that came in the place of another has none of what its predecessor promised: the ring that that one had adopted, and
 * refused by, may be later than any that this one has heard of. The ring that lists it was chosen after all those.
 */
import { majorityOf } from "../core/paxos/proposer.ts";
import type { MemberId, RingMember } from "../core/ring/document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { votersOf } from "../core/ring/transition.ts";
import type { Identity } from "./identity.ts";

/**
 * @param member What the ring says of this node's name, if anything.
 * @param identity This node's own. A ring of before members were known by their directories means the first one.
 */
export function isListed(member: RingMember | undefined, identity: Pick<Identity, "actor" | "isSuccessor">): boolean {
  if (member === undefined) return false;
  return member.actor === undefined ? !identity.isSuccessor() : member.actor === identity.actor;
}

/**
 * Whether too few voters are left to choose another ring: so many have come back with other directories than are listed, or may not
 * vote where none is listed for them. Then no ring will ever list these.
 *
 * @param actorOf The directory with which a member is met now; undefined for one that is not.
 * @param barred Voters whom the ring does not name that have no vote for the next epoch.
 */
export function isPastChanging(
  { document }: Ring,
  actorOf: (name: MemberId) => string | undefined,
  barred: ReadonlySet<MemberId>,
): boolean {
  const voters = votersOf(document);
  const left = voters.filter(({ name, actor }) => {
    if (actor === undefined) return !barred.has(name);
    const now = actorOf(name);
    return now === undefined || now === actor;
  });
  return left.length < majorityOf(voters.map(({ name }) => name));
}
