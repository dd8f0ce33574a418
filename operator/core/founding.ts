/**
 * The first ring: who its members are, told to the first pods and to nobody else.
 *
 * Pods mount a ConfigMap that does not exist at first, so the kubelet holds their containers back. Once all first pods
 * are bound to machines, and their zones known, it is made with ANNULUS_MEMBERS, once: who finds one made leaves it. As soon as any node has a ring, or
 * ever had one as far as the status or the ConfigMap itself remembers, it says ANNULUS_SEEDS only, for good: a pod that
 * comes later, with an empty disk, must look for the ring and can never found a second one.
 */
import { ADOPT_ANNOTATION, type Cluster } from "../api/kvcluster.ts";
import { membersName, peerAddress, podName } from "./names.ts";
import { textAt } from "./objects.ts";
import { allAnswers } from "./ring-view.ts";
import type { MachineFacts, World } from "./world.ts";

export const MEMBERS_FILE = "members.env";
/** The zone of machines that have no such label, as the nodes' own setting presets it. */
export const ZONE_DEFAULT = "default";

/** The text of the members file as it is now, or undefined before there is one. */
export function membersText(world: World): string | undefined {
  return textAt(world.objects.get(`ConfigMap/${membersName(world.cluster.metadata.name)}`), "data", MEMBERS_FILE);
}

/** Whether this cluster has, or ever had, a ring. */
export function isFounded(world: World): boolean {
  const { status, metadata } = world.cluster;
  return (
    (status.ringEpoch ?? 0) > 0 ||
    metadata.annotations[ADOPT_ANNOTATION] !== undefined ||
    (membersText(world)?.startsWith("ANNULUS_SEEDS=") ?? false) ||
    allAnswers(world).some(({ ringEpoch }) => ringEpoch > 0)
  );
}

/** What the members file should say, or why that cannot be known yet. */
export function wantedMembers(
  world: World,
): { readonly kind: "text"; readonly text: string } | { readonly kind: "wait"; readonly why: string } {
  const { cluster } = world;
  if (isFounded(world)) return { kind: "text", text: seedsText(cluster) };
  // Once it has been written, some node may have made its ring of it: it stays.
  const present = membersText(world);
  if (present !== undefined) return { kind: "text", text: present };
  const count = world.statefulSet?.replicas;
  if (count !== cluster.spec.replicas) return { kind: "wait", why: "the first pods are being made" };
  const members: string[] = [];
  for (let ordinal = 0; ordinal < count; ordinal += 1) {
    const name = podName(cluster.metadata.name, ordinal);
    const pod = world.pods.find((other) => other.name === name && !other.isDeleting);
    if (pod === undefined) return { kind: "wait", why: `pod ${name} does not exist yet` };
    // One of a cluster that was deleted a moment ago: its successor may be bound to a machine of another zone.
    if (pod.owner !== undefined && pod.owner !== world.statefulSet?.uid)
      return { kind: "wait", why: `pod ${name} is another StatefulSet's` };
    const zone = zoneOfPod(world, name);
    if (zone === undefined)
      return {
        kind: "wait",
        why: `pod ${name} has no machine yet${pod.trouble === undefined ? "" : `: ${pod.trouble}`}`,
      };
    members.push(`${name}=${peerAddress(cluster, name)}@${zone}*${weightOf(cluster, name, zone)}`);
  }
  return { kind: "text", text: `ANNULUS_MEMBERS=${members.join(",")}\n${quorumText(cluster)}` };
}

function seedsText(cluster: Cluster): string {
  const { name } = cluster.metadata;
  // These ordinals exist whatever the size: replicas is never below N.
  const seeds = Array.from({ length: cluster.spec.quorum.n }, (_, ordinal) =>
    peerAddress(cluster, podName(name, ordinal)),
  );
  return `ANNULUS_SEEDS=${seeds.join(",")}\n${quorumText(cluster)}`;
}

/** What the first ring is made with; afterwards the ring's own hold. Not in the pods: a change must restart none. */
export function quorumText({ spec: { quorum } }: Cluster): string {
  return `ANNULUS_R=${quorum.r}\nANNULUS_W=${quorum.w}\nANNULUS_MODE=${quorum.mode}\n`;
}

/** The zone of the machine that a pod is bound to; undefined before it is, or while the machine is not known. */
export function zoneOfPod(world: World, name: string): string | undefined {
  const machine = machineOfPod(world, name);
  return machine === undefined ? undefined : (machine.zone ?? ZONE_DEFAULT);
}

/** The same; also undefined while the machine has no label of a zone, which one that was just made may get later. */
export function labelledZoneOfPod(world: World, name: string): string | undefined {
  return machineOfPod(world, name)?.zone;
}

function machineOfPod(world: World, name: string): MachineFacts | undefined {
  const pod = world.pods.find((other) => other.name === name);
  return pod?.machine === undefined ? undefined : world.machines.get(pod.machine);
}

/** The weight that the spec gives a member. */
export function weightOf({ spec: { weights } }: Cluster, pod: string, zone: string): number {
  return weights.byNode[pod] ?? weights.byZone[zone] ?? weights.default;
}
