/**
 * docs/tutorial.md from its first block to its last, against the cluster that it has its reader start: programs print what
 * stands in them, commands what stands below them.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { type Block, blocksOf, exampleOf, runExample } from "../client/examples.ts";
import { freeBasePort, type LocalPlace, LocalRun, PROGRAM } from "./local-run.ts";

const run = promisify(execFile);
const PATIENCE_MS = 60_000;
const POLL_MS = 500;

let place: LocalPlace;
let local: LocalRun | undefined;

beforeEach(async () => {
  place = { data: mkdtempSync(join(tmpdir(), "annulus-tutorial-")), basePort: await freeBasePort() };
});
afterEach(async () => {
  await stopLocal();
  rmSync(place.data, { recursive: true, force: true });
});

/** Ctrl-C. */
async function stopLocal(): Promise<void> {
  local?.child.kill("SIGINT");
  await local?.ended();
  local = undefined;
}

async function startLocal(command: string): Promise<void> {
  await stopLocal();
  const [, options = ""] = command.split(" -- ");
  local = new LocalRun(place, options === "" ? [] : options.split(" "));
  await local.says("Ctrl-C stops the cluster");
}

/** Runs `npx annulus …` until it begins with what the text says that it prints: that takes the nodes some seconds. */
async function seePrinted(command: string, printed: string): Promise<void> {
  const args = command.replace(/^npx annulus /, "").split(" ");
  const env = { PATH: process.env.PATH, ANNULUS_URL: `http://127.0.0.1:${place.basePort}` };
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    // A finding makes the command fail.
    const { stdout } = await run(process.execPath, [PROGRAM, ...args], { env }).catch(
      (error: { stdout: string }) => error,
    );
    if (stdout.startsWith(printed)) return;
    assert.ok(performance.now() < untilMs, `${command} prints:\n${stdout}`);
    await sleep(POLL_MS);
  }
}

/** What a block asks for, done as its reader would. A block of text is what the last command of `annulus` prints. */
async function follow({ language, text }: Block, lastCommand: string): Promise<void> {
  if (language === "ts") {
    const program = exampleOf(text);
    const urlAt = (port: number) => `http://127.0.0.1:${place.basePort + port - 7_400}`;
    assert.deepEqual(await runExample(program, urlAt, "node/client/client.ts"), program.expected, text);
  } else if (language === "text") await seePrinted(lastCommand, text);
  else if (text.startsWith("npm start")) await startLocal(text.trim());
  else if (text.startsWith("kill ")) await run("sh", ["-c", text.replaceAll(".annulus/", `${place.data}/`)]);
}

describe("docs/tutorial.md", () => {
  it("can be lived as it is printed", async () => {
    const blocks = blocksOf("tutorial.md");
    assert.deepEqual(
      blocks.map(({ language }) => language),
      ["sh", "ts", "ts", "ts", "ts", "sh", "ts", "sh", "text", "sh", "text", "sh", "text", "sh"],
    );
    let lastCommand = "";
    for (const block of blocks) {
      if (block.text.startsWith("npx annulus ")) lastCommand = block.text.trim();
      await follow(block, lastCommand);
    }
    assert.equal(lastCommand, "npx annulus doctor");
  });
});
