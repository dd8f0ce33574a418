/**
 * Damages that were met and could not be set aside yet, because the disk is full: each look at one meets it again.
 *
 * A damage begins one new incarnation. With one for each look a member of a full disk began thousands, each of which is an
 * entry in the context of every key that it stamps.
 */
import { checksumOf } from "../core/version/checksum.ts";
import { keyName } from "./record-store.ts";

export type Damages = {
  /**
   * Does what is to be done once for a damage; not again while the same bytes lie there and have not been forgotten.
   *
   * @param at Storage key of what is damaged.
   * @param begin When it rejects, the next look begins anew.
   */
  once(at: Uint8Array, bytes: Uint8Array, begin: () => Promise<void>): Promise<void>;
  /** It was set aside: what is damaged there from now on is another damage. */
  forget(at: Uint8Array): void;
};

/** Knows of nothing yet: a process that starts with a full disk begins once more. */
export function createDamages(): Damages {
  const begun = new Map<string, { readonly checksum: number; readonly done: Promise<void> }>();
  return {
    async once(at, bytes, begin) {
      const name = keyName(at);
      const checksum = checksumOf(bytes, 0);
      const known = begun.get(name);
      if (known?.checksum === checksum) return known.done;
      const done = begin();
      begun.set(name, { checksum, done });
      try {
        await done;
      } catch (error) {
        begun.delete(name);
        throw error;
      }
    },
    forget(at) {
      begun.delete(keyName(at));
    },
  };
}
