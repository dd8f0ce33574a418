/** The rig's faults, which no Kubernetes can do to itself: the tools that `KUBE_RIG` names. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type KubeObject, textAt } from "../../operator/core/objects.ts";
import { NODE_IN_POD } from "./admin-port.ts";
import { get, kubectl, run } from "./kubectl.ts";
import { type Store, SYSTEM } from "./store.ts";

const rig = process.env.KUBE_RIG ?? join(import.meta.dirname, "..", "..", "..", "shared", "kube");

/** Runs one of them; fails the test when it fails. Resolves with what it printed. */
export async function tool(program: "node" | "zone", ...args: string[]): Promise<string> {
  const ran = await run(join(rig, program), args);
  assert.equal(ran.code, 0, `${program} ${args.join(" ")}: ${ran.err}`);
  return ran.out;
}

/** Lets the API server stand still, so that nobody is answered and no connection ends; resolves with what undoes it. */
export async function stopApiServer(): Promise<() => Promise<void>> {
  const signal = (name: string) =>
    tool("node", "exec", "control-plane", "sh", "-c", `kill -${name} $(pidof kube-apiserver)`);
  await signal("STOP");
  return async () => {
    await signal("CONT");
  };
}

export type Placed = {
  readonly pod: KubeObject;
  readonly name: string;
  readonly machine: string;
  readonly zone: string;
};

/** A store's members and where each runs. */
export async function placedMembers(store: Store): Promise<Placed[]> {
  const pods = await store.pods();
  return Promise.all(
    pods.map(async (pod) => {
      const machine = textAt(pod, "spec", "nodeName") ?? "";
      return { pod, name: pod.metadata.name, machine, zone: await zoneOf(machine) };
    }),
  );
}

async function zoneOf(machine: string): Promise<string> {
  return textAt(await get("", "node", machine), "metadata", "labels", "topology.kubernetes.io/zone") ?? "";
}

/** Members in zones with neither the client nor the operator: what happens to these is seen, and answered, by both. */
export async function farMembers(store: Store): Promise<[Placed, ...Placed[]]> {
  const client = textAt(await get(store.namespace, "pod", "client"), "spec", "nodeName") ?? "";
  const system = await kubectl(["-n", SYSTEM, "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
  const taken = [await zoneOf(client), await zoneOf(system.split(" ")[0] ?? "")];
  const [first, ...more] = (await placedMembers(store)).filter(({ zone }) => !taken.includes(zone));
  assert.ok(first !== undefined, "every member shares a zone with the client or the operator");
  return [first, ...more];
}

let execs = 0;

/**
 * Runs a script of Node.js in a member's container by the machine's own means: the API server does not reach a zone that
 * is cut off. Resolves with what it printed.
 */
export async function inContainer({ pod, machine }: Placed, script: string): Promise<string> {
  execs += 1;
  const ctr = ["ctr", "-n", "k8s.io", "tasks", "exec", "--exec-id", `test-${process.pid}-${execs}`, containerOf(pod)];
  return (await tool("node", "exec", machine, ...ctr, ...NODE_IN_POD, script)).trim();
}

/**
 * Kills the processes of a pod's container where they run, and takes the pod away before its kubelet starts them again. What
 * Kubernetes deletes, be it by force, is asked to end first.
 */
export async function killPod(namespace: string, name: string): Promise<void> {
  const pod = await get(namespace, "pod", name);
  const machine = textAt(pod, "spec", "nodeName") ?? "";
  await tool("node", "exec", machine, "ctr", "-n", "k8s.io", "tasks", "kill", "-a", "-s", "SIGKILL", containerOf(pod));
  await kubectl(["-n", namespace, "delete", "pod", name, "--force", "--grace-period=0", "--wait=false"]);
}

function containerOf(pod: KubeObject | undefined): string {
  return textAt(pod, "status", "containerStatuses", 0, "containerID")?.replace("containerd://", "") ?? "";
}

/** Has a machine reset every connection to or from a TCP port of its pods; resolves with what undoes it. */
export async function resetConnections(machine: string, port: number): Promise<() => Promise<void>> {
  const rules = ["--dport", "--sport"].map((end) => [
    ...["FORWARD", "-p", "tcp", end, String(port)],
    ...["-j", "REJECT", "--reject-with", "tcp-reset"],
  ]);
  for (const rule of rules) await tool("node", "exec", machine, "iptables", "-w", "-I", ...rule);
  return async () => {
    for (const rule of rules) await tool("node", "exec", machine, "iptables", "-w", "-D", ...rule);
  };
}
