/**
 * Builds of other releases, for members of several releases in one cluster.
 *
 * The next release is this one as it will have changed by then: it speaks one more protocol version, and says more than this
 * one knows at the end of its hellos and its messages. The one before is the checkout's last tag, when it has one.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkoutDirectory } from "../bench/processes.ts";

/** What to change in a compiled file, each found exactly once. */
type Edit = readonly [path: string, find: string, put: string];

/** Fields of a release to come, at the end of a hello and of each message. */
const SAYS_MORE: readonly Edit[] = [
  ["messages.js", "PROTOCOL = { newest: 1, oldest: 1 }", "PROTOCOL = { newest: 2, oldest: 1 }"],
  ["adapters/tcp/handshake.js", "sequence, oldest, ...says];", 'sequence, oldest, ...says, "more"];'],
  ["adapters/tcp/link.js", "encodeRequest(request)", "[...encodeRequest(request), null]"],
];

/** A data directory of a form that this release does not know. */
const STORES_OTHERWISE: readonly Edit[] = [
  ["core/identity.js", "DIRECTORY_FORMAT_VERSION = 2", "DIRECTORY_FORMAT_VERSION = 3"],
];

/** The release to come whose members go with this one's; gives the directory of its build. */
export function nextRelease(): string {
  return edited("next-release", SAYS_MORE);
}

/** A release to come that writes data directories of a new format. */
export function nextFormat(): string {
  return edited("next-format", STORES_OTHERWISE);
}

/** The release of the last tag before this commit, compiled; undefined when there is no tag. */
export function previousRelease(): { readonly tag: string; readonly directory: string } | undefined {
  const git = (...args: readonly string[]) =>
    execFileSync("git", args, {
      cwd: checkoutDirectory(),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  const tag = git("tag", "--merged", "HEAD^", "--list", "v*", "--sort=-version:refname").split("\n")[0];
  if (tag === undefined || tag === "") return undefined;
  const directory = join(checkoutDirectory(), ".annulus", `release-${git("rev-parse", `${tag}^{commit}`)}`);
  if (!existsSync(join(directory, "dist/.built"))) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const archive = execFileSync("git", ["archive", tag], { cwd: checkoutDirectory(), maxBuffer: 1 << 30 });
    execFileSync("tar", ["-x", "-C", directory], { input: archive });
    mkdirSync(join(directory, ".annulus"), { recursive: true });
    execFileSync("sh", [".ci/setup"], { cwd: directory, stdio: ["ignore", "ignore", "inherit"] });
  }
  return { tag, directory };
}

function edited(name: string, edits: readonly Edit[]): string {
  const directory = join(checkoutDirectory(), ".annulus", name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(join(directory, "dist"), { recursive: true });
  cpSync(join(checkoutDirectory(), "dist/node"), join(directory, "dist/node"), { recursive: true });
  symlinkSync(join(checkoutDirectory(), "node_modules"), join(directory, "node_modules"));
  cpSync(join(checkoutDirectory(), "package.json"), join(directory, "package.json"));
  for (const [path, find, put] of edits) {
    const file = join(directory, "dist/node", path);
    const parts = readFileSync(file, "utf8").split(find);
    assert.equal(parts.length, 2, `${path} has once: ${find}`);
    writeFileSync(file, parts.join(put));
  }
  return directory;
}
