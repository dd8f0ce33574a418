/**
 * Undoes what a test did to the machine (namespaces, cables, mounts, the processes inside), however the test ends.
 *
 * Each command that undoes something is handed, before the deed, to a shell in a session of its own. Once that shell's
 * input ends it runs them, the last one first: when the test says so, and just the same when the test's process dies.
 * An exit handler would not do, for Jest runs none of a test file's, and after SIGKILL nobody runs any.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** Collects lines until the input ends; then runs each, the newest first, and goes on whatever one of them says. */
const SHELL = `
set -u
undo=
while IFS= read -r line; do
  undo="$line
$undo"
done
failed=0
while IFS= read -r line; do
  [ -z "$line" ] || sh -c "$line" </dev/null || { echo "failed: $line" >&2; failed=1; }
done <<END
$undo
END
exit $failed`;

export class Undo {
  readonly #shell: ChildProcess;
  #complaints = "";

  constructor() {
    this.#shell = spawn("sh", ["-c", SHELL], { detached: true, stdio: ["pipe", "ignore", "pipe"] });
    this.#shell.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#complaints += text;
    });
  }

  /**
   * Remembers how to undo what is done next.
   *
   * @param command One line of shell, which succeeds too when the deed was never done.
   */
  with(command: string): void {
    assert(!command.includes("\n"), "what undoes something is one line");
    this.#shell.stdin?.write(`${command}\n`);
  }

  /** Undoes everything. Throws when something could not be undone. */
  async run(): Promise<void> {
    const ended = once(this.#shell, "close");
    this.#shell.stdin?.end();
    const [exitCode] = await ended;
    assert.equal(exitCode, 0, `this machine is not as it was before the test: ${this.#complaints}`);
  }
}

/** A word for the shell, taken as it stands. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
