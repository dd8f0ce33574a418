/** A node's process is set up in two places, by the command and by the image: both have to say the same. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "@jest/globals";
import { RUNTIME_FLAGS, runtimeEnvironment } from "../../node/cli/runtime.ts";

const dockerfile = readFileSync(new URL("../../node/Dockerfile", import.meta.url), "utf8");

/** The packages that a module loads before its first line runs, by what it and the modules that it names import. */
function packagesOf(module: URL, seen: Set<string> = new Set()): string[] {
  if (seen.has(module.href)) return [];
  seen.add(module.href);
  const imports = readFileSync(module, "utf8").matchAll(/^(?:import|export) (?!type )[^;]*?from "(?<from>[^"]+)";$/gms);
  return [...imports].flatMap(({ groups: { from = "" } = {} }) =>
    from.startsWith(".") ? packagesOf(new URL(from, module), seen) : [from],
  );
}

describe("the set-up of a node's process", () => {
  it("is made before anything is loaded but what reads the command line", () => {
    assert.deepEqual(
      new Set(packagesOf(new URL("../../node/cli/program.ts", import.meta.url))),
      new Set(["commander"]),
    );
  });

  it("has in the image the flags that the command gives itself, in their order", () => {
    const entrypoint = /^ENTRYPOINT (?<list>\[.*\])$/m.exec(dockerfile)?.groups?.list ?? "[]";
    assert.deepEqual(JSON.parse(entrypoint), ["node", ...RUNTIME_FLAGS, "dist/node/cli/main.js"]);
  });

  it("has in the image the variables that the command gives itself", () => {
    for (const [name, value] of Object.entries(runtimeEnvironment({}))) {
      assert(dockerfile.includes(` ${name}=${value}`), `${name}=${value}`);
    }
  });

  it("leaves a variable as somebody has set it", () => {
    assert.equal(runtimeEnvironment({ MALLOC_ARENA_MAX: "8" }).MALLOC_ARENA_MAX, "8");
  });
});
