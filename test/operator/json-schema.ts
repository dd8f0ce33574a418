/**
 * Checks a value against a JSON schema that uses few keywords: those below, and no others. zod's `fromJSONSchema` lets
 * fields of no name pass where a schema has both a type and alternatives, as Skaffold's has.
 */
import assert from "node:assert/strict";

export type JsonSchema = {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly $ref?: string;
  readonly definitions?: Readonly<Record<string, JsonSchema>>;
};

const KEYWORDS = new Set([
  ...["type", "enum", "required", "properties", "additionalProperties", "items", "anyOf", "$ref", "definitions"],
  ...["$schema", "$comment"],
]);

/** All that is wrong with a value, with where it is; of alternatives, the complaints of the one that fits best. */
export function problemsOf(root: JsonSchema, value: unknown): string[] {
  return problems(value, "", { root, schema: root });
}

type Place = { readonly root: JsonSchema; readonly schema: JsonSchema };

function problems(value: unknown, path: string, { root, schema }: Place): string[] {
  for (const keyword of Object.keys(schema)) assert.ok(KEYWORDS.has(keyword), `the schema says ${keyword}`);
  const within = (other: JsonSchema): Place => ({ root, schema: other });
  if (schema.$ref !== undefined) {
    const named = root.definitions?.[schema.$ref.replace("#/definitions/", "")];
    assert.ok(named, `the schema has no ${schema.$ref}`);
    return problems(value, path, within(named));
  }
  const found: string[] = [];
  if (schema.type !== undefined && !isOfType(value, schema.type)) return [`${path}: not of type ${schema.type}`];
  if (schema.enum !== undefined && !schema.enum.includes(value)) found.push(`${path}: none of ${schema.enum}`);
  if (schema.anyOf !== undefined) {
    const tried = schema.anyOf.map((one) => problems(value, path, within(one)));
    found.push(...(tried.sort((a, b) => a.length - b.length)[0] ?? []));
  }
  if (Array.isArray(value) && schema.items !== undefined)
    for (const [index, item] of value.entries())
      found.push(...problems(item, `${path}/${index}`, within(schema.items)));
  if (isOfType(value, "object")) found.push(...problemsOfFields(value as Fields, path, { root, schema }));
  return found;
}

type Fields = Readonly<Record<string, unknown>>;

function problemsOfFields(value: Fields, path: string, { root, schema }: Place): string[] {
  const { properties = {}, additionalProperties = true, required = [] } = schema;
  const found = required.filter((name) => !(name in value)).map((name) => `${path}: ${name} is missing`);
  for (const [name, field] of Object.entries(value)) {
    const one = properties[name] ?? additionalProperties;
    if (one === false) found.push(`${path}: there is no ${name}`);
    else if (one !== true) found.push(...problems(field, `${path}/${name}`, { root, schema: one }));
  }
  return found;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  if (type === "array") return Array.isArray(value);
  if (type === "null") return value === null;
  if (type === "integer") return Number.isInteger(value);
  assert.ok(["string", "number", "boolean"].includes(type), `the schema says type ${type}`);
  return typeof value === type;
}
