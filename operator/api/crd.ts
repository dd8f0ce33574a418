/**
 * The CustomResourceDefinition, made from the schema in `kvcluster.ts` and the rules in `rules.ts`.
 *
 * The API server wants a *structural* schema (KEP-1979): plain types, no references, nothing that only a validator of
 * JSON Schema knows. What zod writes beyond that is taken out here. `crds/` holds the result; a test keeps it fresh.
 */
import { z } from "zod";
import { GROUP, KIND, Spec, Status, VERSION } from "./kvcluster.ts";
import { RULES } from "./rules.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Schema = Record<string, Json>;

const PLURAL = "kvclusters";
const COLUMNS: readonly Json[] = [
  { name: "Replicas", type: "integer", jsonPath: ".spec.replicas", description: "Members asked for." },
  { name: "Ready", type: "integer", jsonPath: ".status.readyReplicas", description: "Pods that serve." },
  { name: "Epoch", type: "integer", jsonPath: ".status.ringEpoch", description: "The ring's epoch." },
  { name: "Status", type: "string", jsonPath: ".status.summary", description: "The state in a few words." },
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
function withRules(root: Schema): Schema {
  for (const rule of RULES) {
    let place = root;
    for (const name of rule.at) place = (place.properties as Record<string, Schema>)[name] as Schema;
    const rules = (place["x-kubernetes-validations"] ?? []) as Json[];
    place["x-kubernetes-validations"] = [...rules, { rule: rule.cel, message: rule.message }];
  }
  return root;
}

/** The whole definition. */
export function customResourceDefinition(): Json {
  const spec = { default: {}, ...structural(Spec) };
  fillDefault(spec);
  const schema = withRules({
    type: "object",
    description: "A key-value store: its members, where they live, and how many copies of each key there are.",
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec,
      status: structural(Status),
    },
  });
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${PLURAL}.${GROUP}`, annotations: { "helm.sh/resource-policy": "keep" } },
    spec: {
      group: GROUP,
      names: {
        kind: KIND,
        listKind: `${KIND}List`,
        plural: PLURAL,
        singular: "kvcluster",
        shortNames: ["kvc"],
        categories: ["all", "annulus"],
      },
      scope: "Namespaced",
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          additionalPrinterColumns: COLUMNS,
          schema: { openAPIV3Schema: schema },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: ".spec.replicas",
              statusReplicasPath: ".status.replicas",
              labelSelectorPath: ".status.selector",
            },
          },
        },
      ],
    },
  };
}
