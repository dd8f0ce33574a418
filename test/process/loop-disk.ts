/** A small disk of its own for one node: an ext4 image on a loop device, which can be filled and emptied. Takes root. */
import { execFile } from "node:child_process";
import { open, statfs, unlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { quoted, type Undo } from "./undo.ts";

const MEBIBYTE = 1_048_576;

const run = promisify(execFile);

export class LoopDisk {
  /** Where it is mounted. */
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /**
   * Makes and mounts it; `undo` unmounts it and removes image and mount point.
   *
   * @param directory Does not exist yet; the image is made beside it.
   */
  static async create(undo: Undo, directory: string, mebibytes: number): Promise<LoopDisk> {
    const image = `${directory}.ext4`;
    undo.with(`rm -f ${quoted(image)}`);
    const file = await open(image, "wx");
    await file.truncate(mebibytes * MEBIBYTE);
    await file.close();
    await run("mkfs.ext4", ["-q", "-m", "0", image]);
    undo.with(`[ ! -e ${quoted(directory)} ] || rmdir ${quoted(directory)}`);
    await run("mkdir", [directory]);
    undo.with(`! mountpoint -q ${quoted(directory)} || umount ${quoted(directory)}`);
    await run("mount", ["-o", "loop", image, directory]);
    return new LoopDisk(directory);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.directory);
    return bavail * bsize;
  }

  /** Somebody else's file, which leaves about so much of the disk. */
  async fillExcept(leftBytes: number): Promise<void> {
    const file = await open(this.#otherFile, "a");
    const block = new Uint8Array(MEBIBYTE);
    try {
      for (let free = await this.freeBytes(); free > leftBytes; free = await this.freeBytes())
        await file.write(block, 0, Math.min(block.length, free - leftBytes));
    } finally {
      await file.close();
    }
  }

  /** Takes that file away. */
  async empty(): Promise<void> {
    await unlink(this.#otherFile);
  }

  get #otherFile(): string {
    return join(this.directory, "somebody-elses-file");
  }
}
