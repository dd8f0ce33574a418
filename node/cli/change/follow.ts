/**
 * Follows a change to its end: one line that is written anew on a terminal, else a line now and then.
 *
 * Nodes may come and go meanwhile; what counts is that one of them answers now and again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer } from "../../client/http.ts";
import { NoAnswerError } from "../../client/no-answer-error.ts";
import type { Nodes } from "../../client/nodes.ts";
import { ChangeAnswer, parseAnswer } from "../admin-views.ts";
import { answerError } from "../connection.ts";
import { CommandError, EXIT } from "../exit.ts";
import { byteText, type Change, stateText } from "./figures.ts";

const POLL_MS = 500;
const LINE_INTERVAL_MS = 5_000;
/** Without an answer for so long, nobody is there to follow. */
const SILENCE_MS_MAX = 60_000;
/** A node may be asked for a change that it has not heard of yet. */
const UNKNOWN_MS_MAX = 10_000;
const COLUMNS_DEFAULT = 80;
/** Rates are over about this time. */
const RATE_WINDOW_MS = 10_000;

export type Output = { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };

/** Shows states as they come; `end` leaves the last one standing. */
export type ProgressLine = { show(text: string, isTurn: boolean): void; end(): void };

/**
 * Makes what shows progress.
 *
 * @param nowMs A clock that only grows.
 */
export function createProgressLine(output: Output, nowMs: () => number): ProgressLine {
  let shown = "";
  let shownMs = Number.NEGATIVE_INFINITY;
  return {
    show(text, isTurn) {
      if (output.isTTY === true) {
        // A line that wraps would leave its first part standing. A terminal that does not know its width says 0.
        const { columns = 0 } = output;
        const line = text.slice(0, Math.max(20, (columns === 0 ? COLUMNS_DEFAULT : columns) - 1));
        output.write(`\r\x1b[K${line}`);
        shown = line;
        return;
      }
      if (text === shown || (!isTurn && nowMs() - shownMs < LINE_INTERVAL_MS)) return;
      output.write(`annulus: ${text}\n`);
      shown = text;
      shownMs = nowMs();
    },
    end() {
      if (output.isTTY === true && shown !== "") output.write("\n");
    },
  };
}

/** Measures how fast bytes come in, over the last seconds. */
export function createRate(nowMs: () => number): (movedBytes: number) => number | undefined {
  const seen: { atMs: number; movedBytes: number }[] = [];
  return (movedBytes) => {
    const atMs = nowMs();
    seen.push({ atMs, movedBytes });
    while (seen.length > 2 && atMs - (seen[0]?.atMs ?? 0) > RATE_WINDOW_MS) seen.shift();
    const first = seen[0];
    if (first === undefined || atMs - first.atMs < POLL_MS) return undefined;
    return Math.max(0, ((movedBytes - first.movedBytes) * 1_000) / (atMs - first.atMs));
  };
}

/**
 * Waits for the end of a change.
 *
 * @returns The change as it ended.
 * @throws {CommandError} It was cancelled, is not known, or nobody answers any more.
 */
export async function follow(nodes: Nodes, id: string, output: Output = process.stderr): Promise<Change> {
  const nowMs = () => performance.now();
  const line = createProgressLine(output, nowMs);
  const rate = createRate(nowMs);
  let state: string | undefined;
  let heardMs = nowMs();
  try {
    for (;;) {
      const answer = await answerOf(nodes, id);
      if (answer instanceof NoAnswerError || answer.status !== 200) {
        const isTransient = answer instanceof NoAnswerError || answer.status === 404 || answer.status >= 429;
        const patienceMs =
          !(answer instanceof NoAnswerError) && answer.status === 404 ? UNKNOWN_MS_MAX : SILENCE_MS_MAX;
        if (!isTransient || nowMs() - heardMs > patienceMs) throw endOf(answer);
      } else {
        heardMs = nowMs();
        const change = parseAnswer(nodes, answer, ChangeAnswer);
        const speed = change.state === "prepare" ? rate(change.movedBytes) : undefined;
        const text = speed === undefined || speed === 0 ? "" : `, ${byteText(Math.round(speed))}/s`;
        line.show(`${stateText(change)}${text}`, change.state !== state);
        state = change.state;
        if (state === "done") return change;
        if (state === "cancelled") throw new CommandError(`the change ${id} was cancelled`, EXIT.failed);
      }
      await sleep(POLL_MS);
    }
  } finally {
    line.end();
  }
}

async function answerOf(nodes: Nodes, id: string): Promise<Answer | NoAnswerError> {
  try {
    return await nodes.soonest({ method: "GET", path: `/v1/cluster/changes/${id}` });
  } catch (error) {
    if (error instanceof NoAnswerError) return error;
    throw error;
  }
}

function endOf(answer: Answer | NoAnswerError): CommandError {
  const where = "The change goes on without being watched: see `annulus changes`";
  if (answer instanceof NoAnswerError) return new CommandError(`${answer.message}. ${where}`, EXIT.unavailable);
  const error = answerError(answer);
  return new CommandError(`${error.message}. ${where}`, error.exitCode);
}
