/** `annulus import`: a file or standard input, record after record, into the cluster. */
import { appendFileSync, createReadStream, statSync } from "node:fs";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { Command, Option } from "commander";
import { NoAnswerError } from "../client/no-answer-error.ts";
import { counted } from "../core/counted.ts";
import { type ConnectionOptions, dataNodes, withConnection } from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";
import { headerText } from "./header-text.ts";
import { Importer, UnavailableError } from "./import/importer.ts";
import { InputPrefix } from "./import/prefix.ts";
import { showProgress } from "./import/progress.ts";
import { type Format, readRecords, type SourceRecord } from "./import/records.ts";
import { resumeState, saveState, Watermark } from "./import/resume.ts";
import { positive } from "./key-value.ts";
import { notWritable, requireWritable } from "./output.ts";

type ImportCommandOptions = ConnectionOptions & {
  readonly format?: Format;
  readonly keyField?: string;
  readonly keyTemplate?: string;
  readonly valueField?: string;
  readonly contentType?: string;
  readonly concurrency: number;
  readonly retryFor: number;
  readonly w?: number;
  readonly resume?: string;
  readonly failures?: string;
};

const SAVE_INTERVAL_MS = 1000;
/** Reasons are shown for the first failures only; the rest are counted. */
const REASONS_SHOWN_MAX = 10;

/** `annulus import FILE|-`. */
export function importCommand(): Command {
  return withConnection(
    new Command("import").description("Import JSON Lines or CSV from a file, or - for standard input"),
  )
    .argument("<file>", 'records: {"key", "value"} a line as `annulus export` writes, or see the options')
    .addOption(new Option("--format <format>", "default: by the file's name, else jsonl").choices(["jsonl", "csv"]))
    .addOption(new Option("--key-field <field>", "field that holds the key").conflicts("keyTemplate"))
    .option("--key-template <template>", "key made of fields, for example '{country}/{name}'")
    .option("--value-field <field>", "field that holds the value; without it the record as a whole is")
    .option("--content-type <type>", "stored with every value", headerText)
    .option("--concurrency <n>", "records in work at once", positive, 32)
    .option("-w <n>", "acknowledgements to wait for", positive)
    .option("--retry-for <seconds>", "how long one record is tried before the import ends", positive, 120)
    .option("--resume <file>", "remembers here how far it came, and goes on from there when run again")
    .option("--failures <file>", "appends records that were refused for good to this file")
    .action(runImport);
}

async function runImport(file: string, options: ImportCommandOptions): Promise<void> {
  const source = file === "-" ? "standard input" : resolve(file);
  for (const path of [options.resume, options.failures]) requireWritable(path);
  const { isNew, ...state } = resumeState(options.resume, source);
  const watermark = new Watermark(state.acknowledged);
  const prefix = new InputPrefix(state, options.resume);
  const { input, bytesTotal } = openInput(file);
  const nodes = dataNodes(options, options.concurrency);
  const importer = new Importer({
    nodes,
    mapping: options,
    concurrency: options.concurrency,
    query: options.w === undefined ? "" : `w=${options.w}`,
    retryForMs: options.retryFor * 1000,
    run: state.run,
    isNew,
    from: state.acknowledged,
    watermark,
    keepFailure: failureKeeper(options.failures),
  });
  const stop = () => importer.stop();
  let unsaved: unknown;
  const save = () => {
    if (options.resume === undefined || unsaved !== undefined) return;
    try {
      const passed = prefix.passedAt(watermark.reached);
      if (passed !== undefined) saveState(options.resume, { ...state, ...passed });
    } catch (error) {
      unsaved = notWritable(options.resume, error);
      stop();
    }
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const saver = setInterval(save, SAVE_INTERVAL_MS);
  const bytesRead = countBytes(input);
  const endProgress = showProgress(() => ({ tally: importer.tally, bytesRead: bytesRead(), bytesTotal }));
  const startMs = performance.now();
  try {
    const records = readRecords(input, options.format ?? (file.endsWith(".csv") ? "csv" : "jsonl"));
    await importer.run(options.resume === undefined ? records : prefix.follow(records));
  } catch (error) {
    throw explained(error, options.resume);
  } finally {
    endProgress();
    clearInterval(saver);
    save();
    input.destroy();
    nodes.close();
    process.removeListener("SIGINT", stop).removeListener("SIGTERM", stop);
    report(importer, performance.now() - startMs);
  }
  if (unsaved !== undefined) throw unsaved;
  finish(importer, options);
}

function openInput(file: string): { input: Readable; bytesTotal: number | undefined } {
  if (file === "-") return { input: process.stdin, bytesTotal: undefined };
  try {
    return { bytesTotal: statSync(file).size, input: createReadStream(file, { highWaterMark: 256 * 1024 }) };
  } catch (error) {
    throw new CommandError(`cannot read ${file}: ${(error as Error).message}`, EXIT.usage);
  }
}

/** Files count their own bytes; of standard input only the records are counted. */
function countBytes(input: Readable): () => number {
  return () => ("bytesRead" in input && typeof input.bytesRead === "number" ? input.bytesRead : 0);
}

function failureKeeper(file: string | undefined): (record: SourceRecord, reason: string) => boolean {
  let shown = 0;
  return (record, reason) => {
    shown += 1;
    if (shown <= REASONS_SHOWN_MAX) process.stderr.write(`annulus: record ${record.ordinal + 1}: ${reason}\n`);
    if (shown === REASONS_SHOWN_MAX) process.stderr.write("annulus: further failures are counted, not shown\n");
    if (file === undefined) return false;
    try {
      appendFileSync(file, `${record.line}\n`);
    } catch (error) {
      throw notWritable(file, error);
    }
    return true;
  };
}

function report(importer: Importer, elapsedMs: number): void {
  const { imported, failed, retries, skipped, expired } = importer.tally;
  const seconds = elapsedMs / 1000;
  const already = skipped > 0 ? `, ${skipped} already there` : "";
  const late = expired > 0 ? `, ${expired} expired` : "";
  process.stdout.write(
    `imported ${counted(imported, "record")} in ${seconds.toFixed(1)} s (${Math.round(imported / seconds)}/s), ` +
      `${failed} failed, ${retries} ${retries === 1 ? "retry" : "retries"}${already}${late}\n`,
  );
}

function explained(error: unknown, resumeFile: string | undefined): unknown {
  if (!(error instanceof NoAnswerError || error instanceof UnavailableError)) return error;
  const advice =
    resumeFile === undefined
      ? "run it again, with --resume FILE to go on from where it stopped"
      : "run it again to go on";
  return new CommandError(`the import ended early: ${error.message}; ${advice}`, EXIT.unavailable);
}

function finish(importer: Importer, options: ImportCommandOptions): void {
  if (importer.isStopped) throw new CommandError("the import was stopped before its end", EXIT.failed);
  const { failed } = importer.tally;
  if (failed === 0) return;
  const kept = options.failures === undefined ? "" : `; ${failed === 1 ? "it is" : "they are"} in ${options.failures}`;
  throw new CommandError(`${counted(failed, "record")} ${failed === 1 ? "was" : "were"} refused${kept}`, EXIT.failed);
}
