/**
 * Readers of the settings whose text has a structure of its own: addresses and lists of members.
 *
 * Each takes the text of one environment variable and returns the value or what is wrong with it, as a sentence's
 * end ("expected ..., found ..."); `config.ts` puts the variable's name before it. Nothing here reads the environment.
 */
import { KvError } from "./core/errors.ts";
import type { RingMember } from "./core/ring/document.ts";
import { parseFirstMembers } from "./core/ring/first-members.ts";

/** A value that was read, or what is wrong with the text. */
export type Reading<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

export const MEMBER_NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
export const ZONE_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
export const WEIGHT_DEFAULT = 100;
export const WEIGHT_MAX = 10_000;
export const ZONE_DEFAULT = "default";

/** Variables of the prefix ANNULUS_ that belong to the command line, or name the file: no setting of a node. */
export const OTHER_NAMES: readonly string[] = [
  "CONFIG",
  "URL",
  "ADMIN_URL",
  "CA_FILE",
  "CERTIFICATE_FILE",
  "KEY_FILE",
  "TOKEN",
  "TOKEN_FILE",
].map((name) => `ANNULUS_${name}`);

/** A name or IPv4 address, or an IPv6 address in brackets; then the port. */
const ADDRESS = /^(?<host>[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.%]+\]):(?<port>\d{1,5})$/;

/** Reads `host:port`; an IPv6 host stands in brackets. Port 1 .. 65535. */
export function readAddress(text: string): Reading<string> {
  const match = ADDRESS.exec(text);
  const port = Number(match?.groups?.port);
  if (match === null || !(port >= 1 && port <= 65_535)) {
    return { ok: false, problem: `expected host:port with a port from 1 to 65535, found "${text}"` };
  }
  return { ok: true, value: text };
}

/** Reads `host:port,host:port`. Empty text is an empty list; no address may stand twice. */
export function readAddresses(text: string): Reading<readonly string[]> {
  const addresses: string[] = [];
  for (const part of parts(text)) {
    const address = readAddress(part);
    if (!address.ok) return address;
    if (addresses.includes(part)) return { ok: false, problem: `expected each address once, found "${part}" twice` };
    addresses.push(part);
  }
  return { ok: true, value: addresses };
}

/**
 * Reads `name=host:peerPort@zone*weight,...`; zone and weight may be left out. Empty text is an empty list.
 */
export function readMembers(text: string): Reading<readonly RingMember[]> {
  const entries = parts(text);
  if (entries.length === 0) return { ok: true, value: [] };
  try {
    const members = parseFirstMembers(entries.join(","));
    const addresses = new Set(members.map((member) => member.address));
    if (addresses.size === members.length) return { ok: true, value: members };
    return { ok: false, problem: `expected another address for each member, found "${text}"` };
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    return { ok: false, problem: error.message };
  }
}

function parts(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** The name among `known` that somebody who wrote `name` probably meant, or undefined when none is near. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 4)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions and substitutions between two texts (Levenshtein 1966), by rows. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, substituted));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
