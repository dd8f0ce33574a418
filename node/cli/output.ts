/** Where a command writes what it was asked for: a file, or standard output. */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import type { Writable } from "node:stream";
import { CommandError, EXIT } from "./exit.ts";

/**
 * Opens the file at `path`, or standard output where there is none. When the file cannot be written to its end the command
 * ends at once: what is in it then is of no use.
 *
 * @throws {CommandError} It cannot be opened.
 */
export async function openOutput(path: string | undefined): Promise<Writable> {
  if (path === undefined) return process.stdout;
  const output = createWriteStream(path);
  const why = (error: Error) => `cannot write ${path}: ${error.message}`;
  try {
    await once(output, "open");
  } catch (error) {
    throw new CommandError(why(error as Error), EXIT.failed);
  }
  return output.on("error", (error) => {
    process.stderr.write(`annulus: ${why(error)}\n`);
    process.exit(EXIT.failed);
  });
}

/** Closes it when all is written. */
export async function closeOutput(output: Writable): Promise<void> {
  if (output === process.stdout) return;
  output.end();
  await once(output, "finish");
}
