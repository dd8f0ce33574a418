/**
 * What a store lost of its log when it was opened. LevelDB says it once, in a file that the next opening replaces, and has
 * deleted the log by then: so it is marked in the store itself, synced, before anything else is written there. The mark
 * stays until a new incarnation is on the disk, however many processes open the store before.
 */
import { LOSS_KEY } from "../../core/identity.ts";
import type { Telemetry } from "../../ports.ts";
import { storageError } from "./errors.ts";
import { type Level, lostAtOpening } from "./open.ts";

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
    const found = await lostAtOpening(this.#directory);
    if (found !== undefined) {
      this.#telemetry.log("error", "store.log_damaged", { reason: found });
      this.#unmarked = found;
    }
    const lost = this.#unmarked;
    if (lost === undefined) return undefined;
    try {
      await level.batch([{ type: "put", key: LOSS_KEY, value: Buffer.from(lost) }], { sync: true });
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
  async marked(level: Level): Promise<string | undefined> {
    try {
      const mark = await level.get(LOSS_KEY);
      return mark === undefined ? undefined : Buffer.from(mark).toString();
    } catch (error) {
      throw storageError("read whether a part of the log is lost", error);
    }
  }
}
