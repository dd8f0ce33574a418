/**
 * The last look before something is given up as lost.
 *
 * A run looks at everything once, and waits for nodes that do not answer: seconds pass before it acts, in which a machine
 * may come back and its node serve again. Hence the loss is looked at once more, right before the removal. What is left is
 * the way of this answer and of the request to remove: no precondition of Kubernetes spans two objects.
 */
import { readMachine } from "../core/facts.ts";
import { MACHINES, PODS } from "../core/kinds.ts";
import type { Proof } from "../core/world.ts";
import { type Kube, KubeError, type Time } from "../ports.ts";

/** An answer that took longer is as old as that: it proves nothing any more. */
const FRESH_MS = 2_000;

/**
 * Looks whether what a removal rests on is still so.
 *
 * @throws {KubeError} "conflict" when the machine is back or the pod has changed; "unavailable" when that could not be
 *   learnt in time. Whoever decided decides anew.
 */
export async function lookOnceMore(
  { kube, time }: { readonly kube: Kube; readonly time: Time },
  namespace: string,
  { machine, pod }: Proof,
): Promise<void> {
  const startedMs = time.monotonicMs();
  const [found, present] = await Promise.all([
    machine === undefined ? undefined : kube.read(MACHINES, { name: machine }),
    kube.read(PODS, { namespace, name: pod.name }),
  ]);
  if (time.monotonicMs() - startedMs > FRESH_MS)
    throw new KubeError("unavailable", `the last look at ${pod.name} took more than ${FRESH_MS} ms`);
  // Of a machine only its readiness counts here: it need bear no zone.
  if (found !== undefined && readMachine(found, "").isReady)
    throw new KubeError("conflict", `machine ${machine} is back: ${pod.name} is not given up`);
  const { uid, resourceVersion } = present?.metadata ?? {};
  if (present !== undefined && (uid !== pod.uid || resourceVersion !== pod.resourceVersion))
    throw new KubeError("conflict", `pod ${pod.name} has changed since it was looked at`);
}
