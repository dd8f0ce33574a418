/**
 * The pod of a node. It must not depend on who the members are: membership changes, pods do not restart for it.
 *
 * Everything the restricted Pod Security Standard asks for; a read-only file system with the volume as the one place to
 * write; no token of Kubernetes, which a node never talks to.
 */
import type { Cluster } from "../../api/kvcluster.ts";
import { ACCESS_DIRECTORY, ADMIN_TOKEN_FILE, accessSettings, TABLE_FILE } from "../access.ts";
import { TLS_DIRECTORY, tlsSettings, usesTls } from "../certificates.ts";
import { MEMBERS_FILE } from "../founding.ts";
import {
  ADMIN_PORT,
  accessName,
  CLAIM,
  DATA_PORT,
  membersName,
  NODE_CONTAINER,
  PEER_PORT,
  peerAddress,
  selectorLabels,
  tlsName,
} from "../names.ts";
import { clusterId } from "../ring-view.ts";
import type { PeerTls, Policy } from "../world.ts";
import { CONTAINER_SECURITY, POD_SECURITY, resourcesOf, SECRET_MODE } from "./restricted.ts";

const DATA_DIRECTORY = "/data";
const MEMBERS_DIRECTORY = "/etc/annulus";
/** Between the end of a pod's being addressed and its stop: endpoints are slower than signals. */
const PRE_STOP_SECONDS = 5;
/** preStop, the nodes' own limit for a clean stop (10 s), and slack. */
const GRACE_SECONDS = 30;
const REQUESTS = { cpu: "100m", memory: "384Mi" };

/** How nodes are to be started now, which is not always what the spec has in the end. */
export type PodStart = { readonly peerTls: PeerTls; readonly asksForToken: boolean };

/** The pod template of the StatefulSet. */
export function podTemplate(cluster: Cluster, policy: Policy, start: PodStart): Record<string, unknown> {
  const labels = selectorLabels(cluster);
  return {
    metadata: { labels, annotations: { "kubectl.kubernetes.io/default-container": NODE_CONTAINER } },
    spec: {
      serviceAccountName: cluster.metadata.name,
      automountServiceAccountToken: false,
      // Otherwise a Service called "annulus" would put ANNULUS_... settings into the pod that no node knows.
      enableServiceLinks: false,
      terminationGracePeriodSeconds: GRACE_SECONDS,
      securityContext: POD_SECURITY,
      topologySpreadConstraints: spread(cluster, labels),
      containers: [container(cluster, policy, start)],
      volumes: [
        { name: "members", configMap: { name: membersName(cluster.metadata.name), optional: false } },
        ...(usesTls(cluster, start.peerTls)
          ? [{ name: "tls", secret: { secretName: tlsName(cluster.metadata.name), defaultMode: SECRET_MODE } }]
          : []),
        ...(start.asksForToken ? [accessVolume(cluster)] : []),
      ],
    },
  };
}

/** The token that comes next is nobody's yet, and no pod's business. */
function accessVolume(cluster: Cluster): unknown {
  const items = [ADMIN_TOKEN_FILE, TABLE_FILE].map((file) => ({ key: file, path: file }));
  const secretName = accessName(cluster.metadata.name);
  return { name: "access", secret: { secretName, items, defaultMode: SECRET_MODE } };
}

/** A zone constraint binds where the spec demands zones; else, and over machines, it is a wish. */
function spread({ spec: { zones } }: Cluster, labels: Record<string, string>): unknown[] {
  const common = { maxSkew: 1, labelSelector: { matchLabels: labels }, nodeTaintsPolicy: "Honor" };
  const zone =
    (zones.minimum ?? 1) > 1
      ? { ...common, topologyKey: zones.topologyKey, whenUnsatisfiable: "DoNotSchedule" }
      : { ...common, topologyKey: zones.topologyKey, whenUnsatisfiable: "ScheduleAnyway" };
  return [zone, { ...common, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway" }];
}

function container(cluster: Cluster, policy: Policy, start: PodStart): Record<string, unknown> {
  const { resources, image, tls } = cluster.spec;
  const probe = (path: string) => ({ httpGet: { path, port: "admin", ...(tls.admin ? { scheme: "HTTPS" } : {}) } });
  return {
    name: NODE_CONTAINER,
    image: image ?? policy.nodeImage,
    ports: [
      { name: "data", containerPort: DATA_PORT, protocol: "TCP" },
      { name: "admin", containerPort: ADMIN_PORT, protocol: "TCP" },
      { name: "peer", containerPort: PEER_PORT, protocol: "TCP" },
    ],
    env: environment(cluster, start),
    resources: resourcesOf(resources, REQUESTS),
    // A store that was not closed cleanly reads its log before the admin port listens.
    startupProbe: { ...probe("/healthz"), periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 300 },
    livenessProbe: { ...probe("/healthz"), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 2 },
    lifecycle: { preStop: { sleep: { seconds: PRE_STOP_SECONDS } } },
    securityContext: CONTAINER_SECURITY,
    volumeMounts: [
      { name: CLAIM, mountPath: DATA_DIRECTORY },
      { name: "members", mountPath: MEMBERS_DIRECTORY, readOnly: true },
      ...(usesTls(cluster, start.peerTls) ? [{ name: "tls", mountPath: TLS_DIRECTORY, readOnly: true }] : []),
      ...(start.asksForToken ? [{ name: "access", mountPath: ACCESS_DIRECTORY, readOnly: true }] : []),
    ],
  };
}

/** Settings by name; a list with the API server's own order would be compared by index, so it is sorted. */
function environment(cluster: Cluster, { peerTls, asksForToken }: PodStart): unknown[] {
  const { quorum, partitions, storage, config } = cluster.spec;
  const settings: Record<string, string> = {
    ...config,
    ...tlsSettings(cluster, peerTls),
    ...(asksForToken ? accessSettings(cluster) : {}),
    ANNULUS_CLUSTER: clusterId(cluster),
    ANNULUS_DATA_DIR: DATA_DIRECTORY,
    ANNULUS_DATA_PORT: String(DATA_PORT),
    ANNULUS_ADMIN_PORT: String(ADMIN_PORT),
    ANNULUS_PEER_PORT: String(PEER_PORT),
    ANNULUS_PARTITIONS: String(partitions),
    ANNULUS_N: String(quorum.n),
    ANNULUS_DURABILITY: storage.durability,
    ANNULUS_CONFIG: `${MEMBERS_DIRECTORY}/${MEMBERS_FILE}`,
  };
  return [
    { name: "ANNULUS_NODE", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
    // Refers to the variable above, which must stand before it and before the TLS files.
    { name: "ANNULUS_ADVERTISE", value: peerAddress(cluster, "$(ANNULUS_NODE)") },
    ...Object.entries(settings)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ name: key, value })),
  ];
}
