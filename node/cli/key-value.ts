/** `annulus put`, `get` and `delete`: one pair. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Answer, Call } from "../client/http.ts";
import { kvPath } from "../client/keys.ts";
import { NoAnswerError } from "../client/no-answer-error.ts";
import { keyOfArgument } from "./base64.ts";
import {
  answerError,
  type ConnectionOptions,
  dataNodes,
  requireNode,
  TIMEOUT_MS,
  withConnection,
} from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";
import { headerText, tokenText } from "./header-text.ts";

/** A node's answer may come this much later than the time that it was given, in ms. */
const GRACE_MS = 5_000;

type PairOptions = ConnectionOptions & {
  readonly base64Key?: boolean;
  readonly context?: string;
  readonly r?: number;
  readonly w?: number;
  readonly consistency?: string;
  readonly mode?: string;
  readonly zones?: number;
  readonly timeout?: number;
  readonly ttl?: number;
  readonly blind?: string;
  readonly ifAbsent?: boolean;
  readonly idempotencyKey?: string;
  readonly contentType?: string;
  readonly file?: string;
  readonly include?: boolean;
};

/** A whole number of at least 1, for commander. */
export function positive(text: string): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1) throw new InvalidArgumentError("Expected a whole number from 1 up.");
  return Number(text);
}

function pairCommand(name: string, description: string): Command {
  const command = withConnection(new Command(name).description(description))
    .argument("<key>", "the key, as text")
    .option("--base64-key", "the key is given in base64: for keys that are no text")
    .addOption(new Option("--consistency <level>", "short for -r and -w").choices(["one", "quorum", "all"]))
    .addOption(new Option("--mode <mode>", "whether stand-ins count").choices(["strict", "sloppy"]))
    .option("--zones <k>", "acknowledgements must come from at least k zones", positive)
    .option("--timeout <ms>", "how long the node may try", positive)
    .option("-i, --include", "print status and headers (context, receipt) first");
  return command;
}

function writeOptions(command: Command): Command {
  return command
    .option("-w <n>", "acknowledgements to wait for", positive)
    .option("-r <n>", "replies to wait for, where the write has to read", positive)
    .option("-c, --context <token>", "what this write replaces: the context of an earlier answer", tokenText)
    .option(
      "--idempotency-key <key>",
      "name of this write; sent again, it is the same write, whatever its value (default: a random one)",
      headerText,
    );
}

/** `annulus put KEY [VALUE]`. */
export function putCommand(): Command {
  return writeOptions(pairCommand("put", "Write a value: the argument, --file, or standard input"))
    .argument("[value]", "the value as text; without it, standard input is read")
    .option("-f, --file <path>", "read the value from this file")
    .option("--content-type <type>", "stored and given back with the value", headerText)
    .option("--ttl <seconds>", "the pair is deleted after this time", positive)
    .addOption(new Option("--blind <how>", "what a write without a context does").choices(["overwrite", "sibling"]))
    .option("--if-absent", "refuse when the key has a value")
    .action(async (key: string, value: string | undefined, options: PairOptions) => {
      const body = await readValue(value, options.file);
      const headers = { ...writeHeaders(options), "content-type": options.contentType ?? "application/octet-stream" };
      const conditions = options.ifAbsent === true ? { "if-none-match": "*" } : {};
      const call: Call = { method: "PUT", path: pathOf(key, options), headers: { ...headers, ...conditions }, body };
      await write(options, call);
    });
}

/** `annulus delete KEY`. */
export function deleteCommand(): Command {
  return writeOptions(pairCommand("delete", "Delete a pair")).action(async (key: string, options: PairOptions) => {
    await write(options, { method: "DELETE", path: pathOf(key, options), headers: writeHeaders(options) });
  });
}

/** `annulus get KEY`. */
export function getCommand(): Command {
  return pairCommand("get", "Print a value as it is; siblings as JSON with exit code 3")
    .option("-r <n>", "replies to wait for", positive)
    .action(async (key: string, options: PairOptions) => {
      const answer = await ask(options, { method: "GET", path: pathOf(key, options) });
      if (options.include === true) printHead(answer);
      if (answer.status === 404) {
        const context = answer.headers["kv-context"];
        throw new CommandError(context === undefined ? "not found" : `deleted (context ${context})`, EXIT.notFound);
      }
      if (answer.status !== 200 && answer.status !== 300) throw answerError(answer);
      process.stdout.write(answer.body);
      if (answer.status === 300) {
        process.stdout.write("\n");
        throw new CommandError("the key has siblings; a put with their context settles them", EXIT.siblings);
      }
    });
}

async function ask(options: PairOptions, call: Call): Promise<Answer> {
  const nodes = dataNodes(options);
  try {
    // Whichever answers first will do: a read costs nothing more when a second node is asked for it, too, and a write has
    // a name, by which it stays one write.
    return requireNode(await nodes.soonest({ timeoutMs: patienceMs(options), ...call }));
  } finally {
    nodes.close();
  }
}

/** How long a node may be silent, in ms: its own answer, that the time was over, is to come first. */
export function patienceMs({ timeout = 0 }: Pick<PairOptions, "timeout">): number {
  return Math.max(TIMEOUT_MS, timeout + GRACE_MS);
}

function pathOf(key: string, options: PairOptions): string {
  const query = new URLSearchParams();
  for (const name of ["r", "w", "consistency", "mode", "zones", "timeout", "ttl", "blind"] as const) {
    const value = options[name];
    if (value !== undefined) query.set(name, String(value));
  }
  return kvPath(keyOfArgument(key, options), query.toString());
}

/** A write always has a name: it is sent to the next node when one does not answer, and must stay one write. */
function writeHeaders(options: PairOptions): Record<string, string> {
  const context = options.context === undefined ? {} : { "kv-context": options.context };
  return { "idempotency-key": options.idempotencyKey ?? randomUUID(), ...context };
}

async function readValue(argument: string | undefined, file: string | undefined): Promise<Uint8Array> {
  if (argument !== undefined && file !== undefined) {
    throw new CommandError("give the value as an argument or by --file, not both", EXIT.usage);
  }
  if (argument !== undefined) return Buffer.from(argument);
  if (file === undefined) return buffer(process.stdin);
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CommandError(`cannot read ${file}: ${(error as Error).message}`, EXIT.usage);
  }
}

/** Sends a write. One that is not acknowledged says whether it may take effect, and by which name it stays one write. */
async function write(options: PairOptions, call: Call): Promise<void> {
  const again = `it is the same write when repeated with --idempotency-key ${call.headers?.["idempotency-key"]}`;
  let answer: Answer;
  try {
    answer = await ask(options, call);
  } catch (error) {
    if (!(error instanceof NoAnswerError) || error.isUnsent) throw error;
    throw new CommandError(`${error.message}; it may take effect all the same: ${again}`, EXIT.unavailable);
  }
  if (options.include === true) printHead(answer);
  if (answer.status < 300) return;
  const error = answerError(answer);
  const isDoubtful = answer.isDoubtful === true;
  if (!isDoubtful && answer.headers["kv-outcome"] !== "unknown") throw error;
  const doubt = isDoubtful ? "; another node was asked, too, and may have written it: " : "; ";
  throw new CommandError(`${error.message.replace(/\.$/, "")}${doubt}${again}`, error.exitCode);
}

const SHOWN_HEADERS = ["content-type", "kv-context", "kv-node", "kv-receipt", "kv-outcome", "retry-after"] as const;

function printHead(answer: Answer): void {
  const lines = SHOWN_HEADERS.flatMap((name) => {
    const value = answer.headers[name];
    return value === undefined ? [] : [`${name}: ${String(value)}`];
  });
  process.stdout.write(`${[`status: ${answer.status}`, ...lines].join("\n")}\n\n`);
}
