/**
 * Knows the records that a run passes over for those that the last run wrote: a file may have been made anew under its name,
 * and standard input has none. What was added at the end is no other input.
 */
import { createHash } from "node:crypto";
import { CommandError, EXIT } from "../exit.ts";
import type { SourceRecord } from "./records.ts";

/** 96 bits: told apart are the inputs that one resume file met. */
const DIGEST_CHARACTERS = 16;

/** Beginnings that are known at once: behind a record that was refused all later ones wait for the next run. */
export const KEPT_MAX = 65_536;

/** How many records from the start, and what they were; undefined where an older program did not say. */
export type Passed = { readonly acknowledged: number; readonly digest?: string | undefined };

/** Digests of the beginnings of an input, each of one record more than the one before. */
export class InputPrefix {
  readonly #passed: Passed;
  readonly #file: string | undefined;
  /** By the number of records. */
  #digests = new Map<number, string>();
  #last = "";
  #count = 0;
  #isKnown: boolean;

  /** @param file The resume file's path, for people. */
  constructor(passed: Passed, file: string | undefined) {
    this.#passed = passed;
    this.#file = file;
    this.#isKnown = passed.acknowledged === 0;
    this.#digests.set(passed.acknowledged, passed.digest ?? "");
  }

  /**
   * Hands the records on.
   *
   * @throws {CommandError} Those that are to be passed over are not the ones that were written.
   */
  async *follow(records: AsyncGenerator<SourceRecord>): AsyncGenerator<SourceRecord> {
    for await (const record of records) {
      this.#check();
      this.#last = createHash("sha256")
        .update(this.#last)
        .update(record.line)
        .digest("base64url")
        .slice(0, DIGEST_CHARACTERS);
      this.#count += 1;
      const isNeeded = this.#count >= this.#passed.acknowledged && this.#digests.size < KEPT_MAX;
      if (isNeeded) this.#digests.set(this.#count, this.#last);
      yield record;
    }
    this.#check();
    if (!this.#isKnown) throw this.#another();
  }

  /**
   * What is to be remembered once so many records are done, or a few less; undefined while it is not known whether they are
   * the same.
   */
  passedAt(acknowledged: number): Passed | undefined {
    if (!this.#isKnown) return undefined;
    let passed: Passed = this.#passed;
    for (const [count, digest] of this.#digests) {
      if (count > acknowledged) break;
      this.#digests.delete(count);
      passed = { acknowledged: count, digest };
    }
    this.#digests = new Map([[passed.acknowledged, passed.digest ?? ""], ...this.#digests]);
    return passed;
  }

  #check(): void {
    const { acknowledged, digest } = this.#passed;
    if (this.#isKnown || this.#count < acknowledged) return;
    if (digest !== undefined && digest !== this.#last) throw this.#another();
    this.#isKnown = true;
  }

  #another(): CommandError {
    const what = `remembers ${this.#passed.acknowledged} records of another input, of which this one has not all`;
    return new CommandError(`${this.#file} ${what}; remove it to import this one from its start`, EXIT.usage);
  }
}
