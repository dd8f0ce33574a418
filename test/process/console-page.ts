/** The console of a local node, opened as a person does, for the tests that look at it. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { digestOf } from "../../node/core/access.ts";
import type { ClusterNode } from "../bench/cluster.ts";
import { checkoutDirectory } from "../bench/processes.ts";
import { openPage, type Watched } from "./browser.ts";

/** Where a node serves its console. */
export const urlOf = ({ host, adminPort }: ClusterNode): string => `http://${host}:${adminPort}/console/`;

/** Opens the console of a node and waits until it is live. */
export async function openConsole(
  browser: Browser,
  node: ClusterNode,
  colorScheme: "light" | "dark" = "light",
): Promise<Watched> {
  const watched = await openPage(browser, urlOf(node), { colorScheme });
  await watched.page.locator("#connection[data-state=live]").waitFor();
  await watched.page.locator(".ring-title", { hasText: /^epoch \d+$/ }).waitFor();
  return watched;
}

/** Renews a picture of docs/console.md, where that is asked for. */
export async function picture(page: Page, name: string): Promise<void> {
  if (process.env.CONSOLE_SCREENSHOTS === undefined) return;
  const path = join(checkoutDirectory(), `docs/console/${name}.jpg`);
  await page.screenshot({ path, fullPage: true, type: "jpeg", quality: 60 });
}

/** A file of tokens that a node follows. */
export class TokensFile {
  readonly path: string;
  readonly #folder: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "annulus-console-"));
    this.path = join(this.#folder, "tokens.json");
  }

  /** Puts these tokens, with the rights of each, in place of all that were there. */
  write(tokens: Readonly<Record<string, Readonly<Record<string, unknown>>>>): void {
    const entries = Object.entries(tokens).map(([text, rights], index) => ({
      name: `t${index}`,
      sha256: Buffer.from(digestOf(text)).toString("hex"),
      ...rights,
    }));
    writeFileSync(`${this.path}.new`, JSON.stringify({ tokens: entries }));
    renameSync(`${this.path}.new`, this.path);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
