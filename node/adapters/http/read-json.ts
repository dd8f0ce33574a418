/**
 * Reads the JSON body of a request to the admin port: bounded, and checked against a schema that knows every field.
 *
 * How long a body may take is bounded by the server's time for a whole request. What a refused request still sends is
 * read and thrown away by Node behind the answer, within that time.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "zod";
import { KvError } from "../../core/errors.ts";
import { invalid, quote } from "./problem.ts";
import { declaredLength, tellToGoOn } from "./read-body.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a body as a schema has it.
 *
 * @param of What the body is, for messages: `the change`.
 * @returns Undefined when the client left before its end: there is nobody to answer.
 * @throws {KvError} TOO_LARGE; INVALID_REQUEST, naming every field that is wrong.
 */
export async function readJson<Shape extends z.ZodType>(
  request: IncomingMessage,
  response: ServerResponse,
  { of, shape, bytesMax }: { readonly of: string; readonly shape: Shape; readonly bytesMax: number },
): Promise<z.infer<Shape> | undefined> {
  const length = declaredLength(request);
  const tooLarge = () => new KvError("TOO_LARGE", `Cannot read ${of}: expected at most ${bytesMax} bytes of JSON.`);
  if (length !== undefined && length > bytesMax) throw tooLarge();
  tellToGoOn(request, response);
  const body = await collect(request, { bytesMax, tooLarge });
  if (body === undefined) return undefined;
  const parsed = shape.safeParse(jsonOf(body, of));
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.slice(0, ISSUES_MAX).map(({ path, message }) => {
    return path.length === 0 ? message : `${quote(path.join("."))}: ${message}`;
  });
  throw invalid(`Cannot use ${of}: ${wrong.join("; ")}.`);
}

/** More wrong fields than this are not told; the first ones say enough. */
const ISSUES_MAX = 5;

function collect(
  request: IncomingMessage,
  { bytesMax, tooLarge }: { readonly bytesMax: number; readonly tooLarge: () => KvError },
): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let filled = 0;
    request.on("data", (chunk: Buffer) => {
      filled += chunk.length;
      if (filled <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      reject(tooLarge());
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("close", () => resolve(undefined));
  });
}

function jsonOf(body: Uint8Array, of: string): unknown {
  try {
    return JSON.parse(utf8.decode(body));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KvError("INVALID_REQUEST", `Cannot read ${of}: expected JSON, found: ${reason}.`, { cause });
  }
}
