/** What members must still say right before something is taken away. */
import type { RingView } from "../ring-view.ts";
import type { RingProof } from "../world.ts";

/**
 * That the ring is the one that was seen, and at rest.
 *
 * @param except The member that the whole is about, where it is not asked: it does not serve.
 */
export function proofOf({ document, present }: RingView, except?: string): RingProof {
  const members = present.map(({ name }) => name).filter((name) => name !== except);
  return { epoch: document.epoch, members };
}
