/**
 * Keys in URLs: percent-encoded bytes, in one path segment or one query value.
 *
 * A key is bytes, never text: `%ff` is one byte, and `+` is a plus sign. That is why neither `URL` nor
 * `decodeURIComponent` is used, which insist on UTF-8.
 */
import { KvError } from "../../core/errors.ts";
import { invalid, quote } from "./problem.ts";

export const KEY_BYTES_MAX = 1_024;

const PERCENT = 0x25;
const SLASH = 0x2f;
const HASH = 0x23;

/** Value of each hex digit by char code, 255 where it is none. */
const HEX = new Uint8Array(128).fill(255);
for (let digit = 0; digit < 16; digit += 1) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/** The four bits of a hex digit, or 255. */
function hexAt(text: string, index: number): number {
  const code = text.charCodeAt(index);
  return code < 128 ? (HEX[code] ?? 255) : 255;
}

/**
 * Decodes `url[from .. until)` as a key.
 *
 * @param url As Node gives it, which has refused control characters, spaces and bytes above 0x7f in it.
 * @returns 1 .. 1_024 bytes, owned by the caller.
 * @throws {KvError} NOT_FOUND when there is more than one segment; INVALID_REQUEST for bad escapes and lengths.
 */
export function parseKey(url: string, from: number, until: number): Uint8Array {
  // No escape makes bytes out of fewer chars than bytes, so this bounds the buffer before it is made.
  if (until - from > 3 * KEY_BYTES_MAX) throw tooLong();
  const key = Buffer.allocUnsafe(until - from);
  let length = 0;
  for (let index = from; index < until; index += 1) {
    const code = url.charCodeAt(index);
    if (code === PERCENT) {
      const high = index + 2 < until ? hexAt(url, index + 1) : 255;
      const low = index + 2 < until ? hexAt(url, index + 2) : 255;
      if (high === 255 || low === 255) {
        const found = quote(url.slice(index, Math.min(index + 3, until)));
        throw invalid(`Cannot read the key: expected two hex digits after each percent sign, found ${found}.`);
      }
      key[length] = (high << 4) | low;
      index += 2;
    } else if (code === SLASH) {
      throw new KvError(
        "NOT_FOUND",
        "Cannot find this path: expected the key as one segment; a slash in a key is written %2F.",
      );
    } else if (code === HASH || code > 0x7e) {
      throw invalid(`Cannot read the key: expected ${quote(url.charAt(index))} in percent-encoded form, found it raw.`);
    } else {
      key[length] = code;
    }
    length += 1;
  }
  if (length === 0) throw invalid(`Cannot use the key: expected 1 to ${KEY_BYTES_MAX} bytes, found none.`);
  if (length > KEY_BYTES_MAX) throw tooLong();
  return length === key.length ? key : key.subarray(0, length);
}

function tooLong(): KvError {
  return invalid(`Cannot use the key: expected 1 to ${KEY_BYTES_MAX} bytes, found more.`);
}

/** Percent-encodes a key so that it fits one path segment: RFC 3986's unreserved characters stay as they are. */
export function formatKey(key: Uint8Array): string {
  let text = "";
  for (const byte of key) {
    const letterOrDigit =
      (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
    const unreserved = letterOrDigit || byte === 0x2d || byte === 0x2e || byte === 0x5f || byte === 0x7e;
    text += unreserved ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}
