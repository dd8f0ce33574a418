#!/usr/bin/env node
/**
 * The program `annulus`. Looks at the version of Node before anything else is loaded, because the rest would fail
 * with a riddle on an old one.
 */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `annulus needs Node 22.19 or newer; this is Node ${process.versions.node}.\n` +
      "In a checkout, `npx annulus ...` and the npm scripts bring their own.\n",
  );
  process.exitCode = 1;
} else {
  const { run } = await import("./program.ts");
  await run(process.argv);
}
