/**
 * One node of a local cluster as a child process: started, watched, started again when it dies, stopped.
 *
 *   running ──died──> pausing ──pause over──> running
 *      └────────────────┴──── stop() ────> stopped
 *
 * Where it is not to be started again, a node that died stays so until `stop`.
 *
 * The child has an open channel to this process and stops by itself when that closes: however this process ends, its
 * nodes do not outlive it.
 */
import { type ChildProcess, fork } from "node:child_process";
import type { Readable } from "node:stream";
import { RUNTIME_FLAGS, runtimeEnvironment } from "../runtime.ts";

export type NodeProcessOptions = {
  /** The program and its arguments, run by this process's own runtime. */
  readonly program: string;
  readonly arguments: readonly string[];
  /** Asked for at each start. */
  readonly environment: () => Readonly<Record<string, string | undefined>>;
  /** Takes each line that the node writes. */
  readonly onLine: (line: string) => void;
  /** Whether it is started again when it dies. */
  readonly isRestarted: boolean;
  /** A process runs the node: at the start, and each time it is started again. */
  readonly onStart: (pid: number) => void;
  /** The process is gone, however it ended. */
  readonly onEnd: () => void;
  /** The node ended without having been stopped; it is started again after `pauseMs`; undefined: it is not. */
  readonly onDeath: (how: string, pauseMs: number | undefined) => void;
  /** The node will not start: its settings or its machine are wrong, and would be the next time. */
  readonly onRefusal: () => void;
};

const PAUSE_MS_FIRST = 500;
const PAUSE_MS_MAX = 10_000;
/** A node that ran this long is taken for sound: its next death begins with a short pause again. */
const SOUND_AFTER_MS = 30_000;
/** Exit codes with which a node says that starting it again is no use: wrong settings, or something it needs is taken. */
const REFUSALS: ReadonlySet<number | null> = new Set([1, 78]);

/** A node that is kept running from `start` until `stop`. */
export class NodeProcess {
  readonly #options: NodeProcessOptions;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = PAUSE_MS_FIRST;
  #isStopping = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: NodeProcessOptions) {
    this.#options = options;
  }

  start(): void {
    const child = fork(this.#options.program, [...this.#options.arguments], {
      env: runtimeEnvironment(this.#options.environment()) as NodeJS.ProcessEnv,
      execArgv: [...process.execArgv, ...RUNTIME_FLAGS],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#child = child;
    if (child.pid !== undefined) this.#options.onStart(child.pid);
    const startedMs = performance.now();
    for (const stream of [child.stdout, child.stderr]) if (stream !== null) forEachLine(stream, this.#options.onLine);
    this.#ended = new Promise((resolve) => {
      child.once("error", (error) => this.#options.onLine(`cannot be started: ${error.message}`));
      child.once("close", (code, signal) => {
        this.#child = undefined;
        this.#options.onEnd();
        resolve();
        if (!this.#isStopping) this.#onEnd(code, signal, performance.now() - startedMs);
      });
    });
  }

  /** The process id while it runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Asks the node to stop, and kills it when it has not within `patienceMs`. Resolves when it is gone. */
  async stop(patienceMs: number): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
    await this.#ended;
    clearTimeout(timer);
  }

  #onEnd(code: number | null, signal: NodeJS.Signals | null, ranMs: number): void {
    if (REFUSALS.has(code)) {
      this.#options.onRefusal();
      return;
    }
    if (ranMs > SOUND_AFTER_MS) this.#pauseMs = PAUSE_MS_FIRST;
    const how = signal === null ? `exit code ${code}` : signal;
    if (!this.#options.isRestarted) return this.#options.onDeath(how, undefined);
    this.#options.onDeath(how, this.#pauseMs);
    this.#timer = setTimeout(() => this.start(), this.#pauseMs);
    this.#pauseMs = Math.min(PAUSE_MS_MAX, this.#pauseMs * 2);
  }
}

function forEachLine(stream: Readable, take: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  });
  stream.on("end", () => {
    if (rest !== "") take(rest);
  });
}
