/** kubectl and helm as child processes: the tests do what a user does, and read what a user reads. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import type { KubeObject } from "../../operator/core/objects.ts";

export type Ran = { readonly code: number; readonly out: string; readonly err: string };

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** Runs a program to its end; `input` goes to its standard input. */
export function run(program: string, args: readonly string[], input = ""): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], { maxBuffer: OUTPUT_BYTES_MAX }, (error, out, err) => {
      if (error !== null && typeof error.code !== "number") return reject(error);
      resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err });
    });
    // Who reads no input may have ended before it is given any: how it went is told by its code.
    child.stdin?.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") reject(error);
    });
    child.stdin?.end(input);
  });
}

/** Runs kubectl; fails the test when it fails. */
export async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const ran = await run("kubectl", args, input);
  assert.equal(ran.code, 0, `kubectl ${args.join(" ")}: ${ran.err}`);
  return ran.out;
}

/** Runs helm; fails the test when it fails. */
export async function helm(...args: string[]): Promise<string> {
  const ran = await run("helm", args);
  assert.equal(ran.code, 0, `helm ${args.join(" ")}: ${ran.err}`);
  return ran.out;
}

/** Applies manifests as a user does; resolves with what kubectl said. */
export function apply(...objects: readonly object[]): Promise<Ran> {
  return run("kubectl", ["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
}

/** An object as it is now. */
export async function get(
  namespace: string,
  kind: string,
  name: string,
  ...options: string[]
): Promise<KubeObject | undefined> {
  const text = await kubectl(["-n", namespace, "get", kind, name, "--ignore-not-found", "-o", "json", ...options]);
  return text === "" ? undefined : (JSON.parse(text) as KubeObject);
}

/** All objects of a kind in a namespace. */
export async function list(namespace: string, kind: string, ...options: string[]): Promise<KubeObject[]> {
  const text = await kubectl(["-n", namespace, "get", kind, "-o", "json", ...options]);
  return (JSON.parse(text) as { items: KubeObject[] }).items;
}

/** Asks once a second until `done` gives something. */
export async function until<T>(
  what: string,
  seconds: number,
  done: () => Promise<T | undefined | false>,
  explain: () => Promise<string> = async () => "",
): Promise<T> {
  const endMs = performance.now() + seconds * 1000;
  for (;;) {
    const found = await done();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > endMs) assert.fail(`not within ${seconds} s: ${what}\n${await explain()}`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Makes a namespace for one test file, with the restricted Pod Security Standard enforced. */
export async function makeNamespace(name: string): Promise<void> {
  await kubectl(["delete", "namespace", name, "--ignore-not-found", "--wait=true"]);
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  const ran = await apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  assert.equal(ran.code, 0, ran.err);
}
