/** Debian's Chromium, headless, for tests of the console: one browser, a fresh profile for each page. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** What a person who looks would have seen by then; only what never comes should fail by it. */
export const SEEN_WITHIN_MS = 60_000;

/** What a page did that it should not: errors, messages of the browser, requests to other places. */
export type Watched = { readonly page: Page; readonly context: BrowserContext; readonly complaints: string[] };

/** Starts the browser. Without one there is nothing to test, and that is a failure, never a reason to skip. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? PATHS.find((path) => existsSync(path));
  assert(
    executablePath !== undefined,
    "The console's tests need Chromium, and there is none: apt-get install chromium, or set CHROMIUM to its path.",
  );
  // Root, as in CI, has no sandbox; a small /dev/shm, as in containers, would end the browser.
  return await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
}

/** A page in a profile of its own; `complaints` fills as things go wrong on it. */
export async function openPage(
  browser: Browser,
  url: string,
  options: { readonly colorScheme?: "light" | "dark"; readonly width?: number } = {},
): Promise<Watched> {
  const { colorScheme = "light", width = 1_280 } = options;
  const context = await browser.newContext({ colorScheme, reducedMotion: "reduce", viewport: { width, height: 900 } });
  context.setDefaultTimeout(SEEN_WITHIN_MS);
  const page = await context.newPage();
  const complaints: string[] = [];
  const { origin } = new URL(url);
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(url);
  return { page, context, complaints };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

type AxeFinding = {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly html: string }[];
};

/** What axe-core finds serious or critical on a page, as `rule: element`. */
export async function accessibilityFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const violations = (await page.evaluate("axe.run().then(({ violations }) => violations)")) as AxeFinding[];
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}
