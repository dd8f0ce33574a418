/**
 * Something small of the node itself (identity, ring, trees) on disk, with a checksum in front.
 *
 * LevelDB does not check its blocks on a normal read, and one flipped digit in a counter limit or an epoch would do
 * worse than lose it: dots would be used twice. So a damaged text is refused rather than read.
 *
 *   0        8
 *   ├────────┼──────────────
 *   │ digest │ UTF-8 text        digest: first 8 bytes of SHA-256 over the name and the text
 *   └────────┴──────────────
 */
import { createHash } from "node:crypto";

const DIGEST_BYTES = 8;

/**
 * @param name What the text is; a text sealed under one name does not open under another.
 * @returns A fresh array.
 */
export function seal(name: string, text: string): Uint8Array {
  return sealBytes(name, new TextEncoder().encode(text));
}

/** As `seal`, for bytes. */
export function sealBytes(name: string, content: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(DIGEST_BYTES + content.length);
  sealed.set(digest(name, content));
  sealed.set(content, DIGEST_BYTES);
  return sealed;
}

/** The text, or undefined when the bytes are not what `seal` made under this name. */
export function unseal(name: string, sealed: Uint8Array): string | undefined {
  const content = unsealBytes(name, sealed);
  return content === undefined ? undefined : new TextDecoder().decode(content);
}

/** What `sealBytes` sealed under this name, as a view, or undefined. */
export function unsealBytes(name: string, sealed: Uint8Array): Uint8Array | undefined {
  const content = sealed.subarray(DIGEST_BYTES);
  const expected = digest(name, content);
  for (let index = 0; index < DIGEST_BYTES; index++) {
    if (sealed[index] !== expected[index]) return undefined;
  }
  return content;
}

function digest(name: string, content: Uint8Array): Uint8Array {
  return createHash("sha256").update(name).update("\0").update(content).digest().subarray(0, DIGEST_BYTES);
}
