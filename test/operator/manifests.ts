/** KVClusters for tests: one that is right, and for each rule one that is wrong. */

export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: Record<string, unknown>;
};

/** What the operator's settings say of clusters that do not: the admin port is plain where a test says nothing of it. */
export const PRESETS = { adminTls: false };

/** A manifest with `spec`; everything else is as a user would write it. */
export function manifest(spec: Record<string, unknown> = {}, name = "sessions"): Manifest {
  return { apiVersion: "annulus.dev/v1alpha1", kind: "KVCluster", metadata: { name, namespace: "default" }, spec };
}

/** One breach of each rule: what is there before (for rules about changes), what is wrong, and how it is told. */
export const BREACHES: readonly {
  readonly what: string;
  readonly before?: Record<string, unknown>;
  readonly spec: Record<string, unknown>;
  readonly name?: string;
  readonly message: string;
}[] = [
  { what: "a name that is no service's name", name: "2nd", spec: {}, message: "choose such a name" },
  { what: "a name of 41 letters", name: "a".repeat(41), spec: {}, message: "choose such a name" },
  { what: "fewer replicas than N", spec: { replicas: 2 }, message: "raise replicas" },
  {
    what: "an autoscaler that may go below N",
    spec: { autoscaling: { minReplicas: 2 } },
    message: "autoscaling.minReplicas must be at least quorum.n",
  },
  {
    what: "a maximum below the minimum",
    spec: { autoscaling: { minReplicas: 5, maxReplicas: 4 } },
    message: "maxReplicas must be at least minReplicas",
  },
  { what: "R above N", spec: { quorum: { r: 4 } }, message: "lower r" },
  { what: "W above N", spec: { quorum: { w: 4 } }, message: "lower w" },
  { what: "another N", before: { replicas: 5 }, spec: { replicas: 5, quorum: { n: 5 } }, message: "n is fixed" },
  { what: "an N above replicas, as kubectl sends a bare n", spec: { quorum: { false: 4 } }, message: "raise replicas" },
  { what: "another N of that kind", before: {}, spec: { replicas: 5, quorum: { false: 5 } }, message: "n is fixed" },
  { what: "partitions that are no power of two", spec: { partitions: 500 }, message: "a power of two" },
  { what: "other partitions", before: {}, spec: { partitions: 1024 }, message: "partitions is fixed" },
  {
    what: "zones by another label",
    before: {},
    spec: { zones: { topologyKey: "example.org/rack" } },
    message: "topologyKey is fixed",
  },
  { what: "a volume too small", spec: { storage: { size: "255Mi" } }, message: "size must be at least 256Mi" },
  {
    what: "a volume that shrinks, in another unit",
    before: { storage: { size: "2Gi" } },
    spec: { storage: { size: "2047Mi" } },
    message: "never shrink",
  },
  {
    what: "another storage class",
    before: { storage: { className: "standard" } },
    spec: { storage: { className: "fast" } },
    message: "className is fixed",
  },
  {
    what: "a storage class taken away",
    before: { storage: { className: "standard" } },
    spec: {},
    message: "className is fixed",
  },
  {
    what: "no weight above 0",
    spec: { weights: { default: 0, byZone: { a: 0 } } },
    message: "some weight must be above 0",
  },
  {
    what: "tokens where nobody asks for them",
    spec: {
      access: { mode: "open", tokens: [{ name: "shop", secret: { name: "shop-token" }, data: "read" }] },
    },
    message: "mode open lets everybody do everything",
  },
  {
    what: "a limit of what everybody may do where nobody is limited",
    spec: { access: { mode: "open", anonymous: { data: "read" } } },
    message: "mode open lets everybody do everything",
  },
  {
    what: "a token without any right",
    spec: { access: { tokens: [{ name: "shop", secret: { name: "shop-token" } }] } },
    message: "a token without any right",
  },
  {
    what: "prefixes of a token that has no right on keys",
    spec: { access: { tokens: [{ name: "shop", secret: { name: "t" }, cluster: "monitor", prefixes: ["a"] }] } },
    message: "prefixes limit what a token may do with keys",
  },
  {
    what: "a setting of access among the others",
    spec: { config: { ANNULUS_ANONYMOUS_DATA: "read" } },
    message: "config holds a setting that the operator gives",
  },
  {
    what: "a setting that is none",
    spec: { config: { timeout: "500" } },
    message: "config holds settings of the nodes",
  },
  {
    what: "a setting of TLS between peers, by which the operator knows how far a pod has come",
    spec: { config: { ANNULUS_PEER_TLS: "require" } },
    message: "config holds a setting that the operator gives",
  },
  {
    what: "a certificate of the admin port, by which the operator knows how to speak to it",
    spec: { config: { ANNULUS_ADMIN_TLS_CERTIFICATE_FILE: "/etc/annulus-tls/ca.crt" } },
    message: "config holds a setting that the operator gives",
  },
  {
    what: "a setting that is the operator's",
    spec: { config: { ANNULUS_SEEDS: "elsewhere:7402" } },
    message: "config holds a setting that the operator gives",
  },
];

/** Changes that are allowed although they look alike. */
export const ALLOWED: readonly {
  readonly what: string;
  readonly before: Record<string, unknown>;
  readonly spec: Record<string, unknown>;
}[] = [
  { what: "the smallest", before: {}, spec: {} },
  { what: "the same N in both spellings", before: { quorum: { n: 3 } }, spec: { quorum: { false: 3 } } },
  {
    what: "nobody without a token, and one for all",
    before: {},
    spec: { access: { tokens: [{ name: "shop", secret: { name: "shop-token", key: "t" }, data: "read-write" }] } },
  },
  {
    what: "access that is open, as it was before there were tokens",
    before: { access: {} },
    spec: { access: { mode: "open" } },
  },
  {
    what: "certificates of an issuer, of another, and of the operator's own",
    before: { tls: { peers: true, issuer: { name: "office" } } },
    spec: { tls: { peers: true } },
  },
  { what: "more zones, by the same label", before: {}, spec: { zones: { minimum: 3 } } },
  { what: "more replicas", before: {}, spec: { replicas: 5 } },
  { what: "another R and W", before: {}, spec: { quorum: { r: 1, w: 3, mode: "strict" } } },
  { what: "a volume that grows", before: { storage: { size: "2047Mi" } }, spec: { storage: { size: "2Gi" } } },
  {
    what: "one member with N = 1",
    before: { replicas: 1, quorum: { n: 1, r: 1, w: 1 } },
    spec: { replicas: 1, quorum: { n: 1, r: 1, w: 1 } },
  },
  {
    what: "a zone without data",
    before: {},
    spec: { weights: { default: 100, byZone: { a: 0 }, byNode: { "sessions-1": 200 } } },
  },
  {
    what: "the example of the documentation",
    before: {},
    spec: {
      replicas: 3,
      image: "annulus:dev",
      quorum: { n: 3, r: 2, w: 2, mode: "sloppy" },
      partitions: 512,
      zones: { topologyKey: "topology.kubernetes.io/zone", minimum: 1 },
      weights: { default: 100, byZone: {}, byNode: {} },
      storage: { size: "10Gi", durability: "os" },
      resources: {},
      autoscaling: {
        mode: "automatic",
        minReplicas: 3,
        maxReplicas: 9,
        targetCPUUtilizationPercentage: 70,
        behavior: { scaleDown: { stabilizationWindowSeconds: 15 } },
      },
      config: {},
    },
  },
];
