/**
 * Query strings: known names, each at most once, values within their bounds; everything else is refused by name.
 *
 * A misspelt `tiemout=50` that is ignored is a bug that its author finds in production, so nothing is ignored.
 */
import { invalid, quote } from "./problem.ts";

/** Decodes one name or value; `%` and `+` are rare enough to have a way of their own. */
function decode(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw invalid(`Cannot read the query: expected percent-encoded UTF-8, found ${quote(text)}.`);
  }
}

/** What follows the question mark of a request, as sent; empty where there is none. */
export function queryOf({ url }: { readonly url: string }): string {
  const question = url.indexOf("?");
  return question < 0 ? "" : url.slice(question + 1);
}

/**
 * Splits a query.
 *
 * @param query What follows the question mark, as sent; may be empty.
 * @param allowed Says whether a name is known here.
 * @param raw Names whose values are left undecoded (bytes that are no text).
 * @throws {KvError} INVALID_REQUEST naming the parameter that is unknown or repeated.
 */
export function parseQuery(
  query: string,
  allowed: (name: string) => boolean,
  raw: ReadonlySet<string> = NONE,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  if (query === "") return values;
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    const name = decode(equals < 0 ? part : part.slice(0, equals));
    if (!allowed(name)) throw invalid(`Cannot use the query: ${quote(name)} is not a parameter of this call.`);
    if (values.has(name)) throw invalid(`Cannot use the query: expected ${quote(name)} once, found it repeated.`);
    const value = equals < 0 ? "" : part.slice(equals + 1);
    values.set(name, raw.has(name) ? value : decode(value));
  }
  return values;
}

const NONE: ReadonlySet<string> = new Set();
const DIGITS = /^[0-9]{1,10}$/;

/**
 * A whole number within bounds, both inclusive.
 *
 * @throws {KvError} INVALID_REQUEST naming the parameter, its bounds and what was found.
 */
export function parseInteger(
  name: string,
  text: string,
  bounds: { readonly min: number; readonly max: number },
): number {
  const value = DIGITS.test(text) ? Number(text) : Number.NaN;
  if (value >= bounds.min && value <= bounds.max) return value;
  const range = `a whole number from ${bounds.min} to ${bounds.max}`;
  throw invalid(`Cannot use the parameter "${name}": expected ${range}, found ${quote(text)}.`);
}

/**
 * One of a few words.
 *
 * @throws {KvError} INVALID_REQUEST naming the parameter, the words and what was found.
 */
export function parseWord<Word extends string>(name: string, text: string, words: readonly Word[]): Word {
  const word = words.find((candidate) => candidate === text);
  if (word !== undefined) return word;
  throw invalid(`Cannot use the parameter "${name}": expected ${words.join(" or ")}, found ${quote(text)}.`);
}
