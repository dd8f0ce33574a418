/** The console in a real browser, on a real cluster: what happens there is seen on the page. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import type { Browser, Page } from "playwright-core";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { begin, ended, memberOf } from "./annulus.ts";
import { accessibilityFindings, openPage, SEEN_WITHIN_MS, startBrowser } from "./browser.ts";
import { openConsole, picture, TokensFile, urlOf } from "./console-page.ts";
import { ask } from "./http.ts";

const PAYLOAD_BYTES_MAX = 300_000;
const FIRST_PAINT_MS_MAX = 1_000;
/** Loads of the page, of which the quickest counts: the machine does other things too. */
const LOADS = 5;
/** So slow that a change which moves these pairs is under way for many looks. */
const SETTINGS = { ANNULUS_LOG_LEVEL: "warn", ANNULUS_BACKGROUND_BYTES_PER_SECOND: "262144", ANNULUS_PARTITIONS: "64" };
const PAIRS = 300;
const VALUE = Buffer.alloc(8_000, 7);

let browser: Browser;
let cluster: LocalCluster;

const rowOf = (page: Page, name: string) => page.locator("#members tr", { has: page.getByRole("button", { name }) });

function nodeAt(index: number): ClusterNode {
  const node = cluster.nodes[index];
  assert(node !== undefined);
  return node;
}

/** Stores a pair on all three members; one that has just come back may not be reached at once. */
async function store(key: string): Promise<void> {
  const untilMs = performance.now() + SEEN_WITHIN_MS;
  while ((await ask(nodeAt(0), "PUT", `${key}?w=3`, { body: VALUE })).status !== 204) {
    assert.ok(performance.now() < untilMs, `${key} is not stored`);
    await sleep(100);
  }
}

/** Waits until the page shows a member in this state of health. */
async function seesHealth(page: Page, name: string, health: string): Promise<void> {
  await rowOf(page, name).locator(".health", { hasText: health }).waitFor();
}

beforeAll(async () => {
  browser = await startBrowser();
  cluster = await LocalCluster.start({ settings: SETTINGS });
}, 90_000);

afterAll(async () => {
  await browser?.close();
  assert.deepEqual((await cluster?.stop()) ?? [], []);
}, 90_000);

describe("the console", () => {
  it("is small, painted at once, loads from its node only and has nothing serious against it", async () => {
    const paints: number[] = [];
    let bytes = 0;
    for (let load = 0; load < LOADS; load++) {
      const { page, context, complaints } = await openConsole(browser, nodeAt(0), load % 2 === 0 ? "light" : "dark");
      const seen = (await page.evaluate(`({
        paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
        bytes: [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
          .filter(({ name }) => name.includes("/console/"))
          .reduce((sum, { transferSize }) => sum + transferSize, 0),
      })`)) as { paint: number; bytes: number };
      paints.push(seen.paint);
      bytes = Math.max(bytes, seen.bytes);
      for (const name of ["node-0", "node-1", "node-2"]) await seesHealth(page, name, "up");
      if (load < 2) assert.deepEqual(await accessibilityFindings(page), []);
      assert.deepEqual(complaints, []);
      await context.close();
    }
    const paint = Math.min(...paints);
    process.stdout.write(`console: first paint ${paint.toFixed(0)} ms, payload ${(bytes / 1_000).toFixed(1)} kB\n`);
    assert.ok(bytes > 0 && bytes < PAYLOAD_BYTES_MAX, `${bytes} bytes`);
    assert.ok(paint < FIRST_PAINT_MS_MAX, `painted after ${paints.join(", ")} ms`);
  });

  it("shows a node go down that was killed, says what to do, and shows it come back", async () => {
    const { page, context, complaints } = await openConsole(browser, nodeAt(0));
    await seesHealth(page, "node-1", "up");
    await cluster.killNode(nodeAt(1));
    await seesHealth(page, "node-1", "down");
    await page.locator("#findings li", { hasText: "node-1 is down" }).waitFor();
    await page.locator("#verdict-title", { hasText: "warning" }).waitFor();
    await page.locator("#zones [data-health=down]", { hasText: "0 of 1 up" }).waitFor();
    await page.locator(".overlay[data-health=down]").first().waitFor({ state: "attached" });
    await picture(page, "down");
    await cluster.startNode(nodeAt(1));
    await seesHealth(page, "node-1", "up");
    await page.locator("#findings li", { hasText: "node-1 is down" }).waitFor({ state: "detached" });
    assert.deepEqual(complaints, []);
    await context.close();
  });

  it("shows a member chosen by keyboard on the ring, the homes of a partition, and where a key lives", async () => {
    const { page, context } = await openConsole(browser, nodeAt(0));
    const button = page.getByRole("button", { name: "node-2" });
    await button.focus();
    await page.keyboard.press("Enter");
    await page.locator('button[aria-pressed="true"]', { hasText: "node-2" }).waitFor();
    await page.locator(".slice.faded").nth(1).waitFor({ state: "attached" });
    await page.getByRole("slider", { name: "Partition" }).focus();
    await page.keyboard.press("End");
    await page.locator("#partition-homes", { hasText: /^Partition 63: node-\d, node-\d, node-\d$/ }).waitFor();
    const ring = await fetch(urlOf(nodeAt(0)).replace("console/", "v1/ring/a%20key%2F1"));
    const { partition, homes } = (await ring.json()) as { partition: number; homes: { name: string }[] };
    await page.getByLabel("Key", { exact: true }).fill("a key/1");
    await page.keyboard.press("Enter");
    await page.locator("#key-place", { hasText: `a key/1 is in partition ${partition} ` }).waitFor();
    const told = await page.locator("#key-homes strong").allTextContents();
    assert.equal(told.join(), homes.map(({ name }) => name).join());
    await page.locator("#partition-homes", { hasText: `Partition ${partition}: ` }).waitFor();
    assert.deepEqual(await accessibilityFindings(page), []);
    await context.close();
  });

  it("says that it is not live while its node is away, and is again when it is back", async () => {
    const { page, context } = await openConsole(browser, nodeAt(2));
    assert.equal(await nodeAt(2).server?.stop(), true);
    await page.locator("#connection[data-state=lost]").waitFor();
    await cluster.startNode(nodeAt(2));
    await page.locator("#connection[data-state=live]").waitFor();
    await context.close();
  });

  it("shows a member join: what moves, how far it is, and that it is done", async () => {
    for (let index = 0; index < PAIRS; index++) {
      await store(`pair-${index}`);
    }
    const { page, context, complaints } = await openConsole(browser, nodeAt(0));
    const { id } = await begin(cluster, ["join", memberOf(await cluster.add())]);
    await page.locator("#change-title", { hasText: "join node-3" }).waitFor();
    await page.locator("#change-steps [data-state=now]", { hasText: "Prepare" }).waitFor();
    await rowOf(page, "node-3").locator("td", { hasText: "joining" }).waitFor();
    await page.locator(".ring-svg[aria-label*='get a new home']").waitFor();
    const moved = async () => Number(await page.locator("#change-progress").getAttribute("value"));
    const before = await moved();
    await page.locator(`#change-progress:not([value="${before}"])`).waitFor();
    assert.ok((await moved()) > before, "what has moved grows");
    await picture(page, "join");
    await page.locator("#change-steps [data-state=past]", { hasText: "Done" }).waitFor();
    await ended(cluster, id);
    await rowOf(page, "node-3").locator("td", { hasText: "active" }).waitFor();
    assert.deepEqual(complaints, []);
    await context.close();
  });
});

describe("the console of a node with tokens", () => {
  const token = "a-token-of-the-console-test";
  const tokens = new TokensFile();
  let guarded: LocalCluster;

  beforeAll(async () => {
    tokens.write({ [token]: { cluster: "monitor" } });
    const access = { ANNULUS_ACCESS_FILE: tokens.path };
    const settings = { ...access, ANNULUS_N: "1", ANNULUS_R: "1", ANNULUS_W: "1", ANNULUS_LOG_LEVEL: "warn" };
    guarded = await LocalCluster.start({ nodeCount: 1, settings });
  }, 60_000);
  afterAll(async () => {
    assert.deepEqual(await guarded.stop(), []);
    tokens.remove();
  }, 60_000);

  it("asks for one, keeps it in the tab only, and ends when it is taken away", async () => {
    const [node] = guarded.nodes;
    assert(node !== undefined);
    const { page, context } = await openPage(browser, urlOf(node));
    const field = page.getByLabel("Token", { exact: true });
    await field.fill("a-wrong-one");
    await page.keyboard.press("Enter");
    await page.locator("#token-why", { hasText: "known here" }).waitFor();
    assert.deepEqual(await accessibilityFindings(page), []);
    await field.fill(token);
    await page.keyboard.press("Enter");
    await page.locator("#connection[data-state=live]").waitFor();
    await seesHealth(page, "node-0", "up");
    assert.equal(await field.isVisible(), false);
    assert.equal(
      await page
        .evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
        .then((text) => String(text).includes(token)),
      false,
    );
    const other = await context.newPage();
    await other.goto(urlOf(node));
    await other.locator("#connection[data-state=refused]").waitFor();
    await other.close();
    tokens.write({ "another-token": { cluster: "monitor" } });
    await page.locator("#connection[data-state=refused]").waitFor();
    await field.waitFor();
    await context.close();
  });
});
