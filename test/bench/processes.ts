/**
 * Server processes of a bench or a process test: started, watched through /proc, stopped by their own id.
 *
 * A process that this program started never outlives it: what still runs at exit is killed.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";

/** Clock ticks a second in /proc; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const STOP_TIMEOUT_MS = 10_000;
const OUTPUT_CHARACTERS_MAX = 100_000;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** The checkout that this file is in, whether compiled or not. */
export function checkoutDirectory(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, "package.json"))) directory = dirname(directory);
  return directory;
}

export class ServerProcess {
  readonly pid: number;
  /** Settles with how it ended. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  #output = "";
  #over = false;

  /**
   * Starts `node ...args` with the given environment besides `PATH`.
   *
   * @param namespace The network namespace to start it in; this process's own when absent.
   */
  constructor(args: readonly string[], environment: Readonly<Record<string, string>> = {}, namespace?: string) {
    // `ip` becomes the program that it starts, so that its process id is the node's.
    const [program, ...before] =
      namespace === undefined
        ? ([process.execPath] as const)
        : (["ip", "netns", "exec", namespace, process.execPath] as const);
    this.#child = spawn(program, [...before, ...args], {
      env: { PATH: process.env.PATH ?? "", ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    assert(this.#child.pid !== undefined, `cannot start ${args.join(" ")}`);
    this.pid = this.#child.pid;
    running.add(this.#child);
    const { promise, resolve } = Promise.withResolvers<string>();
    this.ended = promise;
    this.#child.once("exit", (code, signal) => {
      this.#over = true;
      running.delete(this.#child);
      resolve(signal ?? `exit code ${code}`);
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_CHARACTERS_MAX);
      });
    }
  }

  /** The end of what it wrote to both its outputs. */
  get output(): string {
    return this.#output;
  }

  get hasEnded(): boolean {
    return this.#over;
  }

  /** Asks it to stop and waits; kills it when it hangs, and says so with false. */
  async stop(): Promise<boolean> {
    if (this.#over) return true;
    let clean = true;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => {
      clean = false;
      this.#child.kill("SIGKILL");
    }, STOP_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
    return clean;
  }

  /** Kills it without warning; `ended` tells when it is gone. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Stops it where it stands (SIGSTOP), until `resume`. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  /** Lets it go on. */
  resume(): void {
    this.#child.kill("SIGCONT");
  }
}

/** CPU time that a process (all its threads, in user and kernel mode) has used so far, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The second field is the program's name in brackets and may hold anything, blanks too.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/**
 * Resident memory of a process in bytes: all of it, and the part that is its own. The rest mirrors files (the program,
 * tables that LevelDB maps), which the system takes back without asking when memory runs short.
 */
export type Memory = { readonly residentBytes: number; readonly anonymousBytes: number };

/** The memory of a process at this moment. */
export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
  return { residentBytes: field("VmRSS"), anonymousBytes: field("RssAnon") };
}

/**
 * Finds ports that nobody listens on.
 *
 * They lie under the range from which the system takes ports for outgoing connections: otherwise, while a killed
 * server is down, a client's own socket could take the place it needs at its restart.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (!ports.has(port) && (await canListen(port))) ports.add(port);
  }
  return [...ports];
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Resolves after `delayMs` of real time: what is waited for here are other processes. */
export function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
