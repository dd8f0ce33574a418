/** Holds answers against an OpenAPI document: what was sent must be described, and what is described must be sent. */
import assert from "node:assert/strict";
import type { Answer } from "./http-client.ts";

type Node = { readonly [name: string]: Node };

export type Conformance = {
  /** Asserts that the document describes this answer of `method` at the path `template`. */
  check(method: string, template: string, answer: Answer): void;
  /** Every `METHOD template status` that was checked. */
  readonly seen: ReadonlySet<string>;
  /** Every `METHOD template status` in the document. */
  readonly described: ReadonlySet<string>;
};

/** @param document A parsed OpenAPI document; only local references. */
export function createConformance(document: unknown): Conformance {
  const root = document as Node;
  const resolve = (node: Node | undefined): Node | undefined => {
    const reference: unknown = node?.$ref;
    if (typeof reference !== "string") return node;
    return reference
      .slice(2)
      .split("/")
      .reduce<Node | undefined>((at, name) => at?.[name], root);
  };
  const seen = new Set<string>();
  const described = new Set<string>();
  for (const [template, item] of Object.entries(root.paths ?? {})) {
    for (const [method, operation] of Object.entries(item)) {
      for (const status of Object.keys(operation.responses ?? {})) {
        described.add(`${method.toUpperCase()} ${template} ${status}`);
      }
    }
  }
  return {
    seen,
    described,
    check(method, template, answer) {
      const name = `${method} ${template} ${answer.status}`;
      const response = resolve(root.paths?.[template]?.[method.toLowerCase()]?.responses?.[String(answer.status)]);
      assert(response !== undefined, `${name} is not in the document`);
      seen.add(name);
      for (const header of Object.keys(answer.headers)) {
        if (!header.startsWith("kv-") && header !== "retry-after") continue;
        const names = Object.keys(response.headers ?? {}).map((known) => known.toLowerCase());
        assert(names.includes(header), `${name}: ${header} is not in the document, only ${names.join(", ")}`);
      }
      if (method === "HEAD" || answer.body.length === 0) return;
      const type = answer.headers["content-type"]?.split(";")[0] ?? "";
      const media = response.content?.[type] ?? response.content?.["*/*"];
      assert(media !== undefined, `${name}: ${type} is not in the document`);
      if (!type.endsWith("json") || response.content?.[type] === undefined) return;
      checkValue(JSON.parse(answer.body.toString()), media.schema, name);
    },
  };

  /** The part of JSON Schema that the documents use. */
  function checkValue(value: unknown, schema: Node | undefined, where: string): void {
    const node = resolve(schema) as Record<string, unknown> | undefined;
    assert(node !== undefined, `${where} has no schema`);
    const { type } = node;
    if (Array.isArray(node.anyOf)) {
      const refusals = (node.anyOf as Node[]).flatMap((one) => refusalOf(value, one, where) ?? []);
      const isOneOfThem = refusals.length < node.anyOf.length;
      assert(isOneOfThem, `${where} is none of what the document says: ${refusals.join("; ")}`);
    }
    if (type === "integer") assert(Number.isInteger(value), `${where} is no integer`);
    else if (type === "number") assert.equal(typeof value, "number", where);
    else if (type === "null") assert.equal(value, null, where);
    else if (type === "array") {
      assert(Array.isArray(value), `${where} is no array`);
      for (const [index, item] of value.entries()) checkValue(item, node.items as Node, `${where}[${index}]`);
    } else if (type === "object") {
      assert(typeof value === "object" && value !== null, `${where} is no object`);
      const { required = [], properties = {} } = node as { required?: string[]; properties?: Record<string, Node> };
      for (const name of required) assert(Object.hasOwn(value, name), `${where} lacks ${name}`);
      for (const [name, item] of Object.entries(value)) {
        if (Object.keys(properties).length === 0) continue;
        assert(Object.hasOwn(properties, name), `${where}: ${name} is not in the document`);
        checkValue(item, properties[name], `${where}.${name}`);
      }
    } else if (type !== undefined) assert.equal(typeof value, type, where);
    if (Array.isArray(node.enum))
      assert(node.enum.includes(value), `${where}: ${String(value)} is not in the document`);
    if (typeof node.pattern === "string") assert.match(String(value), new RegExp(node.pattern), where);
  }
  /** Why a value is not as a schema says; undefined when it is. */
  function refusalOf(value: unknown, schema: Node, where: string): string | undefined {
    try {
      checkValue(value, schema, where);
      return undefined;
    } catch (error) {
      if (!(error instanceof assert.AssertionError)) throw error;
      return error.message;
    }
  }
}
