/** Records on the admin port: the lines of `GET /v1/backup`, and the body of `POST /v1/restore`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import type { Admin, BackupEntry } from "./admin-api.ts";
import { sendJson } from "./express-parts.ts";
import { readJson } from "./read-json.ts";

/** Bytes of a body, base64url and all: some hundred ordinary pairs, or the largest one with many siblings. */
export const RESTORE_BYTES_MAX = 4_194_304;
/** Records of a body. */
export const RESTORE_ENTRIES_MAX = 256;
/** As many bytes as a key may have. */
const KEY_BYTES_MAX = 1_024;

const RestoreBody = z.strictObject({
  entries: z
    .array(
      z.strictObject({
        key: z.base64url().transform((text) => Buffer.from(text, "base64url")),
        record: z.base64url().transform((text) => Buffer.from(text, "base64url")),
      }),
    )
    .max(RESTORE_ENTRIES_MAX)
    .refine(
      (entries) => entries.every(({ key }) => key.length > 0 && key.length <= KEY_BYTES_MAX),
      `expected keys of 1 to ${KEY_BYTES_MAX} bytes`,
    ),
});

/** One line: key and record, base64url without padding. */
export function backupLine({ key, record }: BackupEntry): string {
  return JSON.stringify({ key: base64(key), record: base64(record) });
}

/** Answers `POST /v1/restore`. */
export async function takeRestore(
  admin: Pick<Admin, "restore">,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readJson(request, response, {
    of: "the records",
    shape: RestoreBody,
    bytesMax: RESTORE_BYTES_MAX,
  });
  if (body !== undefined) sendJson(response, await admin.restore(body.entries));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");
}
