/** What the program does where its output has no room. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, it, jest } from "@jest/globals";

/** The program is started, which takes long on a busy machine. */
jest.setTimeout(60_000);

const PROGRAM = fileURLToPath(new URL("../../node/cli/main.ts", import.meta.url));
/** Takes nothing, as a disk that is full. Linux has it. */
const FULL = "/dev/full";

describe("standard output that has no room", () => {
  it("is told in a line, and the command has failed", async () => {
    if (!existsSync(FULL)) return;
    const full = openSync(FULL, "w");
    try {
      const env = { PATH: process.env.PATH, ANNULUS_URL: "http://127.0.0.1:1" };
      const child = spawn(process.execPath, [PROGRAM, "--help"], { stdio: ["ignore", full, "pipe"], env });
      const [stderr] = await Promise.all([text(child.stderr as NodeJS.ReadableStream), once(child, "close")]);
      assert.deepEqual(
        [child.exitCode, /^annulus: cannot write the output: ENOSPC[^\n]*\n$/.test(stderr)],
        [1, true],
        stderr,
      );
    } finally {
      closeSync(full);
    }
  });
});
