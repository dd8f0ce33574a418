/**
 * How far an import has come, kept in a small file, so that the next run goes on from there.
 *
 * Records are written several at a time and end out of order. What is remembered is the number of records from the
 * start of the input that are all acknowledged (or kept in the failures file); the few after a gap are written again
 * by the next run, under the same names, and are the same writes.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { CommandError, EXIT } from "../exit.ts";

/** Counts the unbroken run of finished records. */
export class Watermark {
  /** Records from the start of the input that are all finished. */
  reached: number;
  readonly #ahead = new Set<number>();
  #isBlocked = false;

  constructor(reached: number) {
    this.reached = reached;
  }

  finish(ordinal: number): void {
    if (this.#isBlocked && ordinal !== this.reached) return;
    this.#ahead.add(ordinal);
    while (this.#ahead.delete(this.reached)) this.reached += 1;
  }

  /** A record failed and is kept nowhere: the next run must come by it again. */
  block(): void {
    this.#isBlocked = true;
  }
}

export type ResumeState = {
  readonly source: string;
  /** Records from the start that need not be written again. */
  readonly acknowledged: number;
  /** What those records were; see prefix.ts. */
  readonly digest?: string | undefined;
  /** Makes up the names of the writes, so that a repeated one is known as the same. */
  readonly run: string;
};

/**
 * Reads the state of an earlier run, or starts a new one.
 *
 * @param file The resume file's path, or undefined to remember nothing.
 * @param source What is imported; a file made for another source is refused.
 * @returns `isNew`: nothing was sent under its names before.
 * @throws {CommandError} When the file belongs to another source or cannot be read.
 */
export function resumeState(file: string | undefined, source: string): ResumeState & { readonly isNew: boolean } {
  const fresh = { source, acknowledged: 0, run: randomBytes(9).toString("base64url"), isNew: true };
  if (file === undefined || !existsSync(file)) return fresh;
  const state = readState(file);
  if (state.source !== source) {
    throw new CommandError(`${file} remembers an import of "${state.source}", not of "${source}"`, EXIT.usage);
  }
  return { ...state, isNew: false };
}

function readState(file: string): ResumeState {
  try {
    const { source, acknowledged, run, digest } = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    if (typeof source === "string" && Number.isSafeInteger(acknowledged) && typeof run === "string") {
      const known = typeof digest === "string" ? { digest } : {};
      return { source, acknowledged: acknowledged as number, run, ...known };
    }
  } catch (error) {
    throw new CommandError(`cannot read the resume file ${file}: ${(error as Error).message}`, EXIT.usage);
  }
  throw new CommandError(`cannot read the resume file ${file}: it is not one`, EXIT.usage);
}

/** Replaces the resume file at once, so that a run that dies in the middle leaves the older one whole. */
export function saveState(file: string, state: ResumeState): void {
  const draft = `${file}.new`;
  writeFileSync(draft, `${JSON.stringify(state)}\n`);
  renameSync(draft, file);
}
