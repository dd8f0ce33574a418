/**
 * What a store lost of its log when it was opened. LevelDB says it once (told-loss.ts), and has deleted the log by then: so it
 * is marked in the store itself, synced, before anything else is written there. The mark stays until a new incarnation is on
 * the disk, however many processes open the store before. Beside it stays what was marked last: a loss that an earlier opening
 * met, and that is not this one, was not marked by who opened it then.
 */
import { LOSS_KEY, LOSS_KNOWN_KEY } from "../../core/identity.ts";
import type { Telemetry } from "../../ports.ts";
import { storageError } from "./errors.ts";
import type { Level } from "./open.ts";
import { dropToldLoss, toldLoss } from "./told-loss.ts";

/** The losses of one store, as long as this process has it open. */
export class Losses {
  readonly #directory: string;
  readonly #telemetry: Telemetry;
  /** Noticed, and not on the disk yet. */
  #unmarked: string | undefined;

  constructor(directory: string, telemetry: Telemetry) {
    this.#directory = directory;
    this.#telemetry = telemetry;
  }

  /**
   * What is lost since a handle was open last, in LevelDB's words; undefined when nothing is. It is marked when this resolves.
   *
   * @throws {KvError} STORAGE_FAILED, STORAGE_FULL: it is not known, or not marked. To be called again after the next opening.
   */
  async notice(level: Level): Promise<string | undefined> {
    const known = await read(level, LOSS_KNOWN_KEY);
    const told = await toldLoss(this.#directory);
    if (told !== undefined && told !== known && told !== this.#unmarked) {
      this.#telemetry.log("error", "store.log_damaged", { reason: told });
      this.#unmarked = told;
    }
    const lost = this.#unmarked;
    if (lost === undefined) {
      // Not as soon as it is marked: where that failed it would not be known any more that something was found just now.
      if (told !== undefined) await dropToldLoss(this.#directory);
      return undefined;
    }
    try {
      const value = Buffer.from(lost);
      const mark = (key: Uint8Array) => ({ type: "put", key, value }) as const;
      await level.batch([mark(LOSS_KEY), mark(LOSS_KNOWN_KEY)], { sync: true });
    } catch (error) {
      throw storageError("mark that a part of the log is lost", error);
    }
    this.#unmarked = undefined;
    return lost;
  }

  /**
   * What is marked as lost, be it by an earlier process; undefined when nothing is.
   *
   * @throws {KvError} STORAGE_FAILED: it cannot be read.
   */
  marked(level: Level): Promise<string | undefined> {
    return read(level, LOSS_KEY);
  }
}

async function read(level: Level, key: Uint8Array): Promise<string | undefined> {
  try {
    const mark = await level.get(key);
    return mark === undefined ? undefined : Buffer.from(mark).toString();
  } catch (error) {
    throw storageError("read whether a part of the log is lost", error);
  }
}
