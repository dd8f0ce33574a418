/** Backups in a directory: files get their names by renaming, once they and what names them are synced. */
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, EXIT } from "../exit.ts";
import type { Draft, Place } from "./place.ts";

const FOLDERS = ["backups", "layers", "unfinished"] as const;

/** @param directory Is made when there is something to write. */
export function createDirectory(directory: string): Place {
  const pathOf = (name: string) => join(directory, name);

  /** Runs, and says of an error which place it is about. */
  async function using<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      throw new CommandError(`cannot use ${directory}: ${(error as Error).message}`, EXIT.failed);
    }
  }

  async function makeFolders(): Promise<void> {
    for (const folder of FOLDERS) await mkdir(pathOf(folder), { recursive: true });
  }

  async function draft(name: string): Promise<Draft> {
    await makeFolders();
    const path = pathOf(`unfinished/${randomBytes(8).toString("hex")}.new`);
    const file = await open(path, "wx");
    let isOpen = true;
    const close = async () => {
      if (isOpen) await file.close();
      isOpen = false;
    };
    return {
      write: (bytes) => using(() => file.writeFile(bytes)),
      keep: () =>
        using(async () => {
          await file.sync();
          await close();
          await rename(path, pathOf(name));
          await syncFolder(pathOf(folderOf(name)));
        }),
      async discard() {
        await close();
        await rm(path, { force: true });
      },
    };
  }

  return {
    title: directory,
    read: (name) => using(() => unlessMissing(() => readFile(pathOf(name), "utf8"))),
    open: (name, from) =>
      using(async () => {
        const found = await unlessMissing(() => stat(pathOf(name)));
        return found === undefined ? undefined : createReadStream(pathOf(name), { start: from });
      }),
    write: (name, text) =>
      using(async () => {
        const written = await draft(name);
        await written.write(Buffer.from(text));
        await written.keep();
      }),
    draft: (name) => using(() => draft(name)),
    list: (folder) =>
      using(async () => {
        const sizes = new Map<string, number>();
        for (const name of (await unlessMissing(() => readdir(pathOf(folder)))) ?? []) {
          const found = await unlessMissing(() => stat(pathOf(`${folder}/${name}`)));
          if (found?.isFile() === true) sizes.set(`${folder}/${name}`, found.size);
        }
        return sizes;
      }),
    remove: (name) => using(() => rm(pathOf(name), { force: true })),
  };
}

function folderOf(name: string): string {
  return name.slice(0, name.indexOf("/"));
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function unlessMissing<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
