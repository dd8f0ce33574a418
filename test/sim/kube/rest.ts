/** When a cluster in the simulated Kubernetes is as its spec wants it, by what is told and by what is. */
import { at, numberAt, textAt } from "../../../operator/core/objects.ts";
import { type KubeWorld, NAME } from "./kube-world.ts";
import { asksForTokens } from "./token-tables.ts";

/** Whether all is as wanted, and the status says so. */
export function isAtRest(world: KubeWorld): boolean {
  return whyNotAtRest(world) === undefined;
}

/** What is not as wanted yet, or is told wrongly. */
export function whyNotAtRest(world: KubeWorld): string | undefined {
  const { object, cluster, replicas, pods } = world;
  if (numberAt(object, "status", "observedGeneration") !== object.metadata.generation) return "the spec was not seen";
  if (world.condition("Available").status !== "True") return "it is not Available";
  if (world.condition("Progressing").status !== "False")
    return `it is Progressing: ${world.condition("Progressing").reason}`;
  if (world.condition("Degraded").status !== "False") return `it is Degraded: ${world.condition("Degraded").reason}`;
  // The operator watches no Secrets: it makes another at its next look, and the members are renewed.
  if (!world.hasAdminToken()) return "the administrator's token is gone";
  if (pods.length !== replicas) return `${pods.length} pods of ${replicas}`;
  if (cluster.living.length !== replicas) return "a node runs on without its pod";
  if (cluster.ghosts.length > 0) return "a node runs on though it was given up";
  const names = Array.from({ length: replicas }, (_, ordinal) => `${NAME}-${ordinal}`);
  const weights = (at(object, "spec", "weights", "byNode") ?? {}) as Readonly<Record<string, number>>;
  const quorum = (field: "r" | "w") => numberAt(object, "spec", "quorum", field);
  for (const name of names) {
    const pod = world.server.store.find("Pod", name);
    const wanted = textAt(object, "spec", "image") ?? "annulus:good";
    if (textAt(pod, "spec", "containers", 0, "image") !== wanted) return `${name} runs another image`;
    const access = asksForTokens(pod) ? "tokens" : "open";
    if (access !== textAt(object, "spec", "access", "mode")) return `${name} has the access ${access}`;
    const node = cluster.nodes.find((one) => one.name === name)?.node;
    if (node === undefined) return `${name} does not run`;
    const { ringEpoch, members } = node.status.cluster();
    const ring = node.status.ring();
    if (ring.r !== quorum("r") || ring.w !== quorum("w")) return `${name} knows other quorums`;
    if (ring.mode !== textAt(object, "spec", "quorum", "mode")) return `${name} knows another mode`;
    if (ringEpoch !== numberAt(object, "status", "ringEpoch")) return `${name} knows another ring than is told`;
    const present = members.filter(({ state }) => state !== "left");
    if (present.some(({ state, health }) => state !== "active" || health !== "up"))
      return `${name} sees somebody not whole`;
    if (
      present
        .map((member) => member.name)
        .sort()
        .join() !== [...names].sort().join()
    )
      return `${name} knows other members`;
    const heavy = present.find((member) => member.weight !== (weights[member.name] ?? 100));
    if (heavy !== undefined) return `${heavy.name} weighs ${heavy.weight}`;
    const strayed = present.find((member) => member.zone !== zoneOf(world, member.name));
    if (strayed !== undefined) return `${strayed.name} is listed in ${strayed.zone}, where it is not`;
    if (!node.progress().isEmptied) return `${name} holds what is not its own`;
  }
  return undefined;
}

function zoneOf({ server, machines }: KubeWorld, pod: string): string | undefined {
  return machines.find(textAt(server.store.find("Pod", pod), "spec", "nodeName"))?.zone;
}
