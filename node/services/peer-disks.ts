/**
 * Whether what other members were sent lies on their disks for good, also where writes are not synced one by one
 * (durability `os`).
 *
 * A member's data directory and incarnation are the witness: any loss begins a new incarnation, a lost disk a new directory
 * (design §4). Who shows the same ones before it is sent something and after it has flushed has lost nothing of that, and
 * will not lose it with its power.
 */
import type { MemberId } from "../core/ring/document.ts";
import type { Transport } from "../ports.ts";

export type PeerDisks = {
  /**
   * What stays the same for as long as a member loses nothing.
   *
   * @param epoch Of the ring that is meant; the member catches up with it first.
   * @returns Undefined where its release does not say.
   * @throws {KvError} What the way to it says.
   */
  witness(member: MemberId, epoch: number): Promise<string | undefined>;
  /** The same once the member has made durable all that it holds. Rejects as well with what its disk says. */
  flushed(member: MemberId, epoch: number): Promise<string | undefined>;
};

/** @param timeoutMs For one request; a flush writes a whole table. */
export function createPeerDisks(
  transport: Pick<Transport, "request" | "identityOf">,
  { timeoutMs }: { readonly timeoutMs: number },
): PeerDisks {
  async function ask(member: MemberId, epoch: number, isToFlush: boolean): Promise<string | undefined> {
    const request = { kind: "clearance", epoch, partitions: [], ...(isToFlush ? { isToFlush } : {}) } as const;
    const reply = await transport.request(member, request, timeoutMs);
    const actor = transport.identityOf(member)?.actor;
    if (reply.kind !== "clearance" || reply.incarnation === undefined || actor === undefined) return undefined;
    return `${actor}/${reply.incarnation}`;
  }
  return {
    witness: (member, epoch) => ask(member, epoch, false),
    flushed: (member, epoch) => ask(member, epoch, true),
  };
}
