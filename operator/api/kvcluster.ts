/**
 * `KVCluster` (`annulus.dev/v1alpha1`): the one schema of its spec and status, with defaults, bounds and descriptions.
 *
 * `crd.ts` turns it into the structural schema that the API server enforces and `kubectl explain` shows; `parseCluster`
 * reads an object by it. What a schema cannot say (R ≤ N, what may never change) stands in `rules.ts`.
 */
import { z } from "zod";
import { conditions, Metadata, mapOf, opaque, quantity, resources, text, time, whole } from "./parts.ts";
import { readQuantity } from "./quantity.ts";

export const GROUP = "annulus.dev";
export const VERSION = "v1alpha1";
export const KIND = "KVCluster";
export const API_VERSION = `${GROUP}/${VERSION}`;

/** On a KVCluster: the operator changes nothing while it says "true". */
export const PAUSED_ANNOTATION = `${GROUP}/paused`;
/** On a KVCluster, at its creation: the id of an earlier cluster whose kept volumes it takes over. */
export const ADOPT_ANNOTATION = `${GROUP}/adopt`;
/** On a pod: its volume is lost or may be given up; the member is rebuilt from its peers on a new one. */
export const REPLACE_ANNOTATION = `${GROUP}/replace`;
/** Its value where a person says that the disk is gone for good, with those of others of its zone perhaps; `true` only asks. */
export const LOST = "lost";

const REPLICAS_MAX = 200;
const REPLICATION_FACTOR_MAX = 16;
const WEIGHT_MAX = 10_000;
/** How full a change of the ring may make a disk, in percent, where the spec does not say. */
export const DISK_USED_PERCENT_MAX = 70;

const weight = whole(0, WEIGHT_MAX);
const replicationFactor = whole(1, REPLICATION_FACTOR_MAX);

const Quorum = z
  .object({
    n: replicationFactor.default(3).describe("Home replicas of each key. Fixed at creation."),
    // A bare `n:` is a word for false in YAML 1.1, which kubectl reads: it arrives as a field of that name.
    false: replicationFactor
      .optional()
      .describe("The same as n, as kubectl sends it when n is not quoted; goes before it."),
    r: whole(1, REPLICATION_FACTOR_MAX).default(2).describe("Replies that a read waits for, unless it says otherwise."),
    w: whole(1, REPLICATION_FACTOR_MAX)
      .default(2)
      .describe("Acknowledgements that a write waits for, unless it says otherwise."),
    mode: z
      .enum(["sloppy", "strict"])
      .default("sloppy")
      .describe("Whether stand-ins count towards R and W (sloppy), or home replicas only (strict)."),
  })
  .transform(({ false: bare, n, r, w, mode }) => ({ n: bare ?? n, r, w, mode }));

const Zones = z.object({
  topologyKey: z
    .string()
    .min(1)
    .max(253)
    .default("topology.kubernetes.io/zone")
    .describe("The label of a Kubernetes node that names its zone. It stays as it is at creation."),
  minimum: whole(1, REPLICATION_FACTOR_MAX)
    .optional()
    .describe(
      "With members in fewer zones than this the condition ZonesBalanced is False, and none leaves that would leave fewer. Absent: 1, and none leaves that would leave fewer than there are, or than quorum.n.",
    ),
});

const Weights = z.object({
  default: weight.default(100).describe("Weight of a member that neither map names."),
  byZone: mapOf(weight, 32).default({}).describe("Weight by zone."),
  byNode: mapOf(weight, REPLICAS_MAX).default({}).describe("Weight by pod name; goes before byZone."),
});

const Storage = z.object({
  size: quantity.default("10Gi").describe("Size of each member's volume. May grow where the class allows it."),
  className: z
    .string()
    .min(1)
    .max(253)
    .optional()
    .describe("Storage class; absent: the default one of Kubernetes. Fixed at creation."),
  durability: z
    .enum(["os", "disk"])
    .default("os")
    .describe("When a write counts as durable: in the operating system's hands (os), or flushed to the disk (disk)."),
  whenScaled: z
    .enum(["Retain", "Delete"])
    .default("Retain")
    .describe("What becomes of a member's volume once it has left the ring."),
  whenDeleted: z
    .enum(["Retain", "Delete"])
    .default("Retain")
    .describe("What becomes of the volumes when the KVCluster is deleted."),
});

const Autoscaling = z.object({
  mode: z
    .enum(["automatic", "recommend"])
    .default("automatic")
    .describe(
      "automatic: a HorizontalPodAutoscaler sets replicas. recommend: none is made; the size that it would head for is told in status.recommendation, and a person scales.",
    ),
  minReplicas: whole(1, REPLICAS_MAX).default(3).describe("Never fewer members than this; at least quorum.n."),
  maxReplicas: whole(1, REPLICAS_MAX).default(9).describe("Never more members than this."),
  targetCPUUtilizationPercentage: whole(1, 1000)
    .default(70)
    .describe("Share of the requested CPU that the members should use."),
  behavior: opaque
    .optional()
    .describe("As in a HorizontalPodAutoscaler. Absent: 2 members a minute up after 60 s, 1 every 10 minutes down."),
  cooldownSeconds: whole(0, 86_400)
    .default(300)
    .describe(
      "No change of the number of members so soon after the last one ended; with mode recommend, no other size is recommended.",
    ),
  diskUsedPercentMax: whole(1, 100)
    .default(DISK_USED_PERCENT_MAX)
    .describe(
      "No member leaves when another's disk would be fuller than this, and none is weighed or joined so that a disk would be, and fuller than any is now. Without autoscaling it is 70.",
    ),
});

const Resources = resources("each node");

const Tls = z.object({
  peers: z
    .boolean()
    .default(false)
    .describe(
      "Members speak TLS and hold each other to certificates. A change takes two rolls, and no peer is cut off.",
    ),
  admin: z
    .boolean()
    .optional()
    .describe(
      "The admin port speaks TLS; the operator and Kubernetes' probes follow. Absent: as the operator is told, which is yes unless clusters.adminTls of the chart says no.",
    ),
  data: z.boolean().default(false).describe("The data port speaks TLS; clients must use https from then on."),
  issuer: z
    .object({
      name: z.string().min(1).max(253).describe("Its name."),
      kind: z
        .string()
        .max(63)
        .regex(/^[A-Z][A-Za-z]*$/)
        .default("Issuer")
        .describe("Issuer, of the same namespace, or ClusterIssuer."),
      group: z
        .string()
        .max(253)
        .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
        .default("cert-manager.io")
        .describe("The API group of its kind."),
    })
    .optional()
    .describe(
      "An issuer of cert-manager that makes the certificates, and tells its authority (ca.crt). Absent: the operator makes them.",
    ),
});

const Token = z.object({
  name: z
    .string()
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
    .describe("For the nodes' log. Unique."),
  secret: z
    .object({
      name: z.string().min(1).max(253).describe("A Secret of type annulus.dev/token in the same namespace."),
      key: z
        .string()
        .max(253)
        .regex(/^[-._a-zA-Z0-9]+$/)
        .default("token")
        .describe("Where in it the token stands: 32 to 512 letters, digits and ._~+/-."),
    })
    .describe("Where the token is. Another text there is another token, and the one before is refused."),
  data: z.enum(["none", "read", "read-write"]).default("none").describe("What it may do with keys."),
  prefixes: z
    .array(
      z
        .string()
        .max(1024)
        .regex(/^([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+$/),
    )
    .min(1)
    .max(100)
    .optional()
    .describe("Only on keys that begin with one of these, percent-encoded as in a URL. Absent: on every key."),
  cluster: z
    .enum(["none", "monitor", "admin"])
    .default("none")
    .describe("On the admin port: see cluster and ring (monitor), or change them (admin)."),
});

const Access = z.object({
  mode: z
    .enum(["tokens", "open"])
    .default("tokens")
    .describe("tokens: the nodes ask for them. open: whoever reaches a port may do everything there."),
  anonymous: z
    .object({
      data: z
        .enum(["none", "read", "read-write"])
        .default("none")
        .describe("What callers without a token may do with keys."),
      cluster: z
        .enum(["none", "monitor"])
        .default("none")
        .describe("Whether callers without a token may see cluster and ring. Health and metrics they always may."),
    })
    .prefault({})
    .describe("What everybody may do, with a token or without."),
  tokens: z
    .array(Token)
    .max(200)
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] })
    .default([])
    .describe("Tokens of clients, and what each gives a right to."),
});

export const Spec = z
  .object({
    replicas: whole(1, REPLICAS_MAX).default(3).describe("How many members there should be; at least quorum.n."),
    image: z.string().min(1).max(512).optional().describe("The nodes' image; absent: the operator's own release."),
    quorum: Quorum.prefault({}).describe("How many replicas a key has, and how many of them a request waits for."),
    partitions: whole(1, 65_536)
      .default(512)
      .describe("Equal parts of the hash space, a power of two. Fixed at creation."),
    zones: Zones.prefault({}).describe("Failure zones that members are spread over."),
    weights: Weights.prefault({}).describe(
      "Shares of the data, relative to each other. A change moves data. 0 holds none.",
    ),
    storage: Storage.prefault({}).describe("Each member's volume."),
    resources: Resources.prefault({}).describe(
      "As in a container. Requests that are absent are 100m of CPU and 384Mi of memory.",
    ),
    autoscaling: Autoscaling.optional().describe("Absent: replicas is set by hand."),
    recovery: z
      .object({
        replaceAfterSeconds: whole(0, 604_800)
          .default(1800)
          .describe("A member whose machine is gone for so long is rebuilt elsewhere, on a new volume. 0: never."),
      })
      .prefault({})
      .describe("What is done about machines that do not come back."),
    tls: Tls.prefault({}).describe(
      "Which ports speak TLS, with certificates that the operator makes and renews. A change restarts the members one by one.",
    ),
    access: Access.optional().describe(
      "Who may do what. The operator makes a token for changes of the cluster (Secret <name>-access). Absent: everybody may read and write keys and see the cluster, and nobody without that token changes it.",
    ),
    monitoring: z
      .object({ serviceMonitor: z.boolean().default(false).describe("Makes a ServiceMonitor (Prometheus operator).") })
      .prefault({})
      .describe("How the metrics are found."),
    config: mapOf(z.string().max(1024), 64)
      .default({})
      .describe(
        "Further settings of the nodes by their names (ANNULUS_..., OTEL_...). A change restarts them one by one.",
      ),
  })
  .describe("What the cluster should be.");

export const Status = z
  .object({
    observedGeneration: z.int().min(0).optional().describe("The generation of the spec that this is about."),
    summary: text(256).optional().describe("The state in a few words."),
    replicas: z.int().min(0).optional().describe("Pods that exist."),
    readyReplicas: z.int().min(0).optional().describe("Pods that serve."),
    selector: text(1024).optional().describe("Finds the pods; for the scale subresource."),
    ringEpoch: z.int().min(0).optional().describe("Newest epoch of the ring that was seen. It never falls."),
    members: z
      .array(
        z.object({
          name: text(63),
          zone: text(63),
          weight: z.int(),
          state: text(16),
          health: z.enum(["up", "suspect", "down", "unknown"]),
        }),
      )
      .optional()
      .describe("Who is in the ring."),
    transition: z
      .object({
        id: text(128),
        kind: text(64),
        movedBytes: z.number().min(0).optional(),
        totalBytes: z.number().min(0).optional(),
        startedAt: time.optional(),
      })
      .optional()
      .describe("The ring change in progress."),
    lastChangeAt: time.optional().describe("When the last ring change was seen to have ended."),
    recommendation: z
      .object({
        replicas: z.int().min(0).optional().describe("The size that the load calls for; absent: it is not known."),
        reason: text(1024).describe("What calls for it, as of its time."),
        held: text(1024).optional().describe("Why members would not leave if it were asked for."),
        movedBytes: z.number().min(0).optional().describe("About how many bytes would be moved."),
        since: time.describe("When it became this."),
      })
      .optional()
      .describe("With autoscaling.mode recommend: what an autoscaler would ask for. Nothing comes of it by itself."),

    conditions: conditions.describe("Available, Progressing, Degraded, ZonesBalanced."),
  })
  .describe("What the operator last saw.");

/** A stored object: what the API server hands out. */
const StoredCluster = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal(KIND),
  metadata: Metadata,
  spec: Spec.prefault({}),
  status: Status.default({}),
});

export type Spec = z.output<typeof Spec>;
export type Access = z.output<typeof Access>;
export type Autoscaling = z.output<typeof Autoscaling>;
export type Status = z.output<typeof Status>;
export type { Condition } from "./parts.ts";

/** What the operator's settings say of every cluster whose manifest does not. */
export type Presets = {
  /** Whether the admin port speaks TLS. */
  readonly adminTls: boolean;
};

/** A cluster of which nothing is left open. */
export type Cluster = z.output<typeof StoredCluster> & { readonly spec: { readonly tls: { readonly admin: boolean } } };

/** A cluster that was read, or what is wrong with it, one sentence each. */
export type Parsed =
  | { readonly ok: true; readonly cluster: Cluster }
  | { readonly ok: false; readonly problems: readonly string[] };

/**
 * Reads a stored object and fills defaults in: those of the schema, as the API server does, and the operator's own, which are never
 * stored, so that they hold as long as nobody says otherwise.
 */
export function parseCluster(object: unknown, presets: Presets): Parsed {
  const parsed = StoredCluster.safeParse(object);
  if (parsed.success) return { ok: true, cluster: completed(parsed.data, presets) };
  return { ok: false, problems: parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`) };
}

function completed(stored: z.output<typeof StoredCluster>, { adminTls }: Presets): Cluster {
  const { tls } = stored.spec;
  return { ...stored, spec: { ...stored.spec, tls: { ...tls, admin: tls.admin ?? adminTls } } };
}

/** The bytes of a volume that the spec asks for. */
export function storageBytes(spec: Spec): number {
  return readQuantity(spec.storage.size) ?? 0;
}

/** Clients of a cluster whose manifest says nothing of access need no token. */
const OPEN_TO_CLIENTS = Access.parse({ anonymous: { data: "read-write", cluster: "monitor" } });

/** Who may do what. */
export function accessOf(spec: Spec): Access {
  return spec.access ?? OPEN_TO_CLIENTS;
}
