/**
 * `annulus salvage`: what a data directory holds, as JSON Lines that `annulus import` reads back.
 *
 * For the directory of a member that was removed as destroyed and turned up again: the members went on without it, so
 * nothing of it is merged by itself. A person compares, and imports what is wanted. The node must not run meanwhile.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { Command } from "commander";
import { counted } from "../core/counted.ts";
import { KvError } from "../core/errors.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type ExportedKey, pairLine } from "./export-line.ts";
import { closeOutput, openOutput } from "./output.ts";

/** `annulus salvage`. */
export function salvageCommand(): Command {
  return new Command("salvage")
    .description("Write what a data directory holds, with its node stopped, as JSON Lines that import reads back")
    .requiredOption("--data-dir <directory>", "the node's ANNULUS_DATA_DIR")
    .option("-o, --out <file>", "write to this file instead of standard output")
    .action(async ({ dataDir, out }: { dataDir: string; out?: string }) => {
      if (!existsSync(join(dataDir, "store"))) {
        throw new CommandError(`there is no data directory at ${dataDir}`, EXIT.usage);
      }
      const output = await openOutput(out);
      const { records, hints, damaged, unreadable, why } = await writeAll(dataDir, output);
      await closeOutput(output);
      process.stderr.write(
        `annulus: ${counted(records, "record")} and ${counted(hints, "hint")} read, ${counted(damaged, "damaged one")} left out\n`,
      );
      if (unreadable === 0) return;
      const what = `${counted(unreadable, "part")} of the store could not be read (${why})`;
      throw new CommandError(`${what}; what is in it is missing`, EXIT.failed);
    });
}

async function writeAll(dataDirectory: string, output: Writable) {
  // Only this command opens a store: the others start without it.
  const { salvageDirectory } = await import("../salvage-directory.ts");
  try {
    return await salvageDirectory(dataDirectory, output, (line) => pairLine(JSON.parse(line) as ExportedKey));
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    throw new CommandError(error.message, EXIT.unavailable);
  }
}
