/** How a command of `annulus` is run, and how it ends. */
import { Command, CommanderError } from "commander";
import { NoAnswerError } from "../client/no-answer-error.ts";
import { CommandError, EXIT, EXIT_CODES_HELP } from "./exit.ts";
import { nodeCommand } from "./node.ts";

/**
 * Runs one command to its end and sets the process's exit code.
 *
 * @param argv As `process.argv`: runtime, program, arguments.
 */
export async function run(argv: readonly string[]): Promise<void> {
  endQuietlyWhenTheReaderLeaves();
  const program = new Command("annulus").description("A Dynamo-style key-value store").version(VERSION);
  // A node begins in the shortest time that it can, and needs nothing that the others load.
  const commands = argv[2] === "node" ? [nodeCommand()] : (await import("./commands.ts")).allCommands();
  for (const command of commands) program.addCommand(command);
  program.addHelpText("after", EXIT_CODES_HELP);
  refuseByException(program);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

export const VERSION = "0.1.0";

/** Makes wrong arguments end in an exception, so that the exit code is this program's to choose. */
function refuseByException(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) refuseByException(child);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof CommandError) return complain(error.message, error.exitCode);
  if (error instanceof NoAnswerError) return complain(error.message, EXIT.unavailable);
  return complain(error instanceof Error ? (error.stack ?? error.message) : String(error), EXIT.bug);
}

function complain(message: string, exitCode: number): number {
  process.stderr.write(`annulus: ${message}\n`);
  return exitCode;
}

/** `annulus export | head`: the reader has what it wanted. What else goes wrong there is a failure, and no bug. */
function endQuietlyWhenTheReaderLeaves(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    process.exit(complain(`cannot write the output: ${error.message}`, EXIT.failed));
  });
}
