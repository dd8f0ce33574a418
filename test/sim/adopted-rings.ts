/** The rings that nodes of a simulated cluster adopt: one of each epoch, and the zones that they list members in. */
import assert from "node:assert/strict";
import type { MemberId } from "../../node/core/ring/document.ts";
import type { StorageNode } from "../../node/node.ts";

export class AdoptedRings {
  /** The digest of each ring that some node adopted, by epoch. */
  readonly #digests = new Map<number, string>();
  /** Zones that rings listed each member in so far, those of epochs up to `#zonesEpoch`. */
  readonly #zones = new Map<MemberId, Set<string>>();
  #zonesEpoch = 0;
  #newestEpoch = 0;

  /**
   * Takes note of a ring that a node adopted.
   *
   * @returns What is broken by it: two rings of one epoch never exist.
   */
  note(member: MemberId, epoch: number, digest: string): assert.AssertionError | undefined {
    const known = this.#digests.get(epoch);
    if (known !== undefined && known !== digest)
      return new assert.AssertionError({ message: `${member} adopted another ring of epoch ${epoch}` });
    this.#digests.set(epoch, digest);
    this.#newestEpoch = Math.max(this.#newestEpoch, epoch);
    return undefined;
  }

  /** The zones in which rings list a member, or did; undefined for one that no ring lists yet. */
  zonesOf(
    member: MemberId,
    nodes: readonly { readonly node: StorageNode | undefined }[],
  ): ReadonlySet<string> | undefined {
    if (this.#newestEpoch > this.#zonesEpoch) this.#readZones(nodes);
    return this.#zones.get(member);
  }

  #readZones(nodes: readonly { readonly node: StorageNode | undefined }[]): void {
    for (const { node } of nodes) {
      if (node === undefined || node.bounds().replicationFactor === 0) continue;
      const { epoch, members } = node.status.ring();
      if (epoch <= this.#zonesEpoch) continue;
      this.#zonesEpoch = epoch;
      for (const { name, zone } of members) this.#zones.set(name, (this.#zones.get(name) ?? new Set()).add(zone));
    }
  }
}
