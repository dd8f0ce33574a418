/**
 * Writes records to a cluster, a bounded number at a time.
 *
 * Each write is repeated on the next node until it is acknowledged, with one Idempotency-Key throughout. A record that
 * the cluster refuses for good (too large, no key) is set aside and the others go on; a record for which no node has a
 * quorum for too long ends the import, because the next ones would fare no better. Records of one key are written one
 * after the other.
 */
import type { Answer } from "../../client/http.ts";
import { kvPath } from "../../client/keys.ts";
import type { Nodes } from "../../client/nodes.ts";
import { ATTEMPT_HEADER } from "../../client/request.ts";
import { problemLine, requireNode } from "../connection.ts";
import { type Content, type Mapping, type Pair, pairOf, RecordError } from "./pair.ts";
import type { SourceRecord } from "./records.ts";
import type { Watermark } from "./resume.ts";

export type ImportOptions = {
  readonly nodes: Nodes;
  readonly mapping: Mapping;
  /** Records in work at once. */
  readonly concurrency: number;
  /** Query of every write, for example `w=2`. */
  readonly query: string;
  /** How long one record is tried. */
  readonly retryForMs: number;
  /** Begins the names of this import's writes. */
  readonly run: string;
  /** Nothing was sent under them before. */
  readonly isNew: boolean;
  /** Records before this one are passed over. */
  readonly from: number;
  readonly watermark: Watermark;
  /** Keeps a record that failed for good; returns whether it is kept. */
  readonly keepFailure: (record: SourceRecord, reason: string) => boolean;
};

/** What has been done so far. */
export type ImportTally = { imported: number; failed: number; retries: number; skipped: number; expired: number };

/** One import: `run` it once; `tally` may be looked at meanwhile. */
export class Importer {
  readonly tally: ImportTally = { imported: 0, failed: 0, retries: 0, skipped: 0, expired: 0 };
  readonly #options: ImportOptions;
  /** Of each key the end of what is in work. */
  readonly #turns = new Map<string, Promise<void>>();
  #failure: unknown;
  #isStopped = false;

  constructor(options: ImportOptions) {
    this.#options = options;
  }

  /**
   * Imports all records.
   *
   * @throws {NoAnswerError | UnavailableError} When one record could not be written for `retryForMs`; CommandError when
   *   what answers is no node; also whatever reading the source throws. Writes that are under way are waited for first.
   */
  async run(records: AsyncGenerator<SourceRecord>): Promise<void> {
    const work = async () => {
      while (!this.#isStopped) {
        const next = await records.next();
        if (next.done === true) return;
        await this.#take(next.value);
      }
    };
    await Promise.all(
      Array.from({ length: this.#options.concurrency }, () => work().catch((error) => this.#fail(error))),
    );
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Takes no further records; `run` ends when those in work are done. */
  stop(): void {
    this.#isStopped = true;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.stop();
  }

  async #take(record: SourceRecord): Promise<void> {
    const { from, mapping } = this.#options;
    if (record.ordinal < from) {
      this.tally.skipped += 1;
      return;
    }
    let pair: Pair;
    try {
      pair = pairOf(record.line, mapping);
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      this.#refuse(record, error.message);
      return;
    }
    await this.#inTurn(pair.key, () => this.#writeAll(record, pair));
  }

  /**
   * Does something with a key after all that was begun with it before: of several records of one key the last one is to
   * stay. Not at all once the import has failed: the next one would write an earlier record again, over this one.
   */
  async #inTurn(key: Uint8Array, work: () => Promise<void>): Promise<void> {
    const name = Buffer.from(key).toString("latin1");
    const before = this.#turns.get(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turns.set(name, promise);
    try {
      await before;
      if (this.#failure === undefined) await work();
    } catch (error) {
      this.#fail(error);
    } finally {
      if (this.#turns.get(name) === promise) this.#turns.delete(name);
      resolve();
    }
  }

  async #writeAll(record: SourceRecord, pair: Pair): Promise<void> {
    const { watermark } = this.#options;
    let written = 0;
    for (const [index, content] of pair.contents.entries()) {
      const answer = await this.#write({ record, key: pair.key, content, index, isBeside: written > 0 });
      if (answer === undefined) continue;
      written += 1;
      if (answer.status < 300) continue;
      this.#refuse(record, `${answer.status}: ${problemLine(answer)}`);
      return;
    }
    if (written > 0) this.tally.imported += 1;
    else this.tally.expired += 1;
    watermark.finish(record.ordinal);
  }

  /** Writes one value; undefined for one that has expired. */
  async #write(write: {
    record: SourceRecord;
    key: Uint8Array;
    content: Content;
    index: number;
    /** It stands beside what of its record was written before. */
    isBeside: boolean;
  }): Promise<Answer | undefined> {
    const { nodes, run, isNew, retryForMs } = this.#options;
    const { record, key, content, index, isBeside } = write;
    const query = this.#query(content, isBeside);
    if (query === undefined) return undefined;
    const answer = await nodes.persist(
      {
        method: "PUT",
        path: kvPath(key, query),
        headers: {
          "content-type": content.contentType,
          "idempotency-key": `${run}.${record.ordinal}.${index}`,
          ...(isNew ? { [ATTEMPT_HEADER]: "1" } : {}),
        },
        body: content.value,
      },
      { forMs: retryForMs, onRetry: this.#onRetry },
    );
    if (answer.status === 429 || answer.status >= 500) throw new UnavailableError(answer);
    return requireNode(answer);
  }

  #query({ expiresAtMs }: Content, isBeside: boolean): string | undefined {
    const parts = this.#options.query === "" ? [] : [this.#options.query];
    if (isBeside) parts.push("blind=sibling");
    if (expiresAtMs !== undefined) {
      const ttlS = Math.ceil((expiresAtMs - Date.now()) / 1000);
      if (ttlS <= 0) return undefined;
      parts.push(`ttl=${ttlS}`);
    }
    return parts.join("&");
  }

  readonly #onRetry = () => {
    this.tally.retries += 1;
  };

  #refuse(record: SourceRecord, reason: string): void {
    this.tally.failed += 1;
    const { watermark, keepFailure } = this.#options;
    if (keepFailure(record, reason)) watermark.finish(record.ordinal);
    else watermark.block();
  }
}

/** The cluster answered, but could not take a write for too long. */
export class UnavailableError extends Error {
  constructor(answer: Answer) {
    super(`${answer.status}: ${problemLine(answer)}`);
  }
}
