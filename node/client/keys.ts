/** Keys as they stand in a URL. */

const HEX = "0123456789ABCDEF";
/** Bytes that RFC 3986 leaves as they are in a path segment. */
const UNRESERVED = /[A-Za-z0-9\-._~]/;
const ENCODED: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return UNRESERVED.test(character) ? character : `%${HEX[byte >> 4]}${HEX[byte & 15]}`;
});

/** A key of any bytes as one percent-encoded path segment. */
export function keySegment(key: Uint8Array): string {
  let segment = "";
  for (const byte of key) segment += ENCODED[byte];
  return segment;
}

/** The data API's path of a key, with a query when `query` is not empty. */
export function kvPath(key: Uint8Array, query = ""): string {
  return `/v1/kv/${keySegment(key)}${query === "" ? "" : `?${query}`}`;
}
