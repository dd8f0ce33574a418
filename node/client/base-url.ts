/** The URL of a node's API, as callers and commands give it. */

/**
 * Reads one.
 *
 * @throws {TypeError} It is none: says what is expected, for a URL is easily given without its scheme.
 */
export function baseUrlOf(url: string): URL {
  const parsed = URL.parse(url);
  if (parsed?.protocol === "http:" || parsed?.protocol === "https:") return parsed;
  throw new TypeError(`expected http://host:port or https://host:port, found ${JSON.stringify(url)}`);
}

/** A URL or path without the slashes at its end. */
export function withoutSlashes(text: string): string {
  let end = text.length;
  while (text.endsWith("/", end)) end -= 1;
  return text.slice(0, end);
}
