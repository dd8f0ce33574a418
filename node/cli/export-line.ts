/**
 * One exported key as a line that `import` reads back.
 *
 * Text stays text where it is valid UTF-8, for people and other tools; other bytes are `{"base64"}`. A key with one
 * value has `value` and `contentType` beside the key, one with several has them in `siblings`. Deleted keys have no
 * line, and of a deletion among siblings the values remain.
 */

/** A line of `GET /v1/export`: the key percent-encoded, siblings as in a `300`. */
export type ExportedKey = {
  readonly key: string;
  readonly context: string;
  readonly siblings: readonly {
    readonly contentType: string;
    readonly value?: string;
    readonly deleted: boolean;
    readonly expiresAt?: string;
  }[];
};

/** Text, or bytes that are no text. */
export type TextOrBytes = string | { readonly base64: string };

/** The line, or undefined for a key that is deleted. */
export function pairLine({ key, siblings }: ExportedKey): string | undefined {
  const values = siblings.flatMap(({ value, contentType, expiresAt }) =>
    value === undefined
      ? []
      : [
          {
            value: textOrBytes(Buffer.from(value, "base64")),
            contentType,
            ...(expiresAt === undefined ? {} : { expiresAt }),
          },
        ],
  );
  const [only] = values;
  if (only === undefined) return undefined;
  const name = { key: textOrBytes(percentDecoded(key)) };
  return JSON.stringify(values.length === 1 ? { ...name, ...only } : { ...name, siblings: values });
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOrBytes(bytes: Uint8Array): TextOrBytes {
  try {
    return UTF8.decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString("base64") };
  }
}

function percentDecoded(text: string): Uint8Array {
  const latin1 = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, "latin1");
}
