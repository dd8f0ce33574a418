/**
 * The CustomResourceDefinitions, made from the schemas in `kvcluster.ts` and `kvbackup.ts` and the rules beside them.
 *
 * The API server wants a *structural* schema (KEP-1979): plain types, no references, nothing that only a validator of
 * JSON Schema knows. What zod writes beyond that is taken out here. `crds/` holds the result; a test keeps it fresh.
 */
import { z } from "zod";
import { BACKUP_RULES } from "./backup-rules.ts";
import { BACKUP_KIND, BackupSpec, BackupStatus } from "./kvbackup.ts";
import { GROUP, KIND, Spec, Status, VERSION } from "./kvcluster.ts";
import type { Rule } from "./rule.ts";
import { RULES } from "./rules.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Schema = Record<string, Json>;

const CLUSTER_COLUMNS: readonly Json[] = [
  { name: "Replicas", type: "integer", jsonPath: ".spec.replicas", description: "Members asked for." },
  { name: "Ready", type: "integer", jsonPath: ".status.readyReplicas", description: "Pods that serve." },
  { name: "Epoch", type: "integer", jsonPath: ".status.ringEpoch", description: "The ring's epoch." },
  { name: "Status", type: "string", jsonPath: ".status.summary", description: "The state in a few words." },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

const BACKUP_COLUMNS: readonly Json[] = [
  { name: "Cluster", type: "string", jsonPath: ".spec.cluster", description: "The KVCluster." },
  { name: "Schedule", type: "string", jsonPath: ".spec.schedule", description: "When; none: once." },
  { name: "Status", type: "string", jsonPath: ".status.summary", description: "The state in a few words." },
  {
    ...{ name: "Last backup", type: "date", jsonPath: ".status.lastSuccessfulTime" },
    description: "How long ago the last whole backup was taken.",
  },
  { name: "Keys", type: "integer", jsonPath: ".status.lastBackup.keys", priority: 1, description: "Keys in it." },
  { name: "Bytes", type: "integer", jsonPath: ".status.lastBackup.bytes", priority: 1, description: "Its bytes." },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

/** The schema of one part without what is not structural. */
function structural(type: z.ZodType): Schema {
  const schema = z.toJSONSchema(type, { io: "input" }) as unknown as Schema;
  delete schema.$schema;
  clean(schema);
  return schema;
}

function clean(schema: Schema): void {
  const properties = Object.values((schema.properties ?? {}) as Record<string, Schema>);
  for (const child of [...properties, schema.items, schema.additionalProperties])
    if (typeof child === "object" && child !== null) clean(child as Schema);
  delete schema.propertyNames;
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.type === "integer") schema.format = "int64";
  if (schema["x-kubernetes-int-or-string"] === true) {
    delete schema.type;
    delete schema.anyOf;
  }
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) {
    delete schema.properties;
    delete schema.additionalProperties;
  }
}

/**
 * Writes an object's default out, with those of its fields: the API server holds rules against a default as it stands,
 * before it fills anything in.
 */
function fillDefault(schema: Schema): void {
  const filled = Object.entries((schema.properties ?? {}) as Record<string, Schema>).flatMap(([name, child]) => {
    fillDefault(child);
    return child.default === undefined ? [] : [[name, child.default] as const];
  });
  if (schema.type === "object" && schema.properties !== undefined && schema.default !== undefined)
    schema.default = Object.fromEntries(filled);
}

/** Puts each rule where it belongs. */
function withRules(root: Schema, rules: readonly Pick<Rule<never>, "at" | "cel" | "message">[]): Schema {
  for (const rule of rules) {
    let place = root;
    for (const name of rule.at) place = (place.properties as Record<string, Schema>)[name] as Schema;
    const there = (place["x-kubernetes-validations"] ?? []) as Json[];
    place["x-kubernetes-validations"] = [...there, { rule: rule.cel, message: rule.message }];
  }
  return root;
}

type Kind = {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly description: string;
  readonly spec: Schema;
  readonly status: z.ZodType;
  readonly rules: readonly Pick<Rule<never>, "at" | "cel" | "message">[];
  readonly columns: readonly Json[];
  readonly subresources: Schema;
};

/** The whole definition of a kind. Where its spec has no default there must be one. */
function definitionOf({
  kind,
  plural,
  shortName,
  description,
  spec,
  status,
  rules,
  columns,
  subresources,
}: Kind): Json {
  fillDefault(spec);
  const schema = withRules(
    {
      type: "object",
      description,
      ...(spec.default === undefined ? { required: ["spec"] } : {}),
      properties: {
        apiVersion: { type: "string" },
        kind: { type: "string" },
        metadata: { type: "object" },
        spec,
        status: structural(status),
      },
    },
    rules,
  );
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${GROUP}`, annotations: { "helm.sh/resource-policy": "keep" } },
    spec: {
      group: GROUP,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames: [shortName],
        categories: ["all", "annulus"],
      },
      scope: "Namespaced",
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          schema: { openAPIV3Schema: schema },
          subresources,
        },
      ],
    },
  };
}

/** The definition of KVCluster. */
export function clusterDefinition(): Json {
  return definitionOf({
    ...{ kind: KIND, plural: "kvclusters", shortName: "kvc" },
    description: "A key-value store: its members, where they live, and how many copies of each key there are.",
    ...{ spec: { default: {}, ...structural(Spec) }, status: Status, rules: RULES, columns: CLUSTER_COLUMNS },
    subresources: {
      status: {},
      scale: {
        specReplicasPath: ".spec.replicas",
        statusReplicasPath: ".status.replicas",
        labelSelectorPath: ".status.selector",
      },
    },
  });
}

/** The definition of KVBackup. */
export function backupDefinition(): Json {
  return definitionOf({
    ...{ kind: BACKUP_KIND, plural: "kvbackups", shortName: "kvb" },
    description: "Backups of a KVCluster, once or by a schedule. Deleted, it leaves the backups where they are.",
    ...{ spec: structural(BackupSpec), status: BackupStatus, rules: BACKUP_RULES, columns: BACKUP_COLUMNS },
    subresources: { status: {} },
  });
}
