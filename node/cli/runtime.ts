/**
 * How a node's process is set up before its program runs: what V8 and the C library read only at a process's start.
 *
 * Left alone, both take memory because the machine has it: V8 lets its young generation grow to 16 MiB a half, glibc
 * keeps an arena for each of LevelDB's and V8's threads. Measured under load, the two settings take a third off the
 * resident size at no more CPU. V8 also shares each small collection among four helper threads; waking them and sorting out
 * who does what cost more than they saved. One is left, for what really takes long: marking, and compiling hot code.
 *
 * And V8 lets its old generation about double before it collects it. Most of the garbage there are records that were
 * cached and then replaced, whose bytes lie outside of the heap. Collecting once it has grown by half took a quarter off
 * what three nodes held of their own after 17,000 writes (203 MiB each to 153), for three large collections in place of two.
 */

const YOUNG_GENERATION = "--max-semi-space-size";

/** Flags of the runtime, before the program's name. */
export const RUNTIME_FLAGS: readonly string[] = [
  `${YOUNG_GENERATION}=8`,
  "--v8-pool-size=1",
  "--heap-growing-percent=50",
];

/** The environment with what the C library reads from it; what is set already stays. */
export function runtimeEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return { MALLOC_ARENA_MAX: "2", ...environment };
}

/**
 * Puts the same program in this process's place, set up as above; the process id stays. Does nothing when that has
 * been done, when somebody chose the flag, when a parent holds a channel to this process (it would be lost: such a
 * parent starts its children with the flags), or where the platform cannot.
 */
export function restartSetUp(): void {
  const { execArgv, argv, env, execPath } = process;
  if (execArgv.some((flag) => flag.startsWith(YOUNG_GENERATION)) || process.channel !== undefined) return;
  if (env.NODE_OPTIONS?.includes(YOUNG_GENERATION) === true || typeof process.execve !== "function") return;
  process.execve(
    execPath,
    [execPath, ...RUNTIME_FLAGS, ...execArgv, ...argv.slice(1)],
    runtimeEnvironment(env) as NodeJS.ProcessEnv,
  );
}
