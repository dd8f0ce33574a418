/**
 * The objects of a KVBackup: a Job for one backup or a CronJob for many, and the way to the admin ports.
 *
 * A run is one process of the nodes' own program: it takes the backup, then prunes, then leaves its report as the container's
 * termination message. One that is killed is tried again and goes on where it was; a new pod comes only when the one before has
 * ended, for two may not write into one place.
 */
import { BACKUP_KIND, type Backup } from "../../api/kvbackup.ts";
import type { Cluster } from "../../api/kvcluster.ts";
import { ACCESS_DIRECTORY } from "../access.ts";
import { AUTHORITY_FILE, TLS_DIRECTORY } from "../certificates.ts";
import { CRON_JOBS, JOBS, NETWORK_POLICIES } from "../kinds.ts";
import {
  ADMIN_PORT,
  backupLabels,
  peersDomain,
  podName,
  runLabels,
  runName,
  selectorLabels,
  tlsName,
} from "../names.ts";
import type { KubeObject } from "../objects.ts";
import { ownedBy } from "../resources/owned.ts";
import { CONTAINER_SECURITY, POD_SECURITY, resourcesOf, SECRET_MODE } from "../resources/restricted.ts";
import type { Policy } from "../world.ts";
import { placeOf, VOLUME_DIRECTORY } from "./place.ts";
import type { Rights } from "./rights.ts";

const CONTAINER = "backup";
const TOKEN_FILE = "token";
/** Where the kubelet reads what a container has to say at its end. */
const TERMINATION_FILE = "/dev/termination-log";
const STORE_TLS_DIRECTORY = "/etc/annulus-store-tls";
const STORE_AUTHORITY_FILE = "ca.crt";
const REQUESTS = { cpu: "100m", memory: "256Mi" };
/** The program ends at once when it is told to; nothing of what it wrote is lost. */
const GRACE_SECONDS = 5;
/** Runs that are kept to be looked at, of each kind. */
const HISTORY = 3;
/** The program's exit code for what no repetition mends: another cluster's backups in the place, for one. */
const EXIT_USAGE = 2;
const CREDENTIALS = [
  { name: "AWS_ACCESS_KEY_ID", optional: false },
  { name: "AWS_SECRET_ACCESS_KEY", optional: false },
  { name: "AWS_SESSION_TOKEN", optional: true },
];

/** What runs are made from. */
export type RunParts = {
  readonly backup: Backup;
  readonly cluster: Cluster;
  /** As `BackupWorld` has it. */
  readonly isAdminSecure: boolean;
  readonly policy: Policy;
  readonly rights: Exclude<Rights, { kind: "wanting" }>;
};

/** The Job of a KVBackup without a schedule. */
export function singleRun(parts: RunParts): KubeObject {
  return ownedByBackup(parts.backup, JOBS, { spec: jobSpec(parts) });
}

/** The CronJob of one with a schedule. */
export function scheduledRuns(parts: RunParts): KubeObject {
  const { backup } = parts;
  const { schedule, timeZone, suspend, startingDeadlineSeconds } = backup.spec;
  return ownedByBackup(backup, CRON_JOBS, {
    spec: {
      schedule,
      timeZone,
      suspend,
      startingDeadlineSeconds,
      concurrencyPolicy: "Forbid",
      successfulJobsHistoryLimit: HISTORY,
      failedJobsHistoryLimit: HISTORY,
      jobTemplate: { metadata: { labels: backupLabels(backup) }, spec: jobSpec(parts) },
    },
  });
}

/** Lets the runs' pods through to the members' admin ports, besides whom the cluster's own policy lets through. */
export function passage({ backup, cluster }: Pick<RunParts, "backup" | "cluster">): KubeObject {
  const from = [{ podSelector: { matchLabels: runLabels(backup) } }];
  return ownedByBackup(backup, NETWORK_POLICIES, {
    spec: {
      podSelector: { matchLabels: selectorLabels(cluster) },
      policyTypes: ["Ingress"],
      ingress: [{ ports: [{ port: "admin", protocol: "TCP" }], from }],
    },
  });
}

function ownedByBackup(
  backup: Backup,
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
  body: Readonly<Record<string, unknown>>,
): KubeObject {
  const { name, namespace, uid } = backup.metadata;
  const owner = { kind: BACKUP_KIND, name, namespace, uid };
  return ownedBy(owner, backupLabels(backup), { apiVersion, kind, name: runName(name) }, body);
}

function jobSpec(parts: RunParts): Record<string, unknown> {
  const { retries, timeoutSeconds } = parts.backup.spec;
  return {
    backoffLimit: retries,
    activeDeadlineSeconds: timeoutSeconds,
    podReplacementPolicy: "Failed",
    podFailurePolicy: {
      rules: [
        { action: "FailJob", onExitCodes: { containerName: CONTAINER, operator: "In", values: [EXIT_USAGE] } },
        // A machine that is drained is no fault of the run.
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
      ],
    },
    template: podTemplate(parts),
  };
}

function podTemplate(parts: RunParts): Record<string, unknown> {
  const { backup, cluster, policy } = parts;
  const mounts = mountsOf(parts);
  return {
    metadata: { labels: backupLabels(backup) },
    spec: {
      // With the cluster's own account, which has no right in Kubernetes, come the pull secrets that people gave it.
      serviceAccountName: backup.spec.destination.s3?.serviceAccountName ?? cluster.metadata.name,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      restartPolicy: "Never",
      terminationGracePeriodSeconds: GRACE_SECONDS,
      securityContext: POD_SECURITY,
      containers: [
        {
          name: CONTAINER,
          image: cluster.spec.image ?? policy.nodeImage,
          args: runArguments(backup),
          env: environment(parts),
          resources: resourcesOf(backup.spec.resources, REQUESTS),
          terminationMessagePath: TERMINATION_FILE,
          terminationMessagePolicy: "FallbackToLogsOnError",
          securityContext: CONTAINER_SECURITY,
          volumeMounts: mounts.map(({ name, mountPath, readOnly }) => ({
            ...{ name, mountPath },
            ...(readOnly ? { readOnly } : {}),
          })),
        },
      ],
      volumes: mounts.map(({ name, source }) => ({ name, ...source })),
    },
  };
}

/** The program's arguments, after its name. */
function runArguments(backup: Backup): string[] {
  const { retention = {}, rateMiBPerSecond } = backup.spec;
  const kept = Object.entries(retention).flatMap(([rule, count]) =>
    count === undefined ? [] : [`--keep-${rule}`, String(count)],
  );
  const rate = rateMiBPerSecond === undefined ? [] : ["--rate", String(rateMiBPerSecond)];
  return ["backup", placeOf(backup), "--report", TERMINATION_FILE, ...rate, ...kept];
}

function environment({ backup, cluster, isAdminSecure, rights }: RunParts): unknown[] {
  const { s3 } = backup.spec.destination;
  const secret = s3?.credentialsSecret?.name;
  return [
    { name: "ANNULUS_ADMIN_URL", value: adminUrls(cluster, isAdminSecure) },
    ...(isAdminSecure ? [{ name: "ANNULUS_CA_FILE", value: `${TLS_DIRECTORY}/${AUTHORITY_FILE}` }] : []),
    ...(rights.kind === "token" ? [{ name: "ANNULUS_TOKEN_FILE", value: `${ACCESS_DIRECTORY}/${TOKEN_FILE}` }] : []),
    ...(s3?.endpoint === undefined ? [] : [{ name: "AWS_ENDPOINT_URL_S3", value: s3.endpoint }]),
    ...(s3?.region === undefined ? [] : [{ name: "AWS_REGION", value: s3.region }]),
    ...(s3?.caSecret === undefined
      ? []
      : [{ name: "NODE_EXTRA_CA_CERTS", value: `${STORE_TLS_DIRECTORY}/${STORE_AUTHORITY_FILE}` }]),
    ...(secret === undefined
      ? []
      : CREDENTIALS.map(({ name, optional }) => ({
          name,
          valueFrom: { secretKeyRef: { name: secret, key: name, ...(optional ? { optional } : {}) } },
        }))),
  ];
}

/**
 * Members by their names, which their certificates hold. Those that exist whatever an autoscaler does: a change of its mind is no
 * reason to begin a run again, and any node reads from all homes.
 */
function adminUrls({ metadata, spec }: Cluster, isAdminSecure: boolean): string {
  const { autoscaling, quorum, replicas } = spec;
  const count = autoscaling?.mode === "automatic" ? Math.max(quorum.n, autoscaling.minReplicas) : replicas;
  const domain = peersDomain({ metadata } as Cluster);
  const urls = Array.from({ length: count }, (_, ordinal) => {
    const scheme = isAdminSecure ? "https" : "http";
    return `${scheme}://${podName(metadata.name, ordinal)}.${domain}:${ADMIN_PORT}`;
  });
  return urls.join(",");
}

type Mount = {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly: boolean;
  readonly source: Readonly<Record<string, unknown>>;
};

function mountsOf({ backup, cluster, isAdminSecure, rights }: RunParts): Mount[] {
  const { pvc, s3 } = backup.spec.destination;
  const mounts: Mount[] = [];
  if (pvc !== undefined) {
    const source = { persistentVolumeClaim: { claimName: pvc.claimName } };
    mounts.push({ name: "backups", mountPath: VOLUME_DIRECTORY, readOnly: false, source });
  }
  if (isAdminSecure)
    // Whom to trust, and no member's key.
    mounts.push(mountedFile("tls", TLS_DIRECTORY, { name: tlsName(cluster.metadata.name), key: AUTHORITY_FILE }));
  if (rights.kind === "token") mounts.push(mountedFile("access", ACCESS_DIRECTORY, rights.secret, TOKEN_FILE));
  if (s3?.caSecret !== undefined)
    mounts.push(mountedFile("store-tls", STORE_TLS_DIRECTORY, s3.caSecret, STORE_AUTHORITY_FILE));
  return mounts;
}

/** One file of a Secret. */
function mountedFile(
  name: string,
  mountPath: string,
  secret: { readonly name: string; readonly key: string },
  path = secret.key,
): Mount {
  const source = { secretName: secret.name, items: [{ key: secret.key, path }], defaultMode: SECRET_MODE };
  return { name, mountPath, readOnly: true, source: { secret: source } };
}
