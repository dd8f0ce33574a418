/** The kinds of Kubernetes that the operator reads and writes. The chart's role names the same, and no more. */
import { BACKUP_KIND } from "../api/kvbackup.ts";
import { API_VERSION, KIND } from "../api/kvcluster.ts";

type Kind = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly isNamespaced: boolean;
};

const kind = (apiVersion: string, name: string, plural: string, isNamespaced = true): Kind => ({
  apiVersion,
  kind: name,
  plural,
  isNamespaced,
});

export const CLUSTERS = kind(API_VERSION, KIND, "kvclusters");
export const BACKUPS = kind(API_VERSION, BACKUP_KIND, "kvbackups");
export const JOBS = kind("batch/v1", "Job", "jobs");
export const CRON_JOBS = kind("batch/v1", "CronJob", "cronjobs");
export const STATEFUL_SETS = kind("apps/v1", "StatefulSet", "statefulsets");
export const PODS = kind("v1", "Pod", "pods");
export const CLAIMS = kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims");
export const VOLUMES = kind("v1", "PersistentVolume", "persistentvolumes", false);
export const MACHINES = kind("v1", "Node", "nodes", false);
export const SERVICES = kind("v1", "Service", "services");
export const SERVICE_ACCOUNTS = kind("v1", "ServiceAccount", "serviceaccounts");
export const CONFIG_MAPS = kind("v1", "ConfigMap", "configmaps");
export const DISRUPTION_BUDGETS = kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets");
export const NETWORK_POLICIES = kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies");
export const AUTOSCALERS = kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
export const SERVICE_MONITORS = kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors");
/** Those of TLS and tokens, by their names: it has no right to list them, and so watches none. */
export const SECRETS = kind("v1", "Secret", "secrets");
/** Of cert-manager, where a KVCluster names an issuer of it. */
export const CERTIFICATES = kind("cert-manager.io/v1", "Certificate", "certificates");
/** What the members use, as the metrics API tells it. */
export const POD_METRICS = kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods");
export const LEASES = kind("coordination.k8s.io/v1", "Lease", "leases");
export const EVENTS = kind("events.k8s.io/v1", "Event", "events");

/** Kinds of objects that a KVCluster owns, other than pods and claims. */
export const OWNED_KINDS: readonly Kind[] = [
  STATEFUL_SETS,
  SERVICES,
  SERVICE_ACCOUNTS,
  CONFIG_MAPS,
  DISRUPTION_BUDGETS,
  NETWORK_POLICIES,
  AUTOSCALERS,
  SERVICE_MONITORS,
];

/** Kinds of objects that a KVBackup owns, each of the one name. */
export const BACKUP_OWNED_KINDS: readonly Kind[] = [JOBS, CRON_JOBS, NETWORK_POLICIES];

const ALL = [CLUSTERS, BACKUPS, PODS, CLAIMS, VOLUMES, MACHINES, LEASES, EVENTS, SECRETS, CERTIFICATES, ...OWNED_KINDS];
ALL.push(JOBS, CRON_JOBS);

/** The kind of a name, which must be one of the above. */
export function kindOf(name: string): Kind {
  const found = ALL.find((other) => other.kind === name);
  if (found === undefined) throw new Error(`there is no kind ${name} here`);
  return found;
}
