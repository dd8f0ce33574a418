/**
 * Looks at one cluster: everything of it at the API server, and what each of its nodes says.
 *
 * A list that cannot be read fails the whole look: a world with a hole in it would show an absence that is none. A node
 * that does not answer is part of the world: it is silent.
 */

import { accessOf, type Cluster } from "../api/kvcluster.ts";
import { wantsTokens } from "../core/access.ts";
import { adminTarget } from "../core/admin-target.ts";
import { peerTlsOf, usesTls } from "../core/certificates.ts";
import { locate, readClaim, readCpuUse, readPod, readStatefulSet } from "../core/facts.ts";
import { usesIssuer } from "../core/issued.ts";
import {
  CERTIFICATES,
  CLAIMS,
  OWNED_KINDS,
  POD_METRICS,
  PODS,
  SECRETS,
  SERVICE_MONITORS,
  VOLUMES,
} from "../core/kinds.ts";
import {
  accessName,
  authorityName,
  certificateName,
  membersName,
  peersName,
  podName,
  selectorText,
  tlsName,
} from "../core/names.ts";
import { type KubeObject, textAt } from "../core/objects.ts";
import type { CpuUse, NodeAnswer, PodFacts, Policy, Remembered, Silence, World } from "../core/world.ts";
import {
  type AdminTarget,
  type Kube,
  KubeError,
  type NodeAdmin,
  NodeSilentError,
  type Rings,
  type Time,
} from "../ports.ts";
import { readMachines } from "./machines.ts";
import { createRingsOf } from "./rings.ts";

/** The metrics API may hang, and nothing rests on what it says. */
const METRICS_TIMEOUT_MS = 2_000;
/** Far below what a reason may hold. */
const REASON_MAX = 512;

export type Observer = (cluster: Cluster, remembered: Remembered) => Promise<World>;

/** @param ports The API server, the nodes, and the clock that stamps what is seen. */
export function createObserver(
  ports: { readonly kube: Kube; readonly admin: NodeAdmin; readonly time: Time },
  policy: Policy,
): Observer {
  const { kube, admin, time } = ports;
  const ringsOf = createRingsOf(time);

  /** Objects of the names that the cluster needs, whoever made them: what bears a needed name must be known. */
  async function ownObjects(cluster: Cluster): Promise<Map<string, KubeObject>> {
    const { name, namespace } = cluster.metadata;
    const objects = new Map<string, KubeObject>();
    const reads = OWNED_KINDS.flatMap((kind) => {
      const names =
        kind.kind === "Service" ? [name, peersName(name)] : [kind.kind === "ConfigMap" ? membersName(name) : name];
      return names.map(async (wanted) => {
        const object = await kube.read(kind, { namespace, name: wanted }).catch((error: unknown) => {
          // Its definition may not be installed, and the operator need not have the right to it.
          if (kind === SERVICE_MONITORS && error instanceof KubeError && error.failure !== "unavailable")
            return undefined;
          throw error;
        });
        if (object !== undefined) objects.set(`${kind.kind}/${wanted}`, object);
      });
    });
    await Promise.all(reads);
    return objects;
  }

  /** Certificates and tokens, where there are to be some, or a pod still has some. */
  async function secretsOf(cluster: Cluster, pods: readonly PodFacts[]): Promise<Map<string, KubeObject>> {
    const { name } = cluster.metadata;
    const isSecured = usesTls(cluster, peerTlsOf({ cluster, pods })) || pods.some(({ isAdminSecure }) => isAdminSecure);
    const asksForTokens = wantsTokens(cluster) || pods.some(({ asksForToken }) => asksForToken);
    const names = [
      ...(isSecured ? [tlsName(name), authorityName(name)] : []),
      ...(asksForTokens ? [accessName(name)] : []),
    ];
    return readSecrets(cluster, names);
  }

  /** Certificates that cert-manager was asked for, and the Secrets that it made, for pods that are and that are to be. */
  async function issuedOf(cluster: Cluster, pods: readonly PodFacts[], objects: Map<string, KubeObject>) {
    const { namespace, name } = cluster.metadata;
    const issued = new Map<string, KubeObject>();
    if (!usesIssuer({ cluster, pods })) return issued;
    const count = Math.max(cluster.spec.replicas, ...pods.map(({ ordinal }) => ordinal + 1));
    const wanted = Array.from({ length: count }, (_, ordinal) => podName(name, ordinal));
    await Promise.all(
      wanted.map(async (pod) => {
        const place = { namespace, name: certificateName(pod) };
        const [asked, made] = await Promise.all([kube.read(CERTIFICATES, place), kube.read(SECRETS, place)]);
        if (asked !== undefined) objects.set(`${CERTIFICATES.kind}/${place.name}`, asked);
        if (made !== undefined) issued.set(pod, made);
      }),
    );
    return issued;
  }

  async function readSecrets(cluster: Cluster, names: readonly string[]): Promise<Map<string, KubeObject>> {
    const { namespace } = cluster.metadata;
    const found = await Promise.all([...new Set(names)].map((name) => kube.read(SECRETS, { namespace, name })));
    return new Map(found.flatMap((secret) => (secret === undefined ? [] : [[secret.metadata.name, secret]])));
  }

  async function claimsOf(cluster: Cluster) {
    const { name, namespace } = cluster.metadata;
    const found = await kube.list(CLAIMS, { namespace, selector: selectorText(cluster) });
    const claims = await Promise.all(
      found.map(async (claim) => {
        const volumeName = textAt(claim, "spec", "volumeName");
        const volume = volumeName === undefined ? undefined : await kube.read(VOLUMES, { name: volumeName });
        return readClaim(claim, name, volume) ?? [];
      }),
    );
    return claims.flat();
  }

  async function askNodes(
    of: Pick<World, "cluster" | "objects">,
    pods: readonly PodFacts[],
  ): Promise<Map<string, NodeAnswer | Silence>> {
    const answers = new Map<string, NodeAnswer | Silence>();
    const rings = ringsOf(of.cluster);
    await Promise.all(
      pods.map(async (pod) => {
        if (pod.ip === undefined) return;
        answers.set(pod.name, await askNode(adminTarget(of, pod, pod.ip), rings));
      }),
    );
    return answers;
  }

  async function askNode(target: AdminTarget, rings: Rings): Promise<NodeAnswer | Silence> {
    try {
      const answer = await admin.ask(target, rings);
      // An address that was given to another pod meanwhile.
      if (answer.name !== target.pod) return { kind: "silent", why: `${answer.name} answers at its address` };
      return answer;
    } catch (error) {
      if (!(error instanceof NodeSilentError)) throw error;
      return { kind: "silent", why: error.message };
    }
  }

  /** What the members use, where a size is recommended. That it is not known holds nothing up. */
  async function cpuUseOf({ metadata, spec }: Cluster, selector: string): Promise<CpuUse | undefined> {
    if (spec.autoscaling?.mode !== "recommend") return undefined;
    try {
      const found = await kube.list(POD_METRICS, {
        ...{ namespace: metadata.namespace, selector, timeoutMs: METRICS_TIMEOUT_MS },
      });
      const told = found.map((object) => [object.metadata.name, readCpuUse(object)] as const);
      return {
        kind: "told",
        cores: new Map(told.flatMap(([pod, cores]) => (cores === undefined ? [] : [[pod, cores]]))),
      };
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      return { kind: "unknown", why: `the metrics API does not tell: ${error.message}`.slice(0, REASON_MAX) };
    }
  }

  return async (cluster, remembered) => {
    const { name, namespace } = cluster.metadata;
    const selector = selectorText(cluster);
    const [objects, podObjects, claims, cpuUse] = await Promise.all([
      ownObjects(cluster),
      kube.list(PODS, { namespace, selector }),
      claimsOf(cluster),
      cpuUseOf(cluster, selector),
    ]);
    const pods = podObjects.flatMap((pod) => readPod(pod, name) ?? []).sort((a, b) => a.ordinal - b.ordinal);
    for (const [secretName, secret] of await secretsOf(cluster, pods)) objects.set(`Secret/${secretName}`, secret);
    const { mode, tokens } = accessOf(cluster.spec);
    const named = mode === "tokens" ? tokens.map(({ secret }) => secret.name) : [];
    const statefulSet = objects.get(`StatefulSet/${name}`);
    const { topologyKey } = cluster.spec.zones;
    const issued = await issuedOf(cluster, pods, objects);
    const tokenSecrets = await readSecrets(cluster, named);
    const [machines, answers] = await Promise.all([
      readMachines(kube, { pods, claims }, { topologyKey, nowMs: time.wallMs() }),
      askNodes({ cluster, objects }, pods),
    ]);
    return {
      policy,
      cluster,
      objects,
      issued,
      tokenSecrets,
      statefulSet: statefulSet === undefined ? undefined : readStatefulSet(statefulSet),
      pods,
      claims: claims.map((claim) => locate(claim, machines)).sort((a, b) => a.ordinal - b.ordinal),
      machines,
      answers,
      cpuUse,
      ...remembered,
      nowMs: time.wallMs(),
    };
  };
}
