/**
 * Where backups are: a flat store of named files, as a directory and an object store both are one.
 *
 * Names have one folder, `layers/00012-….jsonl`. A file appears under its name whole or not at all, once its bytes would
 * survive the loss of power, and is never changed after; only `unfinished/begun.json` is written anew.
 */
import type { Readable } from "node:stream";

/** A file that is being written, and is not there yet. */
export type Draft = {
  write(bytes: Uint8Array): Promise<void>;
  /** Lets it appear under its name. */
  keep(): Promise<void>;
  /** Throws away what was written; does nothing once it has appeared. */
  discard(): Promise<void>;
};

/** Every function may throw a `CommandError` that names the place. */
export type Place = {
  /** As the user named it. */
  readonly title: string;
  /** A small file's text; undefined when there is none. */
  read(name: string): Promise<string | undefined>;
  /** The bytes of a file from `from` on; undefined when there is none. */
  open(name: string, from: number): Promise<Readable | undefined>;
  /** Writes a small file. */
  write(name: string, text: string): Promise<void>;
  draft(name: string): Promise<Draft>;
  /** All files of a folder with their sizes in bytes, in any order. */
  list(folder: Folder): Promise<ReadonlyMap<string, number>>;
  /** Does nothing where there is none. */
  remove(name: string): Promise<void>;
};

export type Folder = "backups" | "layers" | "unfinished";

/** All that `stream` gives. */
export async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
