/**
 * Machines, one by one: a Kubernetes node is some 12 KiB, and a Kubernetes may have thousands, of which a cluster's pods
 * and volumes name a few.
 */
import { HOSTNAME_LABEL, hostNameOf, readMachine } from "../core/facts.ts";
import { MACHINES } from "../core/kinds.ts";
import type { KubeObject } from "../core/objects.ts";
import type { ClaimFacts, MachineFacts, PodFacts } from "../core/world.ts";
import type { Kube } from "../ports.ts";

/** What a label can hold: a host name that is none finds nobody, and would be refused as a selector. */
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

/** The machines that pods are bound to, and those that hold volumes, by their names. */
export async function readMachines(
  kube: Kube,
  { pods, claims }: { readonly pods: readonly PodFacts[]; readonly claims: readonly ClaimFacts[] },
  { topologyKey, nowMs }: { readonly topologyKey: string; readonly nowMs: number },
): Promise<Map<string, MachineFacts>> {
  const machines = new Map<string, MachineFacts>();
  const keep = (object: KubeObject | undefined) => {
    if (object !== undefined) machines.set(object.metadata.name, readMachine(object, topologyKey, nowMs));
  };
  const names = new Set(pods.flatMap(({ machine }) => machine ?? []));
  await Promise.all([...names].map(async (name) => keep(await kube.read(MACHINES, { name }))));
  const known = new Set([...machines.values()].map(({ host }) => host));
  const hosts = new Set(claims.flatMap(({ machine }) => (machine === undefined || known.has(machine) ? [] : machine)));
  await Promise.all([...hosts].map(async (host) => keep(await machineOfHost(kube, host))));
  return machines;
}

/** The machine with a host name, which is its own name where no label says another. */
export async function machineOfHost(kube: Kube, host: string): Promise<KubeObject | undefined> {
  const labelled = LABEL_VALUE.test(host) ? await kube.list(MACHINES, { selector: `${HOSTNAME_LABEL}=${host}` }) : [];
  if (labelled[0] !== undefined) return labelled[0];
  const named = await kube.read(MACHINES, { name: host });
  return named !== undefined && hostNameOf(named) === host ? named : undefined;
}
