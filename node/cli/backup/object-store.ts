/**
 * Backups in a bucket of an S3-compatible store: `s3://BUCKET/PREFIX`.
 *
 * Where it is and who asks is what every client of S3 goes by: `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` for a store that is not
 * Amazon's, `AWS_REGION`, and credentials from the environment, a profile, a web identity token (as Kubernetes gives pods one) or
 * the machine. An object appears whole, so nothing has to be renamed; what is longer than a piece goes up in pieces, which
 * nobody sees until the last has come. Our own SHA-256 and sizes are what is relied on, so the checksums that only some stores know are
 * left out.
 */
import { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import { CommandError, EXIT } from "../exit.ts";
import { collect, type Draft, type Place } from "./place.ts";

/** At least 5 MiB by the protocol, and at most 10,000 pieces: layers of up to 80 GB, 8 MiB of memory. */
const PIECE_BYTES = 8 * 1_024 * 1_024;
const REGION_DEFAULT = "us-east-1";

/** What names a place in a bucket; undefined for what does not begin with `s3://`. */
export function parseObjectPlace(text: string): { readonly bucket: string; readonly prefix: string } | undefined {
  if (!text.startsWith("s3://")) return undefined;
  const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(text) ?? [];
  if (bucket !== undefined) {
    const folders = prefix.split("/").filter((folder) => folder !== "");
    return { bucket, prefix: folders.join("/") };
  }
  throw new CommandError(`Cannot use the place "${text}": expected s3://BUCKET or s3://BUCKET/PREFIX`, EXIT.usage);
}

/** Loads the client only now: no other command needs it, and it is large. */
export async function createObjectStore(
  title: string,
  { bucket, prefix }: { readonly bucket: string; readonly prefix: string },
): Promise<Place> {
  const sdk = await import("@aws-sdk/client-s3");
  const client = createClient(sdk);
  const keyOf = (name: string) => (prefix === "" ? name : `${prefix}/${name}`);
  const at = (name: string) => ({ Bucket: bucket, Key: keyOf(name) });

  const using = <T>(run: () => Promise<T>) => named(sdk, title, run);

  async function open(name: string, from: number): Promise<Readable | undefined> {
    try {
      const range = from === 0 ? {} : { Range: `bytes=${from}-` };
      const { Body } = await client.send(new sdk.GetObjectCommand({ ...at(name), ...range }));
      return Body as Readable | undefined;
    } catch (error) {
      if (error instanceof sdk.NoSuchKey) return undefined;
      throw error;
    }
  }

  return {
    title,
    read: (name) =>
      using(async () => {
        const stream = await open(name, 0);
        return stream === undefined ? undefined : (await collect(stream)).toString();
      }),
    async open(name, from) {
      const stream = await using(() => open(name, from));
      if (stream === undefined) return undefined;
      const chunks = stream.iterator();
      const next = () => using(() => chunks.next());
      return Readable.from(
        (async function* () {
          for (let chunk = await next(); chunk.done !== true; chunk = await next()) yield chunk.value;
        })(),
      );
    },
    write: (name, text) =>
      using(async () => void (await client.send(new sdk.PutObjectCommand({ ...at(name), Body: Buffer.from(text) })))),
    async draft(name) {
      const draft = createUpload({ sdk, client }, at(name));
      return {
        write: (bytes) => using(() => draft.write(bytes)),
        keep: () => using(draft.keep),
        discard: () => using(draft.discard),
      };
    },
    list: (folder) =>
      using(async () => {
        const sizes = new Map<string, number>();
        const under = { Bucket: bucket, Prefix: keyOf(`${folder}/`) };
        const skip = keyOf("").length;
        for await (const page of sdk.paginateListObjectsV2({ client }, under)) {
          for (const { Key = "", Size = 0 } of page.Contents ?? []) sizes.set(Key.slice(skip), Size);
        }
        return sizes;
      }),
    remove: (name) => using(async () => void (await client.send(new sdk.DeleteObjectCommand(at(name))))),
  };
}

type Sdk = { readonly sdk: typeof import("@aws-sdk/client-s3"); readonly client: S3Client };

function createClient(sdk: Sdk["sdk"]): S3Client {
  const own = process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  return new sdk.S3Client({
    region: process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? REGION_DEFAULT,
    // A store of one's own seldom has a name for each bucket.
    forcePathStyle: own !== undefined,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
}

/** Runs, and says of an error which place it is about. */
async function named<T>(sdk: Sdk["sdk"], title: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof sdk.S3ServiceException) {
      const status = error.$metadata.httpStatusCode ?? 0;
      const exitCode = status === 429 || status >= 500 ? EXIT.unavailable : EXIT.failed;
      throw new CommandError(`cannot use ${title}: ${error.name}: ${error.message}`, exitCode);
    }
    if (!isOfConnection(error)) throw error;
    throw new CommandError(`cannot use ${title}: ${(error as Error).message}`, EXIT.unavailable);
  }
}

/** An object that is being written: at once when it is small, else piece by piece. */
function createUpload({ sdk, client }: Sdk, at: { readonly Bucket: string; readonly Key: string }): Draft {
  let chunks: Uint8Array[] = [];
  let waitingBytes = 0;
  let uploadId: string | undefined;
  const pieces: { readonly PartNumber: number; readonly ETag: string | undefined }[] = [];
  let isKept = false;

  async function sendPiece(): Promise<void> {
    uploadId ??= (await client.send(new sdk.CreateMultipartUploadCommand(at))).UploadId;
    const PartNumber = pieces.length + 1;
    const Body = Buffer.concat(chunks);
    const { ETag } = await client.send(new sdk.UploadPartCommand({ ...at, UploadId: uploadId, PartNumber, Body }));
    pieces.push({ PartNumber, ETag });
    chunks = [];
    waitingBytes = 0;
  }

  return {
    async write(bytes) {
      chunks.push(bytes);
      waitingBytes += bytes.length;
      if (waitingBytes >= PIECE_BYTES) await sendPiece();
    },
    async keep() {
      if (uploadId === undefined) {
        await client.send(new sdk.PutObjectCommand({ ...at, Body: Buffer.concat(chunks) }));
      } else {
        if (waitingBytes > 0) await sendPiece();
        const all = { ...at, UploadId: uploadId, MultipartUpload: { Parts: pieces } };
        await client.send(new sdk.CompleteMultipartUploadCommand(all));
      }
      isKept = true;
    },
    async discard() {
      if (isKept || uploadId === undefined) return;
      await client.send(new sdk.AbortMultipartUploadCommand({ ...at, UploadId: uploadId }));
      uploadId = undefined;
    },
  };
}

/** Of the network, or of a search for credentials: the words are for the user. */
function isOfConnection(error: unknown): boolean {
  const { code, name } = error as NodeJS.ErrnoException;
  return code !== undefined || name === "CredentialsProviderError" || name === "TimeoutError";
}
