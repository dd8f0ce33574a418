/** What a KVCluster must fulfil beyond its schema; see `rule.ts`. */
import type { Spec } from "./kvcluster.ts";
import { readQuantity } from "./quantity.ts";
import { broken, NAME_RULE, type Rule, type Subject } from "./rule.ts";

/** Settings that the operator gives the nodes itself, and in part reads back from their pods: that is how far a roll has come. */
export const OWNED_SETTINGS: readonly string[] = [
  "ANNULUS_ACCESS_FILE",
  "ANNULUS_ADMIN_PORT",
  "ANNULUS_ADMIN_TLS_CERTIFICATE_FILE",
  "ANNULUS_ADMIN_TLS_KEY_FILE",
  "ANNULUS_ADMIN_URL",
  "ANNULUS_ADVERTISE",
  "ANNULUS_ANONYMOUS_CLUSTER",
  "ANNULUS_ANONYMOUS_DATA",
  "ANNULUS_CA_FILE",
  "ANNULUS_CLUSTER",
  "ANNULUS_CONFIG",
  "ANNULUS_DATA_DIR",
  "ANNULUS_DATA_PORT",
  "ANNULUS_DATA_TLS_CERTIFICATE_FILE",
  "ANNULUS_DATA_TLS_KEY_FILE",
  "ANNULUS_DURABILITY",
  "ANNULUS_HOST",
  "ANNULUS_MEMBERS",
  "ANNULUS_MODE",
  "ANNULUS_N",
  "ANNULUS_NODE",
  "ANNULUS_PARTITIONS",
  "ANNULUS_PEER_PORT",
  "ANNULUS_PEER_TLS",
  "ANNULUS_PEER_TLS_CA_FILE",
  "ANNULUS_PEER_TLS_CERTIFICATE_FILE",
  "ANNULUS_PEER_TLS_DOMAIN",
  "ANNULUS_PEER_TLS_KEY_FILE",
  "ANNULUS_R",
  "ANNULUS_SEEDS",
  "ANNULUS_TOKEN",
  "ANNULUS_TOKEN_FILE",
  "ANNULUS_URL",
  "ANNULUS_W",
  "ANNULUS_WEIGHT",
  "ANNULUS_ZONE",
];

/** N in CEL, below the quorum at `path`: see the field `false` in `kvcluster.ts`, whose name CEL escapes. */
const nAt = (path: string) => `(has(${path}.__false__) ? ${path}.__false__ : ${path}.n)`;

const SETTING = /^(ANNULUS|OTEL)_[A-Z0-9_]{1,64}$/;
const SIZE_MIN = "256Mi";

/** All rules, in the order of the schema. */
export const RULES: readonly Rule<Spec>[] = [
  NAME_RULE,
  {
    at: ["spec"],
    cel: `self.replicas >= ${nAt("self.quorum")}`,
    message: "replicas must be at least quorum.n, for each key has that many home replicas: raise replicas",
    holds: ({ spec }) => spec.replicas >= spec.quorum.n,
  },
  {
    at: ["spec"],
    cel: `!has(self.autoscaling) || self.autoscaling.minReplicas >= ${nAt("self.quorum")}`,
    message: "autoscaling.minReplicas must be at least quorum.n: raise it",
    holds: ({ spec }) => spec.autoscaling === undefined || spec.autoscaling.minReplicas >= spec.quorum.n,
  },
  {
    at: ["spec", "autoscaling"],
    cel: "self.maxReplicas >= self.minReplicas",
    message: "maxReplicas must be at least minReplicas: raise it, or lower minReplicas",
    holds: ({ spec }) => spec.autoscaling === undefined || spec.autoscaling.maxReplicas >= spec.autoscaling.minReplicas,
  },
  {
    at: ["spec", "quorum"],
    cel: `self.r <= ${nAt("self")}`,
    message: "r must be at most n, or no read could ever be answered: lower r",
    holds: ({ spec }) => spec.quorum.r <= spec.quorum.n,
  },
  {
    at: ["spec", "quorum"],
    cel: `self.w <= ${nAt("self")}`,
    message: "w must be at most n, or no write could ever be acknowledged: lower w",
    holds: ({ spec }) => spec.quorum.w <= spec.quorum.n,
  },
  {
    at: ["spec", "quorum"],
    cel: `${nAt("self")} == ${nAt("oldSelf")}`,
    message: "n is fixed at creation: make a new KVCluster and copy the data with annulus export and import",
    holds: ({ spec }, old) => old === undefined || spec.quorum.n === old.spec.quorum.n,
  },
  {
    at: ["spec", "partitions"],
    cel: "self in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]",
    message: "partitions must be a power of two from 1 to 65536: 512 suits up to some 50 members, 4096 more",
    holds: ({ spec }) => Number.isInteger(Math.log2(spec.partitions)),
  },
  {
    at: ["spec", "partitions"],
    cel: "self == oldSelf",
    message: "partitions is fixed at creation: make a new KVCluster and copy the data with annulus export and import",
    holds: ({ spec }, old) => old === undefined || spec.partitions === old.spec.partitions,
  },
  {
    // The ring keeps each member in the zone that it joined from: by two labels, two members of one zone are in two.
    at: ["spec", "zones"],
    cel: "self.topologyKey == oldSelf.topologyKey",
    message:
      "topologyKey is fixed at creation, for members stay in the zones that they joined from: make a new KVCluster and copy the data with annulus export and import",
    holds: ({ spec }, old) => old === undefined || spec.zones.topologyKey === old.spec.zones.topologyKey,
  },
  {
    at: ["spec", "storage"],
    cel: `quantity(self.size).compareTo(quantity('${SIZE_MIN}')) >= 0`,
    message: `size must be at least ${SIZE_MIN}, for a node keeps a reserve free: raise it`,
    holds: ({ spec }) => bytes(spec) >= (readQuantity(SIZE_MIN) as number),
  },
  {
    at: ["spec", "storage"],
    cel: "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
    message: "size may grow and never shrink, for volumes cannot: make a new KVCluster to get smaller volumes",
    holds: ({ spec }, old) => old === undefined || bytes(spec) >= bytes(old.spec),
  },
  {
    at: ["spec", "storage"],
    cel: "has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)",
    message: "className is fixed at creation: make a new KVCluster and copy the data with annulus export and import",
    holds: ({ spec }, old) => old === undefined || spec.storage.className === old.spec.storage.className,
  },
  {
    at: ["spec", "weights"],
    cel: "self.default > 0 || self.byZone.exists(zone, self.byZone[zone] > 0) || self.byNode.exists(node, self.byNode[node] > 0)",
    message: "some weight must be above 0, or no member could hold data: raise weights.default",
    holds: ({ spec: { weights } }) =>
      [weights.default, ...Object.values(weights.byZone), ...Object.values(weights.byNode)].some(
        (weight) => weight > 0,
      ),
  },
  {
    at: ["spec", "access"],
    cel: "self.mode == 'tokens' || (self.tokens.size() == 0 && self.anonymous.data == 'none' && self.anonymous.cluster == 'none')",
    message: "mode open lets everybody do everything: leave out anonymous and tokens, or the mode",
    holds: ({ spec: { access } }) =>
      access === undefined ||
      access.mode === "tokens" ||
      (access.tokens.length === 0 && access.anonymous.data === "none" && access.anonymous.cluster === "none"),
  },
  {
    at: ["spec", "access"],
    cel: "self.tokens.all(token, token.data != 'none' || token.cluster != 'none')",
    message: "a token without any right is of no use: give it data or cluster",
    holds: ({ spec: { access } }) =>
      access === undefined || access.tokens.every(({ data, cluster }) => data !== "none" || cluster !== "none"),
  },
  {
    at: ["spec", "access"],
    cel: "self.tokens.all(token, token.data != 'none' || !has(token.prefixes))",
    message: "prefixes limit what a token may do with keys, and one has no right on keys: give it data, or no prefixes",
    holds: ({ spec: { access } }) =>
      access === undefined || access.tokens.every(({ data, prefixes }) => data !== "none" || prefixes === undefined),
  },
  {
    at: ["spec", "config"],
    cel: `self.all(key, key.matches('${SETTING.source}'))`,
    message:
      "config holds settings of the nodes by their full names, ANNULUS_... or OTEL_...: see docs/configuration.md",
    holds: ({ spec }) => Object.keys(spec.config).every((key) => SETTING.test(key)),
  },
  {
    at: ["spec", "config"],
    cel: `!self.exists(key, key in [${OWNED_SETTINGS.map((name) => `'${name}'`).join(", ")}])`,
    message: "config holds a setting that the operator gives the nodes itself: use the field of the spec for it",
    holds: ({ spec }) => !Object.keys(spec.config).some((key) => OWNED_SETTINGS.includes(key)),
  },
];

function bytes(spec: Spec): number {
  return readQuantity(spec.storage.size) ?? 0;
}

/** The messages of the rules that a new object, or a change of one, breaks. */
export function brokenRules(subject: Subject<Spec>, old?: Subject<Spec>): readonly string[] {
  return broken(RULES, subject, old);
}
