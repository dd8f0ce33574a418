/**
 * One key, as the node answers for it: what its homes hold, its value or concurrent values, and settling these.
 *
 * A write carries the context of what was shown: what came meanwhile is not replaced by it, and is shown beside it next.
 */
import { ask, askJson, RefusedError } from "./connection.ts";
import { bytesOfBase64 } from "./value-text.ts";

/** `GET /v1/ring/{key}`, as far as it is shown. */
export type KeyPlace = {
  readonly partition: number;
  readonly token: string;
  readonly homes: readonly { readonly name: string; readonly zone: string; readonly address: string }[];
};

/** One home of `GET /v1/versions/{key}`, as far as it is shown. */
export type HomeVersion = {
  readonly name: string;
  readonly state: "present" | "absent" | "unknown";
  readonly version?: string;
  readonly siblings?: readonly {
    readonly deleted: boolean;
    readonly contentType: string;
    readonly sizeBytes: number;
    readonly writtenAt: string;
    readonly expiresAt?: string;
  }[];
  readonly error?: { readonly detail: string };
};

/** One of the concurrent values; of a single one nobody says when it was written. */
export type ShownValue = {
  readonly contentType: string;
  readonly writtenAt: string | undefined;
  /** Undefined: a deletion. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
};

export type KeyAnswer = {
  /** What a write that settles them says it has seen; undefined where the key was never written. */
  readonly context: string | undefined;
  readonly values: readonly ShownValue[];
};

type SiblingAnswer = {
  readonly contentType: string;
  readonly value?: string;
  readonly writtenAt: string;
};

const NAME_BYTES = 16;

/** Where a key lives. */
export function locate(key: string): Promise<KeyPlace> {
  return askJson<KeyPlace>(`v1/ring/${encodeURIComponent(key)}`);
}

/** What the homes say that they hold, and when by the clock of the node that asked them: the browser's may be any. */
export type Versions = { readonly homes: readonly HomeVersion[]; readonly atMs: number };

/** What each home says that it holds. */
export async function readVersions(key: string): Promise<Versions> {
  const response = await ask(`v1/versions/${encodeURIComponent(key)}`, {}, "keys");
  const { homes } = (await response.json()) as { readonly homes: readonly HomeVersion[] };
  return { homes, atMs: Date.parse(response.headers.get("Date") ?? "") };
}

/** Reads a key as any client does. */
export async function readKey(key: string): Promise<KeyAnswer> {
  try {
    const response = await ask(`v1/kv/${encodeURIComponent(key)}`, {}, "keys");
    const context = response.headers.get("KV-Context") ?? undefined;
    if (response.status === 300) {
      const { siblings } = (await response.json()) as { readonly siblings: readonly SiblingAnswer[] };
      return { context, values: siblings.map(shownOf) };
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    const contentType = response.headers.get("Content-Type") ?? "";
    return { context, values: [{ contentType, writtenAt: undefined, bytes }] };
  } catch (error) {
    if (!(error instanceof RefusedError) || error.status !== 404) throw error;
    return { context: error.headers.get("KV-Context") ?? undefined, values: [] };
  }
}

/**
 * Writes one value, or a deletion, in place of what was shown.
 *
 * @param context Of what was shown.
 * @param value Undefined deletes. `ttlS`: seconds that it has left to live; undefined: for ever.
 */
export async function settleKey(
  key: string,
  context: string,
  value:
    | { readonly bytes: Uint8Array<ArrayBuffer>; readonly contentType: string; readonly ttlS: number | undefined }
    | undefined,
): Promise<void> {
  const path = `v1/kv/${encodeURIComponent(key)}`;
  const name = crypto.getRandomValues(new Uint8Array(NAME_BYTES));
  const idempotencyKey = [...name].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const headers = { "KV-Context": context, "Idempotency-Key": idempotencyKey };
  if (value === undefined) {
    await ask(path, { method: "DELETE", headers }, "keys");
    return;
  }
  const { bytes, contentType, ttlS } = value;
  const put = { method: "PUT", headers: { ...headers, "Content-Type": contentType }, body: bytes };
  await ask(ttlS === undefined ? path : `${path}?ttl=${ttlS}`, put, "keys");
}

/** How long a value has left to live, by what the homes say of it, in whole seconds; "unknown": none of them has it. */
export function ttlOf(value: ShownValue, { homes, atMs }: Versions): number | "for ever" | "unknown" {
  const all = homes.flatMap(({ siblings = [] }) => siblings);
  const held = all.find(
    ({ deleted, contentType, sizeBytes, writtenAt }) =>
      !deleted &&
      contentType === value.contentType &&
      sizeBytes === value.bytes?.length &&
      (value.writtenAt === undefined || writtenAt === value.writtenAt),
  );
  if (held === undefined) return "unknown";
  if (held.expiresAt === undefined) return "for ever";
  return Math.max(1, Math.ceil((Date.parse(held.expiresAt) - atMs) / 1_000));
}

function shownOf({ contentType, value, writtenAt }: SiblingAnswer): ShownValue {
  return { contentType, writtenAt, bytes: value === undefined ? undefined : bytesOfBase64(value) };
}
