/**
 * The last look before something is taken away.
 *
 * A run looks at everything once, and waits for nodes that do not answer: seconds pass before it acts, in which a machine
 * may come back and its node serve again, another operator let a member join, or a member go down. Hence what it rests on
 * is looked at once more, right before. What is left is the way of this answer and of the request: no precondition of
 * Kubernetes spans two objects, or an object and the ring.
 */
import { adminTarget } from "../core/admin-target.ts";
import { readMachine } from "../core/facts.ts";
import { CLUSTERS, MACHINES, PODS, STATEFUL_SETS } from "../core/kinds.ts";
import { type KubeObject, numberAt } from "../core/objects.ts";
import { clusterId } from "../core/ring-view.ts";
import type { Proof, RingProof, World } from "../core/world.ts";
import { type Kube, KubeError, type NodeAdmin, NodeSilentError, type Time } from "../ports.ts";
import { machineOfHost } from "./machines.ts";
import { NO_RINGS } from "./rings.ts";

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
    machine === undefined ? undefined : machineNow(kube, machine),
    kube.read(PODS, { namespace, name: pod.name }),
  ]);
  mustBeFresh(time, startedMs, `pod ${pod.name}`);
  // Of a machine only its readiness counts here: it need bear no zone.
  if (found !== undefined && readMachine(found, "", time.wallMs()).isReady)
    throw new KubeError("conflict", `machine ${machine} is back: ${pod.name} is not given up`);
  const { uid, resourceVersion } = present?.metadata ?? {};
  if (present !== undefined && (uid !== pod.uid || resourceVersion !== pod.resourceVersion))
    throw new KubeError("conflict", `pod ${pod.name} has changed since it was looked at`);
}

/** By its name or, for one that was not listed when its volume was looked at, by its host name. */
async function machineNow(kube: Kube, machine: string): Promise<KubeObject | undefined> {
  return (await kube.read(MACHINES, { name: machine })) ?? (await machineOfHost(kube, machine));
}

/**
 * Looks whether a volume is still nobody's.
 *
 * @throws {KubeError} "conflict" when its pod is there, or to be there; "unavailable" when that could not be learnt in
 *   time. Whoever decided decides anew.
 */
export async function lookForPod(
  { kube, time }: { readonly kube: Kube; readonly time: Time },
  { namespace, name }: { readonly namespace: string; readonly name: string },
  { pod, ordinal }: { readonly pod: string; readonly ordinal: number },
): Promise<void> {
  const startedMs = time.monotonicMs();
  const [set, found] = await Promise.all([
    kube.read(STATEFUL_SETS, { namespace, name }),
    kube.read(PODS, { namespace, name: pod }),
  ]);
  mustBeFresh(time, startedMs, `pod ${pod}`);
  const replicas = numberAt(set, "spec", "replicas");
  if (found !== undefined || replicas === undefined || ordinal < replicas)
    throw new KubeError("conflict", `pod ${pod} is there, or may be again: its volume is kept`);
}

/**
 * Looks whether the KVCluster is still there that something is to go with: an owner that is gone takes it along at once.
 *
 * @throws {KubeError} "conflict" when it is gone, or about to.
 */
export async function lookForOwner(kube: Kube, { namespace, name, uid }: World["cluster"]["metadata"]): Promise<void> {
  const found = await kube.read(CLUSTERS, { namespace, name });
  if (found?.metadata.uid !== uid || found.metadata.deletionTimestamp !== undefined)
    throw new KubeError("conflict", `KVCluster ${name} is gone, or about to: nothing is given to it`);
}

/** All its metrics would be read for what a disk has, within the same two seconds. */
const BRIEFLY = { withoutDisk: true };

/**
 * Asks every member whether the ring is still the one that was seen, and at rest.
 *
 * @throws {KubeError} "conflict" when it is not; "unavailable" when that could not be learnt in time. Whoever decided
 *   decides anew.
 */
export async function askOnceMore(
  { admin, time }: { readonly admin: NodeAdmin; readonly time: Time },
  world: World,
  { epoch, members }: RingProof,
): Promise<void> {
  const startedMs = time.monotonicMs();
  await Promise.all(
    members.map(async (name) => {
      const pod = world.pods.find((one) => one.name === name);
      if (pod?.ip === undefined) throw new KubeError("unavailable", `member ${name} has no pod to be asked`);
      const answer = await admin.ask(adminTarget(world, pod, pod.ip), NO_RINGS, BRIEFLY).catch((error: unknown) => {
        if (error instanceof NodeSilentError) throw new KubeError("unavailable", error.message);
        throw error;
      });
      const isSame = answer.name === name && answer.clusterId === clusterId(world.cluster);
      if (!isSame || answer.ringEpoch !== epoch || answer.change !== undefined)
        throw new KubeError("conflict", `the ring has changed since it was looked at, says ${name}`);
    }),
  );
  mustBeFresh(time, startedMs, "the members");
}

function mustBeFresh(time: Time, startedMs: number, what: string): void {
  if (time.monotonicMs() - startedMs > FRESH_MS)
    throw new KubeError("unavailable", `the last look at ${what} took more than ${FRESH_MS} ms`);
}
