/** `annulus local` as a child process of a test: what it prints, its nodes' process ids, a place for it on this machine. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkoutDirectory } from "../bench/processes.ts";
import { isFree } from "./ports.ts";

/** The program `annulus` as it was built. */
export const PROGRAM = join(checkoutDirectory(), "dist/node/cli/main.js");
const PATIENCE_MS = 30_000;
const POLL_MS = 20;
const NAMES = ["n1", "n2", "n3"];

/** Where a cluster is, and its nodes' data. */
export type LocalPlace = { readonly data: string; readonly basePort: number };

/** One run of `annulus local`. */
export class LocalRun {
  output = "";
  readonly child: ChildProcess;
  readonly #data: string;

  /** @param place Its directory and the data port of its first node. */
  constructor(place: LocalPlace, args: readonly string[] = [], environment: NodeJS.ProcessEnv = {}) {
    this.#data = place.data;
    const where = ["--data", place.data, "--base-port", String(place.basePort)];
    this.child = spawn(process.execPath, [PROGRAM, "local", ...where, ...args], {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
    }
  }

  /** Waits until the output holds the text, from the given place on. */
  async says(text: string, from = 0): Promise<void> {
    await until(
      () => this.output.includes(text, from),
      () => `it did not say "${text}":\n${this.output}`,
    );
  }

  /** The process ids of the nodes that run. */
  pids(): Map<string, number> {
    const files = NAMES.map((name) => [name, join(this.#data, name, "pid")] as const);
    return new Map(files.flatMap(([name, file]) => (existsSync(file) ? [[name, Number(readFileSync(file))]] : [])));
  }

  /** Waits for its end; resolves to its exit code. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "close");
    return this.child.exitCode;
  }
}

/** Waits until something is so; fails with the complaint when it is not in half a minute. */
export async function until(isTrue: () => boolean | Promise<boolean>, complaint: () => string): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    assert.ok(performance.now() < untilMs, complaint());
    await sleep(POLL_MS);
  }
}

/** A base port such that the ports of so many nodes are free. */
export async function freeBasePort(nodeCount = 3): Promise<number> {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 4_000) * 10;
    const firsts = Array.from({ length: nodeCount }, (_, index) => base + index * 10);
    const ports = firsts.flatMap((first) => [first, first + 1, first + 2]);
    const free = await Promise.all(ports.map(isFree));
    if (free.every(Boolean)) return base;
  }
}
