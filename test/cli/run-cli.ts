/** Runs the program `annulus` from its sources, as a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../../node/cli/main.ts", import.meta.url));

/** Spares each run most of what compiling the sources takes. */
const COMPILE_CACHE = join(tmpdir(), "annulus-test-compile-cache");

export type Finished = { readonly exitCode: number | null; readonly stdout: Buffer; readonly stderr: string };

/** Runs one command to its end. Only the given variables of the prefix ANNULUS_ are set. */
export async function runCli(
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly input?: string | Uint8Array } = {},
): Promise<Finished> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("ANNULUS_") && name !== "NODE_OPTIONS",
  );
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { ...Object.fromEntries(inherited), NODE_COMPILE_CACHE: COMPILE_CACHE, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end(options.input ?? "");
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, "close")]);
  return { exitCode: child.exitCode, stdout, stderr: stderr.toString() };
}
