/** Services and the NetworkPolicy: who reaches a node, under which name, on which port. */
import type { Cluster } from "../../api/kvcluster.ts";
import { ADMIN_PORT, DATA_PORT, MANAGER, NAME_LABEL, PEER_PORT, peersName, selectorLabels } from "../names.ts";
import type { KubeObject } from "../objects.ts";
import type { Policy } from "../world.ts";
import { owned } from "./owned.ts";

/** The Service for clients: the data port of whichever pods are ready. */
export function clientService(cluster: Cluster): KubeObject {
  return owned(
    cluster,
    { apiVersion: "v1", kind: "Service", name: cluster.metadata.name },
    {
      spec: {
        type: "ClusterIP",
        selector: selectorLabels(cluster),
        ports: [{ name: "data", port: DATA_PORT, targetPort: "data", protocol: "TCP" }],
      },
    },
  );
}

/** The headless Service: a name in DNS for each pod, ready or not, for members find each other before they serve. */
export function peersService(cluster: Cluster): KubeObject {
  return owned(
    cluster,
    { apiVersion: "v1", kind: "Service", name: peersName(cluster.metadata.name) },
    {
      spec: {
        clusterIP: "None",
        publishNotReadyAddresses: true,
        selector: selectorLabels(cluster),
        ports: [
          { name: "peer", port: PEER_PORT, targetPort: "peer", protocol: "TCP" },
          { name: "admin", port: ADMIN_PORT, targetPort: "admin", protocol: "TCP" },
        ],
      },
    },
  );
}

/** Peers only on the peer port; the operator, peers and Prometheus on the admin port; anybody on the data port. */
export function networkPolicy(cluster: Cluster, policy: Policy): KubeObject {
  const pods = { podSelector: { matchLabels: selectorLabels(cluster) } };
  const operator = {
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": policy.operatorNamespace } },
    podSelector: { matchLabels: { [NAME_LABEL]: MANAGER } },
  };
  const prometheus = { namespaceSelector: {}, podSelector: { matchLabels: { [NAME_LABEL]: "prometheus" } } };
  const port = (name: string) => [{ port: name, protocol: "TCP" }];
  return owned(
    cluster,
    { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: cluster.metadata.name },
    {
      spec: {
        ...pods,
        policyTypes: ["Ingress"],
        ingress: [
          { ports: port("data") },
          { ports: port("peer"), from: [pods] },
          { ports: port("admin"), from: [pods, operator, prometheus] },
        ],
      },
    },
  );
}
