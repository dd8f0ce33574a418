/**
 * The records of a JSON Lines or CSV input, one after the other, as a stream: the input may be larger than memory.
 *
 * A record is handed on as it was written; `pair.ts` looks inside. Records are counted from 0; blank lines are none.
 */
import type { Readable } from "node:stream";
import { parse } from "csv-parse";
import { CommandError, EXIT } from "../exit.ts";

export type SourceRecord = {
  /** Position in the input, from 0, without gaps. */
  readonly ordinal: number;
  /** The record as one line of JSON. For JSON Lines: the line as it was read, which may not be valid. */
  readonly line: string;
};

export type Format = "jsonl" | "csv";

/** A longer line is not meant as one record; a whole file without line ends must not fill the memory. */
const LINE_CHARACTERS_MAX = 16 * 1024 * 1024;

/**
 * Reads records from `input`.
 *
 * @throws {CommandError} When the input as a whole is not of the format: nothing after that point can be read.
 */
export async function* readRecords(input: Readable, format: Format): AsyncGenerator<SourceRecord> {
  const lines = format === "csv" ? csvLines(input) : jsonLines(input);
  let ordinal = 0;
  for await (const line of lines) {
    yield { ordinal, line };
    ordinal += 1;
  }
}

async function* jsonLines(input: Readable): AsyncGenerator<string> {
  input.setEncoding("utf8");
  let rest = "";
  let isStart = true;
  for await (const chunk of textOf(input)) {
    const text = isStart ? withoutMark(chunk) : rest + chunk;
    isStart = false;
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      const line = text.slice(from, end).trim();
      from = end + 1;
      if (line !== "") yield line;
    }
    rest = text.slice(from);
    if (rest.length > LINE_CHARACTERS_MAX) throw notLines(rest);
  }
  const last = rest.trim();
  if (last !== "") yield last;
}

async function* textOf(input: Readable): AsyncGenerator<string> {
  try {
    yield* input as AsyncIterable<string>;
  } catch (error) {
    throw new CommandError(`cannot read the input: ${(error as Error).message}`, EXIT.failed);
  }
}

/** Without the byte-order mark that some programs put at the start of a file. */
function withoutMark(text: string): string {
  return text.startsWith("\uFEFF") ? text.slice(1) : text;
}

function notLines(start: string): CommandError {
  const hint = start.startsWith("[") ? "; it looks like one JSON array: `jq -c '.[]'` makes lines of it" : "";
  return new CommandError(
    `cannot read the input as JSON Lines: a line is longer than ${LINE_CHARACTERS_MAX} characters${hint}`,
    EXIT.failed,
  );
}

async function* csvLines(input: Readable): AsyncGenerator<string> {
  const parser = parse({ columns: true, bom: true, skip_empty_lines: true });
  input.on("error", (error) => parser.destroy(error));
  try {
    for await (const fields of input.pipe(parser)) yield JSON.stringify(fields);
  } catch (error) {
    throw new CommandError(`cannot read the input as CSV: ${(error as Error).message}`, EXIT.failed);
  }
}
