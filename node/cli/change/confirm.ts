/** Asks a person whether to go on. */
import { createInterface } from "node:readline";
import { CommandError, EXIT } from "../exit.ts";

export type Terminal = {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
};

/**
 * Asks, and takes `y` or `yes` for yes and everything else, the end of the input included, for no.
 *
 * @throws {CommandError} There is nobody to ask; or the answer is no.
 */
export async function confirm(question: string, { input, output }: Terminal): Promise<void> {
  if (input.isTTY !== true) {
    throw new CommandError("nothing has begun: without a terminal to ask, --yes is needed", EXIT.usage);
  }
  const reader = createInterface({ input, output });
  reader.setPrompt(`${question} [y/N] `);
  const answer = await new Promise<string>((resolve) => {
    reader.once("line", resolve);
    reader.once("close", () => resolve(""));
    reader.prompt();
  });
  reader.close();
  if (!/^\s*y(es)?\s*$/i.test(answer)) throw new CommandError("nothing has begun", EXIT.failed);
}
