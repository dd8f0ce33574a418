/**
 * Log lines on standard output: JSON for machines, pretty for a person at a terminal.
 *
 * Lines are written at once (no buffer in the process), so that the last words of a process that stops are kept.
 */
import { type Logger, pino } from "pino";
import { PinoPretty } from "pino-pretty";
import type { LogLevel } from "../../ports.ts";

export type LogOptions = {
  readonly level: LogLevel;
  /** Stands on each line. */
  readonly nodeName: string;
  /** Whether a person reads; otherwise one JSON object a line. */
  readonly isTerminal: boolean;
};

const STANDARD_OUTPUT = 1;

/** Makes the logger of this process. Errors under `cause` are written with their stack. */
export function createLogger(options: LogOptions): Logger {
  const settings = {
    level: options.level,
    base: { node: options.nodeName },
    messageKey: "event",
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { cause: pino.stdSerializers.err, error: pino.stdSerializers.err },
  };
  if (options.isTerminal) {
    return pino(
      settings,
      PinoPretty({ messageKey: "event", ignore: "node", sync: true, destination: STANDARD_OUTPUT }),
    );
  }
  const destination = pino.destination({ dest: STANDARD_OUTPUT, sync: true });
  // A reader that went away (a closed pipe) cannot be told anything, and is no reason to stop storing data.
  destination.on("error", () => {});
  return pino(settings, destination);
}
