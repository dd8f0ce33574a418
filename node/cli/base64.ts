/** Bytes that a person or a file gives as text. */
import { CommandError, EXIT } from "./exit.ts";

/**
 * The bytes of base64 or base64url, padded or not; undefined for what is neither. Node's own reading leaves out what does not
 * fit and goes on with other bytes.
 */
export function bytesOfBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  const plain = text.replace(/={0,2}$/, "");
  const isSame = bytes.toString("base64url") === plain.replaceAll("+", "-").replaceAll("/", "_");
  return isSame ? bytes : undefined;
}

/**
 * The bytes of a key that is an argument.
 *
 * @throws {CommandError} It is not what it was said to be.
 */
export function keyOfArgument(key: string, { base64Key }: { readonly base64Key?: boolean }): Uint8Array {
  const bytes = base64Key === true ? bytesOfBase64(key) : Buffer.from(key);
  if (bytes !== undefined) return bytes;
  throw new CommandError("Cannot use the key: expected base64, for --base64-key was given", EXIT.usage);
}
