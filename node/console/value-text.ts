/** Values, which are bytes, as a person can look at them. Pure. */

/** More of a text than this is cut. */
const TEXT_CHARS_MAX = 4_000;
const HEX_BYTES_MAX = 64;

/** What a value says, and whether that is a text that a person may edit. */
export type ValueText = { readonly text: string; readonly isText: boolean; readonly isWhole: boolean };

/** The bytes that a base64 text stands for. */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** A text where the bytes are one, else the first bytes as hex digits. */
export function textOfValue(bytes: Uint8Array): ValueText {
  const text = decoded(bytes);
  if (text === undefined) {
    const hex = [...bytes.subarray(0, HEX_BYTES_MAX)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    return { text: hex, isText: false, isWhole: bytes.length <= HEX_BYTES_MAX };
  }
  return { text: text.slice(0, TEXT_CHARS_MAX), isText: true, isWhole: text.length <= TEXT_CHARS_MAX };
}

/** Undefined for what is no UTF-8, or has characters that no text has. */
function decoded(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return [...text].some(isControl) ? undefined : text;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return undefined;
  }
}

function isControl(char: string): boolean {
  const code = char.charCodeAt(0);
  return code < 0x20 && char !== "\n" && char !== "\t" && char !== "\r";
}
