/** Names for writes. */
import { randomFillSync } from "node:crypto";

/** 72 random bits, told apart only from the last 32 named writes of the same key: one in 10^20 is taken for another. */
const NAME_BYTES = 9;
/** Randomness is drawn for so many names at once: a draw costs more than a name. */
const NAMES_AT_ONCE = 256;

const drawn = Buffer.alloc(NAME_BYTES * NAMES_AT_ONCE);
let used = drawn.length;

/**
 * A name that no other write of a key has: an `Idempotency-Key` where the caller gives none. Shorter than a UUID, for each
 * replica keeps the names of a key's last writes beside its value, and sends them with it.
 *
 * @returns 12 characters of base64url.
 */
export function newName(): string {
  if (used === drawn.length) {
    randomFillSync(drawn);
    used = 0;
  }
  const from = used;
  used += NAME_BYTES;
  return drawn.toString("base64url", from, used);
}
