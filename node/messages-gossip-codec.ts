/**
 * Gossip as a flat array: one field with all entries, packed; see messages-codec.ts.
 *
 *   count, then of each entry: name, generation, heartbeat, flags, count of suspects, their names
 *
 * Numbers are varints, names are a length and ASCII.
 */
import { KvError } from "./core/errors.ts";
import type { MemberNews } from "./core/membership/news.ts";
import { bytesOfText, varintSize, WireReader, writeVarint } from "./core/version/wire.ts";

/** Bounds of a packed gossip, the same for what is sent and what is taken. */
export const GOSSIP_BOUNDS = { entriesMax: 64, suspectsMax: 64, nameBytesMax: 63 } as const;

const IS_LEAVING = 1;
/** Least that a name, and an entry, takes. */
const NAME_BYTES_MIN = 2;
const ENTRY_BYTES_MIN = NAME_BYTES_MIN + 4;
const NAME = /^[a-z0-9.-]{1,63}$/;

/** Entries as one byte string. Whoever has more suspects than fit tells the first ones. */
export function packNews(entries: readonly MemberNews[]): Uint8Array {
  const names = (news: MemberNews) => news.suspects.slice(0, GOSSIP_BOUNDS.suspectsMax);
  let size = varintSize(entries.length);
  for (const news of entries) {
    size += nameSize(news.name) + varintSize(news.generation) + varintSize(news.heartbeat) + 1;
    size += varintSize(names(news).length);
    for (const name of names(news)) size += nameSize(name);
  }
  const packed = new Uint8Array(size);
  let at = writeVarint(packed, 0, entries.length);
  for (const news of entries) {
    at = writeName(packed, at, news.name);
    at = writeVarint(packed, at, news.generation);
    at = writeVarint(packed, at, news.heartbeat);
    packed[at++] = news.isLeaving ? IS_LEAVING : 0;
    at = writeVarint(packed, at, names(news).length);
    for (const name of names(news)) at = writeName(packed, at, name);
  }
  return packed;
}

/**
 * Reads what a peer packed.
 *
 * @throws {KvError} INVALID_REQUEST for anything but what `packNews` makes.
 */
export function unpackNews(packed: unknown): MemberNews[] {
  if (!(packed instanceof Uint8Array)) throw malformed("it is no byte string");
  const reader = new WireReader(packed, 0, malformed);
  const count = reader.count(ENTRY_BYTES_MIN);
  if (count > GOSSIP_BOUNDS.entriesMax) throw malformed(`it has ${count} entries`);
  const entries = Array.from({ length: count }, () => readEntry(reader));
  reader.end();
  return entries;
}

function readEntry(reader: WireReader): MemberNews {
  const name = readName(reader);
  const generation = reader.varint();
  const heartbeat = reader.varint();
  const flags = reader.byte();
  if (flags > IS_LEAVING) throw malformed("its flags are unknown");
  const suspectCount = reader.count(NAME_BYTES_MIN);
  if (suspectCount > GOSSIP_BOUNDS.suspectsMax) throw malformed(`it has ${suspectCount} suspects`);
  const suspects = Array.from({ length: suspectCount }, () => readName(reader));
  return { name, generation, heartbeat, isLeaving: flags === IS_LEAVING, suspects };
}

function nameSize(name: string): number {
  return 1 + name.length;
}

function writeName(out: Uint8Array, at: number, name: string): number {
  out[at] = name.length;
  out.set(bytesOfText(name), at + 1);
  return at + 1 + name.length;
}

function readName(reader: WireReader): string {
  const name = reader.text(reader.byte());
  if (!NAME.test(name)) throw malformed("a name is none of a member");
  return name;
}

function malformed(reason: string): KvError {
  return new KvError("INVALID_REQUEST", `Cannot read a peer's gossip: ${reason}.`);
}
