/**
 * Lets a request through, or says 401 or 403: the bearer token of its `Authorization` header against the tokens that
 * the node knows now.
 *
 * The data port asks with every request, so that what a connection presented last is remembered with its answer: the
 * same header again, under the same table, costs a comparison and no digest. Only the connection's own header is ever
 * compared so, from which its sender learns nothing. Nothing here writes a token, or a part of one, anywhere.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type Grant, grantOf, mayDo, mayTouch, type Need, type TokenEntry } from "../../core/access.ts";
import { KvError } from "../../core/errors.ts";

export type Gate = {
  /**
   * Who is asking.
   *
   * @throws {KvError} UNAUTHENTICATED for a header that is no bearer token, or a token that is not known: who shows a
   *   token is never taken for somebody without one.
   */
  admit(request: IncomingMessage): Grant;
  /** @throws {KvError} UNAUTHENTICATED without a token, FORBIDDEN with one, when that is not enough. */
  demand(grant: Grant, need: Need): void;
  /** The same for one key. */
  demandKey(grant: Grant, key: Uint8Array, isWrite: boolean): void;
};

/** The tokens that a node knows. A new table, not a changed one, when they change. */
export type TokenSource = { readonly table: () => readonly TokenEntry[] };

type Remembered = { readonly header: string; readonly table: readonly TokenEntry[]; readonly grant: Grant };

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{1,512}=*)$/i;

/** @param anonymous The rights of everybody, with a token or without. */
export function createGate(source: TokenSource, anonymous: Grant): Gate {
  const remembered = new WeakMap<Socket, Remembered>();

  function refuse(grant: Grant, what: string, right: string): never {
    if (grant === anonymous) {
      throw new KvError("UNAUTHENTICATED", `Cannot ${what}: expected a bearer token, found no Authorization header.`);
    }
    throw new KvError("FORBIDDEN", `Cannot ${what}: expected a token with ${right}, found one without.`);
  }

  return {
    admit(request) {
      const header = request.headers.authorization;
      if (header === undefined) return anonymous;
      const table = source.table();
      const last = remembered.get(request.socket);
      if (last !== undefined && last.table === table && last.header === header) return last.grant;
      const token = BEARER.exec(header)?.[1];
      const grant = token === undefined ? undefined : grantOf(table, token);
      if (grant === undefined) {
        throw new KvError("UNAUTHENTICATED", "Cannot take the request: expected a bearer token that is known here.");
      }
      remembered.set(request.socket, { header, table, grant });
      return grant;
    },
    demand(grant, need) {
      if (!mayDo([grant, anonymous], need)) refuse(grant, ...WHAT[need]);
    },
    demandKey(grant, key, isWrite) {
      if (mayTouch(grant, key, isWrite) || mayTouch(anonymous, key, isWrite)) return;
      if (isWrite) refuse(grant, "write this key", 'data "read-write" for it');
      refuse(grant, "read this key", 'data "read" for it');
    },
  };
}

/** What a caller wanted, and the right that it takes, in the words of the file of tokens. */
const WHAT: Readonly<Record<Need, readonly [what: string, right: string]>> = {
  open: ["answer", "any right"],
  monitor: ["show the cluster", 'cluster "monitor"'],
  admin: ["change the cluster", 'cluster "admin"'],
  "read-all": ["read all keys", 'data "read" and no prefixes'],
  "read-some": ["read any key", 'data "read"'],
  restore: ["change the cluster and write all keys", 'cluster "admin", data "read-write" and no prefixes'],
};
