/**
 * Which key and which value a record stands for.
 *
 * Without options a record is what `annulus export` writes: `key` and `value` are text, or `{"base64": "..."}` for
 * bytes that are no text, `contentType` may say what the value is and `expiresAt` until when it holds, and a key with
 * several concurrent values has them in `siblings`. With a field or a template for the key, the
 * value is a field too, or the record as a whole.
 */

import { bytesOfBase64 } from "../base64.ts";
import { isHeaderText } from "../header-text.ts";

export type Mapping = {
  readonly keyField?: string | undefined;
  /** Text with `{field}` in it. */
  readonly keyTemplate?: string | undefined;
  readonly valueField?: string | undefined;
  /** Given to every value instead of what the record says. */
  readonly contentType?: string | undefined;
};

export type Content = {
  readonly value: Uint8Array;
  readonly contentType: string;
  /** Wall-clock instant in ms at which the value expires. */
  readonly expiresAtMs?: number;
};

export type Pair = {
  readonly key: Uint8Array;
  /** At least one; several are to become siblings of each other. */
  readonly contents: readonly [Content, ...Content[]];
};

/** Why a record stands for no pair. */
export class RecordError extends Error {}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The pair of one record.
 *
 * @param line The record as one line of JSON.
 * @throws {RecordError} With what was expected.
 */
export function pairOf(line: string, mapping: Mapping): Pair {
  const fields = fieldsOf(line);
  const key = keyOf(fields, mapping);
  if (key.length === 0) throw new RecordError("expected a key of at least one byte, found an empty one");
  return { key, contents: contentsOf(line, fields, mapping) };
}

function contentsOf(line: string, fields: Fields, mapping: Mapping): Pair["contents"] {
  const { contentType, keyField, keyTemplate, valueField } = mapping;
  if (valueField === undefined && (keyField ?? keyTemplate) !== undefined) {
    return [{ value: Buffer.from(line), contentType: contentType ?? JSON_TYPE }];
  }
  const states = (valueField === undefined && siblingsOf(fields)) || [fields];
  const [first, ...others] = states.map((state) => {
    const content = contentOf(state, valueField ?? "value");
    if (contentType !== undefined) return { ...content, contentType };
    if (isHeaderText(content.contentType)) return content;
    throw new RecordError('expected 1 to 255 characters of printable ASCII in the field "contentType"');
  });
  if (first === undefined) throw new RecordError('expected at least one value in "siblings", found none');
  return [first, ...others];
}

/** The states of a key with several concurrent values, as `export` writes them. */
function siblingsOf({ siblings }: Fields): readonly Fields[] | undefined {
  return Array.isArray(siblings) ? siblings.map(asFields) : undefined;
}

const TEXT_TYPE = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json";
const BYTES_TYPE = "application/octet-stream";

function fieldsOf(line: string): Fields {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch (error) {
    throw new RecordError(`expected one JSON object a line: ${(error as Error).message}`);
  }
  return asFields(record);
}

function asFields(record: unknown): Fields {
  if (typeof record === "object" && record !== null && !Array.isArray(record)) return record as Fields;
  throw new RecordError("expected a JSON object, found another kind of value");
}

function keyOf(fields: Fields, mapping: Mapping): Uint8Array {
  if (mapping.keyTemplate !== undefined) return Buffer.from(fillIn(mapping.keyTemplate, fields));
  const name = mapping.keyField ?? "key";
  const field = fieldOf(fields, name);
  const bytes = base64Of(field);
  if (bytes !== undefined) return bytes;
  if (typeof field === "string" || typeof field === "number") return Buffer.from(textOf(field, name));
  throw new RecordError(`expected text or {"base64"} in the field "${name}"`);
}

function fillIn(template: string, fields: Fields): string {
  return template.replace(/\{([^{}]+)\}/g, (_, name: string) => {
    const field = fieldOf(fields, name);
    if (typeof field === "object" && field !== null) throw new RecordError(`expected text in the field "${name}"`);
    return textOf(field, name);
  });
}

/** A field as a part of a key. Numbers that are too large for what reads them become others, and two keys one. */
function textOf(field: unknown, name: string): string {
  if (typeof field === "number" && !(Math.abs(field) <= Number.MAX_SAFE_INTEGER)) {
    throw new RecordError(`expected a number up to 2^53 - 1, or text in the field "${name}": this number is too large`);
  }
  return wellFormed(String(field), name);
}

/** Text that has bytes in UTF-8: half of a surrogate pair would become the same bytes as any other. */
function wellFormed(text: string, name: string): string {
  if (text.isWellFormed()) return text;
  throw new RecordError(`expected whole characters, or {"base64"}, in the field "${name}", found a lone surrogate`);
}

function contentOf(fields: Fields, valueField: string): Content {
  const field = fieldOf(fields, valueField);
  const bytes = base64Of(field);
  const isText = bytes === undefined && typeof field === "string";
  const value = bytes ?? Buffer.from(isText ? wellFormed(field, valueField) : JSON.stringify(field));
  const implied = bytes !== undefined ? BYTES_TYPE : isText ? TEXT_TYPE : JSON_TYPE;
  const contentType = typeof fields.contentType === "string" ? fields.contentType : implied;
  const { expiresAt } = fields;
  const expiresAtMs = typeof expiresAt === "string" ? Date.parse(expiresAt) : Number.NaN;
  if (!Number.isNaN(expiresAtMs)) return { value, contentType, expiresAtMs };
  // Of a record that was made for something else a field of this name may be anything.
  if (expiresAt === undefined || expiresAt === null || valueField !== "value") return { value, contentType };
  const found = JSON.stringify(expiresAt).slice(0, 40);
  throw new RecordError(`expected RFC 3339 in the field "expiresAt", found ${found}`);
}

function fieldOf(fields: Fields, name: string): unknown {
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (field === undefined || field === null) throw new RecordError(`expected a field "${name}", found none`);
  return field;
}

/** The bytes of `{"base64": "..."}`; undefined for anything else. */
function base64Of(field: unknown): Uint8Array | undefined {
  if (typeof field !== "object" || field === null || Object.keys(field).join() !== "base64") return undefined;
  const { base64 } = field as { base64: unknown };
  const bytes = typeof base64 === "string" ? bytesOfBase64(base64) : undefined;
  if (bytes === undefined) throw new RecordError("expected base64 text");
  return bytes;
}
