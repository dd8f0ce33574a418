/**
 * Comparing byte strings: the few operations that keys, values and ids need, and nothing else.
 */

/** Longest string that is compared here and not by the runtime, whose call costs more than these few steps. */
const SHORT_BYTES_MAX = 24;

/** Whether two byte strings are the same. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true;
  const length = a.length;
  if (length !== b.length) return false;
  if (length > SHORT_BYTES_MAX) return Buffer.compare(a, b) === 0;
  for (let index = 0; index < length; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** Bytewise order: negative when `a` comes first, 0 when they are the same, positive otherwise. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** The first byte string after this one, fresh: where a page ends, the next one begins with it. */
export function successor(bytes: Uint8Array): Uint8Array {
  const next = new Uint8Array(bytes.length + 1);
  next.set(bytes);
  return next;
}
