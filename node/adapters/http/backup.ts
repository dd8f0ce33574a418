/**
 * Records on the admin port: the lines of `GET /v1/backup`, what they differ in from a backup (`GET /v1/backup/tree`,
 * `POST /v1/backup/difference`), and the body of `POST /v1/restore`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { packBriefs, unpackBriefs } from "../../core/merkle/brief.ts";
import { LEAF_BITS_MAX, LEAF_BITS_MIN } from "../../core/merkle/tree.ts";
import type { Admin, BackupEntry } from "./admin-api.ts";
import { writeLine } from "./export-stream.ts";
import { sendJson } from "./express-parts.ts";
import { readJson } from "./read-json.ts";

/** Bytes of a body, base64url and all: some thousand ordinary pairs, or the largest record that there may be. */
export const RESTORE_BYTES_MAX = 33_554_432;
/** Records of a body. */
export const RESTORE_ENTRIES_MAX = 256;
/** As many bytes as a key may have. */
const KEY_BYTES_MAX = 1_024;

/** The body of `POST /v1/restore`. */
export const RestoreBody = z.strictObject({
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

/** Leaves of one question. */
export const DIFFERENCE_LEAVES_MAX = 16;
/** Bytes of a question: some ten thousand briefs to a leaf. */
export const DIFFERENCE_BYTES_MAX = 2_097_152;

/** The body of `POST /v1/backup/difference`. */
export const DifferenceBody = z
  .strictObject({
    partition: z.int().min(0).max(65_535),
    bits: z.int().min(LEAF_BITS_MIN).max(LEAF_BITS_MAX),
    leaves: z
      .array(
        z.strictObject({
          leaf: z.int().min(0),
          briefs: z.base64url().transform((text, context) => {
            const briefs = unpackBriefs(Buffer.from(text, "base64url"));
            if (briefs !== undefined) return briefs;
            context.addIssue("expected whole briefs of 8 bytes");
            return z.NEVER;
          }),
        }),
      )
      .min(1)
      .max(DIFFERENCE_LEAVES_MAX),
  })
  .refine(({ bits, leaves }) => leaves.every(({ leaf }) => leaf < 2 ** bits), "expected leaves below 2^bits");

/** Answers `GET /v1/backup/tree`. */
export async function sendTree(admin: Pick<Admin, "backupTree">, partition: number, response: ServerResponse) {
  const { epoch, bits, sums, unlike } = await admin.backupTree(partition);
  sendJson(response, { epoch, partition, bits, sums: base64(sums), unlike });
}

/**
 * Answers `POST /v1/backup/difference`: a line for each record that the backup lacks, then one that says what it is to drop.
 *
 * As with `streamPartition`, an error behind the first line breaks the connection, and whoever may read no more gets no more.
 */
export async function sendDifference(
  admin: Pick<Admin, "backupDifference">,
  request: IncomingMessage,
  response: ServerResponse,
  stillMay: () => void,
): Promise<void> {
  const shape = DifferenceBody;
  const body = await readJson(request, response, { of: "the leaves", shape, bytesMax: DIFFERENCE_BYTES_MAX });
  if (body === undefined) return;
  const { partition, bits, leaves } = body;
  const batches = admin.backupDifference(partition, bits, leaves);
  let batch = await batches.next();
  response.setHeader("Content-Type", "application/jsonl");
  response.setHeader("Cache-Control", "no-store");
  for (; batch.done !== true; batch = await batches.next()) {
    stillMay();
    for (const entry of batch.value) {
      if (!(await writeLine(response, backupLine(entry)))) return;
    }
  }
  const { epoch, gone } = batch.value;
  response.end(`${JSON.stringify({ epoch, partition, gone: base64(packBriefs(gone)), complete: true })}\n`);
}

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
