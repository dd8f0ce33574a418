/** The place of backups that a name stands for. */
import { createDirectory } from "./directory.ts";
import { createObjectStore, parseObjectPlace } from "./object-store.ts";
import type { Place } from "./place.ts";

/** @param where A directory, or `s3://BUCKET/PREFIX`. @throws {CommandError} For an `s3://` that names no bucket. */
export async function openPlace(where: string): Promise<Place> {
  const object = parseObjectPlace(where);
  return object === undefined ? createDirectory(where) : await createObjectStore(where, object);
}
