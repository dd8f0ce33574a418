/** Log lines of several nodes in one stream, each with its node's name before it, in a colour of its own. */
import { styleText } from "node:util";
import { prettyFactory } from "pino-pretty";

const COLOURS = ["cyan", "magenta", "yellow", "green", "blue", "red"] as const;

export type LineWriter = (name: string, line: string) => void;

/**
 * Makes the writer of a cluster's log lines.
 *
 * @param names Of all nodes.
 * @param isTerminal A person reads: lines are made readable and coloured. Otherwise they stay JSON behind the name.
 */
export function createLineWriter(names: readonly string[], isTerminal: boolean): LineWriter {
  const width = Math.max(...names.map((name) => name.length));
  const pretty = prettyFactory({ colorize: true, messageKey: "event", ignore: "node", singleLine: true });
  const prefixOf = (name: string) => {
    const prefix = `${name.padEnd(width)} | `;
    const colour = COLOURS[names.indexOf(name) % COLOURS.length] ?? "white";
    return isTerminal ? styleText(colour, prefix) : prefix;
  };
  const prefixes = new Map(names.map((name) => [name, prefixOf(name)]));
  return (name, line) => {
    const readable = isTerminal && line.startsWith("{") ? pretty(line).trimEnd() : line;
    for (const part of readable.split("\n")) process.stdout.write(`${prefixes.get(name) ?? ""}${part}\n`);
  };
}
