/**
 * Both OpenAPI documents are valid 3.1 as far as they go, and say what the tables in code say.
 *
 * The check knows the fields that OpenAPI 3.1 and JSON Schema 2020-12 allow in each place and refuses all others, so
 * that a misspelt field is found; that answers are as described is shown where they are given (kv-contract, admin).
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { adminDocument } from "../../../node/adapters/http/openapi-admin.ts";
import { dataDocument } from "../../../node/adapters/http/openapi-data.ts";
import { KV_METHODS, KV_PARAMETERS } from "../../../node/adapters/http/parse-request.ts";
import { PROBLEMS } from "../../../node/adapters/http/problem.ts";
import { call } from "../../contract/http-client.ts";
import { inFront, startWorld, WORLD_OPTIONS } from "../../contract/http-world.ts";

type Node = Record<string, unknown>;

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/** Fields by place: those that must be there, and those that may. */
const FIELDS: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
  document: [
    ["openapi", "info", "paths"],
    ["components", "servers", "tags", "security"],
  ],
  info: [
    ["title", "version"],
    ["description", "license", "summary"],
  ],
  license: [["name"], ["identifier", "url"]],
  path: [[], ["summary", "description", "parameters", ...METHODS]],
  operation: [
    ["operationId", "responses"],
    ["summary", "description", "parameters", "requestBody", "tags", "security"],
  ],
  parameter: [
    ["name", "in", "schema"],
    ["description", "required", "deprecated", "example"],
  ],
  requestBody: [["content"], ["description", "required"]],
  response: [["description"], ["headers", "content"]],
  header: [["schema"], ["description", "required"]],
  media: [["schema"], ["example", "examples"]],
  components: [[], ["schemas", "parameters", "headers", "responses", "securitySchemes"]],
  securityScheme: [["type", "scheme", "description"], []],
};
const SCHEMA_FIELDS = new Set(
  (
    "type enum const default description examples format pattern minimum maximum minLength maxLength maxItems items properties " +
    "required allOf anyOf oneOf contentEncoding additionalProperties"
  ).split(" "),
);
const SCHEMA_TYPES = ["null", "boolean", "object", "array", "number", "string", "integer"];

/** Walks a document and asserts its structure; returns the references that it met. */
function checkDocument(document: Node): ReadonlySet<string> {
  const references = new Set<string>();
  const operationIds = new Set<string>();

  /** Follows a reference, which must lead somewhere. */
  function follow(value: unknown, where: string): Node {
    assert(typeof value === "object" && value !== null && !Array.isArray(value), `${where} is no object`);
    const { $ref } = value as Node;
    if ($ref === undefined) return value as Node;
    assert.match(String($ref), /^#\/components\//, where);
    references.add(String($ref));
    const found = String($ref)
      .slice(2)
      .split("/")
      .reduce<unknown>((at, name) => (at as Node | undefined)?.[name], document);
    assert(found !== undefined, `${where}: ${String($ref)} leads nowhere`);
    return found as Node;
  }
  function checkFields(place: string, value: unknown, where: string): Node {
    const node = follow(value, where);
    const [required = [], allowed = []] = FIELDS[place] ?? [];
    for (const name of required) assert(Object.hasOwn(node, name), `${where} lacks ${name}`);
    for (const name of Object.keys(node)) {
      assert([...required, ...allowed].includes(name), `${where}: ${name} is no field of ${place}`);
      if (name === "description") assert(String(node[name]).length > 0, `${where}: the description is empty`);
    }
    return node;
  }
  function each(value: unknown, visit: (item: unknown, name: string) => void): void {
    for (const [name, item] of Object.entries((value ?? {}) as Node)) visit(item, name);
  }
  function checkSchema(value: unknown, where: string): void {
    if ((value as Node).$ref !== undefined) return void follow(value, where);
    const node = follow(value, where);
    for (const name of Object.keys(node)) assert(SCHEMA_FIELDS.has(name), `${where}: ${name} is no known keyword`);
    if (node.type !== undefined) assert(SCHEMA_TYPES.includes(String(node.type)), `${where}: ${String(node.type)}`);
    if (node.pattern !== undefined) new RegExp(String(node.pattern));
    for (const name of (node.required ?? []) as string[]) {
      assert(Object.hasOwn((node.properties ?? {}) as Node, name), `${where}: required ${name} is no property`);
    }
    each(node.properties, (item, name) => checkSchema(item, `${where}.${name}`));
    if (node.items !== undefined) checkSchema(node.items, `${where}.items`);
    for (const name of ["allOf", "anyOf", "oneOf"]) {
      for (const item of (node[name] ?? []) as unknown[]) checkSchema(item, `${where}.${name}`);
    }
  }
  function checkContent(content: unknown, where: string): void {
    each(content, (media, type) => {
      assert.match(type, /^[\w*]+\/[\w*+.-]+$/, where);
      checkSchema(checkFields("media", media, where).schema, `${where} ${type}`);
    });
  }
  function checkHeader(value: unknown, where: string): void {
    checkSchema(checkFields("header", value, where).schema, where);
  }
  function checkParameters(list: unknown, where: string): string[] {
    return ((list ?? []) as unknown[]).map((item) => {
      const parameter = checkFields("parameter", item, where);
      assert(["path", "query", "header"].includes(String(parameter.in)), where);
      if (parameter.in === "path") assert.equal(parameter.required, true, where);
      checkSchema(parameter.schema, `${where} ${String(parameter.name)}`);
      return `${String(parameter.in)} ${String(parameter.name).toLowerCase()}`;
    });
  }
  function checkOperation(value: unknown, inherited: readonly string[], template: string, where: string): void {
    const operation = checkFields("operation", value, where);
    const id = String(operation.operationId);
    assert(!operationIds.has(id), `${where}: ${id} is taken`);
    operationIds.add(id);
    const parameters = [...inherited, ...checkParameters(operation.parameters, where)];
    assert.equal(new Set(parameters).size, parameters.length, `${where}: a parameter twice`);
    const inTemplate = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => `path ${name}`);
    assert.deepEqual(
      parameters.filter((name) => name.startsWith("path ")),
      inTemplate,
      where,
    );
    for (const scheme of ((operation.security ?? []) as Node[]).flatMap((requirement) => Object.keys(requirement))) {
      follow({ $ref: `#/components/securitySchemes/${scheme}` }, where);
    }
    if (operation.requestBody !== undefined) {
      checkContent(checkFields("requestBody", operation.requestBody, where).content, where);
    }
    assert(Object.keys(operation.responses as Node).length > 0, where);
    each(operation.responses, (item, status) => {
      assert.match(status, /^[1-5]\d\d$/, where);
      const response = checkFields("response", item, `${where} ${status}`);
      each(response.headers, (header, name) => checkHeader(header, `${where} ${status} ${name}`));
      checkContent(response.content, `${where} ${status}`);
    });
  }

  checkFields("document", document, "document");
  assert.match(String(document.openapi), /^3\.1\.\d$/);
  const info = checkFields("info", document.info, "info");
  checkFields("license", info.license, "license");
  each(document.paths, (item, template) => {
    assert.match(template, /^\//);
    const path = checkFields("path", item, template);
    const inherited = checkParameters(path.parameters, template);
    for (const method of METHODS.filter((name) => path[name] !== undefined)) {
      checkOperation(path[method], inherited, template, `${method} ${template}`);
    }
  });
  const components = checkFields("components", document.components, "components");
  each(components.schemas, (schema, name) => checkSchema(schema, name));
  each(components.headers, (header, name) => checkHeader(header, name));
  each(components.securitySchemes, (scheme, name) => checkFields("securityScheme", scheme, name));
  checkParameters(Object.values((components.parameters ?? {}) as Node), "components.parameters");
  return references;
}

const DOCUMENTS: readonly [string, Node][] = [
  ["data", dataDocument(WORLD_OPTIONS) as Node],
  ["admin", adminDocument(WORLD_OPTIONS) as Node],
];

describe.each(DOCUMENTS)("the OpenAPI document of the %s port", (_name, document) => {
  it("is a valid document, whose every component is used", () => {
    const references = checkDocument(document);
    const components = Object.entries(document.components as Node).flatMap(([kind, items]) =>
      Object.keys(items as Node).map((name) => `#/components/${kind}/${name}`),
    );
    assert.deepEqual([...references].sort(), components.sort());
  });

  it("would be refused with a misspelt field, a reference to nowhere, or a path parameter that is missing", () => {
    const breakAt = (change: (copy: { paths: Record<string, Record<string, Node>> }) => void) => {
      const copy = structuredClone(document) as { paths: Record<string, Record<string, Node>> };
      change(copy);
      assert.throws(() => checkDocument(copy), assert.AssertionError);
    };
    breakAt((copy) => Object.assign(copy.paths["/openapi.json"] ?? {}, { gett: {} }));
    breakAt((copy) => Object.assign(copy.paths["/openapi.json"]?.get ?? {}, { sumary: "x" }));
    breakAt((copy) =>
      Object.assign(copy.paths["/openapi.json"]?.get ?? {}, { responses: { "200": { $ref: "#/components/x/y" } } }),
    );
    breakAt((copy) => Object.assign(copy.paths, { "/{other}": copy.paths["/openapi.json"] }));
  });
});

describe("the OpenAPI document of the data port", () => {
  const document = dataDocument(WORLD_OPTIONS) as {
    paths: Record<string, Record<string, { parameters: { in: string; name: string }[] }>>;
    components: { schemas: { Problem: { properties: { type: { enum: string[] } } } } };
  };
  const path = document.paths["/v1/kv/{key}"] ?? {};

  it("has the methods and, for each, the query parameters that the handler takes", () => {
    const methods = Object.keys(path).filter((name) => METHODS.includes(name));
    assert.deepEqual(methods.map((name) => name.toUpperCase()).sort(), [...KV_METHODS].sort());
    for (const method of KV_METHODS) {
      const described = path[method.toLowerCase()]?.parameters.filter((parameter) => parameter.in === "query") ?? [];
      const taken = Object.entries(KV_PARAMETERS).filter(([, methods]) => methods.includes(method));
      assert.deepEqual(described.map(({ name }) => name).sort(), taken.map(([name]) => name).sort());
    }
  });

  it("names every problem that there is", () => {
    const types = document.components.schemas.Problem.properties.type.enum;
    for (const code of Object.keys(PROBLEMS)) assert.ok(types.includes(`annulus:${code}`), code);
  });

  it("is served at /openapi.json", async () => {
    const world = await startWorld(inFront);
    const answer = await call(world.port, "GET", "/openapi.json");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["content-type"], "application/json");
    assert.deepEqual(JSON.parse(answer.body.toString()), JSON.parse(JSON.stringify(document)));
    await world.stop();
  });
});
