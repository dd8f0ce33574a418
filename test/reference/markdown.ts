/**
 * An OpenAPI document as a page for people: `docs/reference.md` is this, of both ports. It knows as much of OpenAPI as
 * the two documents use; a test holds the page against them.
 */
import type { Json, JsonObject } from "../../node/adapters/http/openapi-parts.ts";

const METHODS = ["get", "head", "put", "post", "delete"];

/** One document as Markdown. */
export function openapiMarkdown(document: JsonObject): string {
  const info = objectOf(document.info);
  const lines = [`## ${text(info.title)}`, "", text(info.description), ""];
  for (const [template, item] of Object.entries(objectOf(document.paths))) {
    const path = objectOf(item);
    for (const method of METHODS) {
      if (path[method] === undefined) continue;
      lines.push(
        ...operationLines(
          document,
          `${method.toUpperCase()} ${template}`,
          objectOf(path[method]),
          listOf(path.parameters),
        ),
      );
    }
  }
  const { schemas, headers } = objectOf(document.components);
  if (headers !== undefined)
    lines.push(`### Headers of answers: ${text(info.title)}`, "", ...headerLines(objectOf(headers)));
  for (const [name, schema] of Object.entries(objectOf(schemas))) {
    lines.push(`### ${name}: ${text(info.title)}`, "", ...schemaLines(objectOf(schema)));
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function operationLines(
  document: JsonObject,
  title: string,
  operation: JsonObject,
  inherited: readonly Json[],
): string[] {
  const lines = [`### \`${title}\``, "", `${text(operation.summary)}.`, ""];
  const [rule] = listOf(operation.security).map((each) => listOf(objectOf(each).token).join(", "));
  if (rule !== undefined) lines.push(`Where tokens are asked for, it takes one with the right \`${rule}\`.`, "");
  const parameters = [...inherited, ...listOf(operation.parameters)].map((parameter) => follow(document, parameter));
  if (parameters.length > 0) {
    const rows = parameters.map(({ name, in: place, description, schema }) =>
      row([`\`${text(name)}\``, text(place), typeOf(schema), text(description)]),
    );
    lines.push(row(["parameter", "in", "type", "meaning"]), row(["---", "---", "---", "---"]), ...rows, "");
  }
  const body = objectOf(operation.requestBody);
  if (operation.requestBody !== undefined)
    lines.push(`Body: ${[contentOf(body), text(body.description)].filter(Boolean).join(". ")}`, "");
  const answers = Object.entries(objectOf(operation.responses)).map(([status, found]) => {
    const answer = follow(document, found);
    const headers = Object.keys(objectOf(answer.headers)).map((name) => `\`${name}\``);
    return row([status, text(answer.description), contentOf(answer), headers.join(", ")]);
  });
  return [...lines, row(["answer", "meaning", "body", "headers"]), row(["---", "---", "---", "---"]), ...answers, ""];
}

function headerLines(headers: JsonObject): string[] {
  const rows = Object.entries(headers).map(([name, header]) => {
    const { description, schema } = objectOf(header);
    return row([`\`${name}\``, typeOf(schema), text(description)]);
  });
  return [row(["header", "type", "meaning"]), row(["---", "---", "---"]), ...rows, ""];
}

function schemaLines(schema: JsonObject): string[] {
  const lines = schema.description === undefined ? [] : [text(schema.description), ""];
  const properties = Object.entries(objectOf(schema.properties));
  if (properties.length === 0) return [...lines, `Type: ${typeOf(schema)}.`, ""];
  const required = listOf(schema.required);
  const rows = properties.map(([name, property]) =>
    row([`\`${name}\``, typeOf(property), required.includes(name) ? "yes" : "", text(objectOf(property).description)]),
  );
  return [...lines, row(["field", "type", "always there", "meaning"]), row(["---", "---", "---", "---"]), ...rows, ""];
}

/** The type of a schema in a few words. */
function typeOf(found: Json | undefined): string {
  const schema = objectOf(found);
  if (schema.$ref !== undefined) return nameOf(schema.$ref);
  const choices = [...listOf(schema.anyOf), ...listOf(schema.oneOf), ...listOf(schema.allOf)];
  if (choices.length > 0) return choices.map(typeOf).join(" or ");
  if (schema.enum !== undefined)
    return listOf(schema.enum)
      .map((one) => `\`${text(one)}\``)
      .join(", ");
  if (schema.const !== undefined) return `\`${text(schema.const)}\``;
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const fields = Object.keys(objectOf(schema.properties));
  if (fields.length > 0) return `object with ${fields.map((name) => `\`${name}\``).join(", ")}`;
  const type = schema.type === undefined ? "anything" : [schema.type].flat().map(text).join(" or ");
  const bounds = (["minimum", "maximum", "minLength", "maxLength"] as const).flatMap((name) =>
    schema[name] === undefined ? [] : [`${name} ${text(schema[name])}`],
  );
  return bounds.length > 0 ? `${type}, ${bounds.join(", ")}` : type;
}

function contentOf(answer: JsonObject): string {
  return Object.entries(objectOf(answer.content))
    .map(([type, media]) => {
      const { schema } = objectOf(media);
      const name = Object.keys(objectOf(schema)).length === 0 ? "" : ` ${typeOf(schema)}`;
      return `\`${type}\`${name}`;
    })
    .join(", ");
}

/** What a reference leads to, or the thing itself. */
function follow(document: JsonObject, found: Json): JsonObject {
  const { $ref } = objectOf(found);
  if ($ref === undefined) return objectOf(found);
  const [, , kind = "", name = ""] = text($ref).split("/");
  return objectOf(objectOf(objectOf(document.components)[kind])[name]);
}

function nameOf($ref: Json): string {
  return text($ref).split("/").at(-1) ?? "";
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
}

function text(found: Json | undefined): string {
  return found === undefined ? "" : String(found);
}

function objectOf(found: Json | undefined): JsonObject {
  return typeof found === "object" && found !== null && !Array.isArray(found) ? (found as JsonObject) : {};
}

function listOf(found: Json | undefined): readonly Json[] {
  return Array.isArray(found) ? found : [];
}
