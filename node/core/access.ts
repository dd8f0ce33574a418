/**
 * Who may do what: rights, and the tokens that carry them.
 *
 * A token is a secret of high entropy, so that one round of SHA-256 hides it as well as a slow hash would; the table
 * holds digests only, and a token is looked up by comparing its digest with every one of the table in constant time.
 * A caller without a token has the rights that the node gives to everybody, and one with a token has these besides its own:
 * showing a token takes nothing away. Rights on keys and on the cluster do not contain each other: who changes the ring
 * need not read the data, and the reverse.
 *
 * Not here: where tokens come from (`adapters/http/token-file.ts`), and which request needs what.
 */
import { hash, timingSafeEqual } from "node:crypto";

/** What a caller may do with keys. `read-write` contains `read`. */
export type DataRight = "none" | "read" | "read-write";

/** What a caller may do on the admin port. `admin` contains `monitor`. */
export type ClusterRight = "none" | "monitor" | "admin";

/** The rights of one caller. */
export type Grant = {
  /** For the log; never a secret. */
  readonly name: string;
  readonly data: DataRight;
  /** Keys begin with one of these; undefined: every key. */
  readonly prefixes: readonly Uint8Array[] | undefined;
  readonly cluster: ClusterRight;
};

/** One entry of the table. */
export type TokenEntry = {
  /** SHA-256 of the token's UTF-8 text, 32 bytes. */
  readonly digest: Uint8Array;
  readonly grant: Grant;
};

/**
 * What a route without a key needs: nothing; a look at the cluster; a change of it; reading every key; reading some; taking
 * records as a backup has them, which needs both the right to change the cluster and the right to write every key: a record
 * that was made up could cover writes that are still to come.
 */
export type Need = "open" | "monitor" | "admin" | "read-all" | "read-some" | "restore";

/** The SHA-256 of a token, 32 bytes. */
export function digestOf(token: string): Uint8Array {
  return hash("sha256", token, "buffer");
}

/** The grant of a token, or undefined. Takes as long for every token, known or not, as the table is long. */
export function grantOf(table: readonly TokenEntry[], token: string): Grant | undefined {
  const digest = digestOf(token);
  let found: Grant | undefined;
  for (const entry of table) if (timingSafeEqual(entry.digest, digest)) found = entry.grant;
  return found;
}

/** Whether a caller may do what a route needs, with all its grants together. */
export function mayDo(grants: readonly Grant[], need: Need): boolean {
  const some = (right: (grant: Grant) => boolean) => grants.some(right);
  switch (need) {
    case "open":
      return true;
    case "monitor":
      return some(({ cluster }) => cluster !== "none");
    case "admin":
      return some(isAdmin);
    case "read-some":
      return some(({ data }) => data !== "none");
    case "read-all":
      return some(({ data, prefixes }) => data !== "none" && prefixes === undefined);
    case "restore":
      return some(isAdmin) && some(({ data, prefixes }) => data === "read-write" && prefixes === undefined);
  }
}

function isAdmin({ cluster }: Grant): boolean {
  return cluster === "admin";
}

/** Whether a grant is enough to read (or write) a key. */
export function mayTouch(grant: Grant, key: Uint8Array, isWrite: boolean): boolean {
  if (grant.data === "none" || (isWrite && grant.data !== "read-write")) return false;
  return grant.prefixes === undefined || grant.prefixes.some((prefix) => beginsWith(key, prefix));
}

function beginsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && prefix.every((byte, index) => key[index] === byte);
}
