/** Where a command writes what it was asked for: a file, or standard output. */
import { once } from "node:events";
import { accessSync, constants, createWriteStream, existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
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
  try {
    await once(output, "open");
  } catch (error) {
    throw notWritable(path, error);
  }
  return output.on("error", (error) => {
    process.stderr.write(`annulus: ${notWritable(path, error).message}\n`);
    process.exit(EXIT.failed);
  });
}

/**
 * Looks whether a file can be written that is to be, later on.
 *
 * @throws {CommandError} It cannot.
 */
export function requireWritable(path: string | undefined): void {
  if (path === undefined) return;
  try {
    accessSync(existsSync(path) ? path : dirname(resolve(path)), constants.W_OK);
  } catch (error) {
    throw notWritable(path, error, EXIT.usage);
  }
}

/** The error of a command that cannot write what it has to. */
export function notWritable(path: string, error: unknown, exitCode: number = EXIT.failed): CommandError {
  return new CommandError(`cannot write ${path}: ${(error as Error).message}`, exitCode);
}

/** Closes it when all is written. */
export async function closeOutput(output: Writable): Promise<void> {
  if (output === process.stdout) return;
  output.end();
  await once(output, "finish");
}
