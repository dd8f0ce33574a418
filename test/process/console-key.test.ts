/** The console's key looker in a real browser: concurrent values are seen side by side, and settled by keyboard. */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import type { Browser, Page } from "playwright-core";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { accessibilityFindings, startBrowser } from "./browser.ts";
import { openConsole, picture, TokensFile } from "./console-page.ts";
import { ask } from "./http.ts";

const SETTINGS = { ANNULUS_LOG_LEVEL: "warn", ANNULUS_PARTITIONS: "16" };

let browser: Browser;

beforeAll(async () => {
  browser = await startBrowser();
}, 60_000);
afterAll(async () => {
  await browser?.close();
}, 60_000);

function firstOf(cluster: LocalCluster): ClusterNode {
  const [node] = cluster.nodes;
  assert(node !== undefined);
  return node;
}

/** Looks a key up with the keyboard alone. */
async function find(page: Page, key: string): Promise<void> {
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.keyboard.press("Enter");
}

async function press(page: Page, name: string): Promise<void> {
  const button = page.getByRole("button", { name, exact: true });
  await button.focus();
  await page.keyboard.press("Enter");
}

const valuesOn = (page: Page) => page.locator("#key-values article");
const toldOn = (page: Page, text: string | RegExp) => page.locator("#key-told", { hasText: text }).waitFor();

describe("the console's key looker", () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await LocalCluster.start({ settings: SETTINGS });
  }, 90_000);
  afterAll(async () => {
    assert.deepEqual((await cluster?.stop()) ?? [], []);
  }, 90_000);

  /** Two values of which neither writer had seen the other, on all homes. */
  async function writeBoth(
    key: string,
    values: readonly (string | Uint8Array<ArrayBuffer>)[],
    query = "",
  ): Promise<void> {
    for (const body of values) {
      const headers = { "Content-Type": "text/plain" };
      const written = await ask(firstOf(cluster), "PUT", `${key}?w=3&blind=sibling${query}`, { headers, body });
      assert.equal(written.status, 204);
    }
  }

  /** Seconds that each value of a key has left to live, at its first home; infinite: it has no end. */
  async function livesOf(key: string): Promise<readonly number[]> {
    const { host, adminPort } = firstOf(cluster);
    const answer = await fetch(`http://${host}:${adminPort}/v1/versions/${key}`);
    const { homes } = (await answer.json()) as { homes: { siblings: { expiresAt?: string }[] }[] };
    return (homes[0]?.siblings ?? []).map(({ expiresAt }) =>
      expiresAt === undefined ? Number.POSITIVE_INFINITY : (Date.parse(expiresAt) - Date.now()) / 1_000,
    );
  }

  it("shows each home's version and the values side by side, and keeps the one that is chosen", async () => {
    await writeBoth("cart%2F1", ["milk", "bread"]);
    const { page, context, complaints } = await openConsole(browser, firstOf(cluster));
    await find(page, "cart/1");
    await page.locator("#key-state", { hasText: "2 concurrent values" }).waitFor();
    assert.deepEqual((await page.locator("#key-values pre").allTextContents()).sort(), ["bread", "milk"]);
    await page.locator("#key-state", { hasText: "All homes hold the same." }).waitFor();
    const held = await page.locator("#key-homes tr td:last-child").allTextContents();
    assert.equal(held.length, 3);
    for (const text of held) assert.match(text, /^2 values, version [0-9a-f]{8}$/);
    assert.deepEqual(await accessibilityFindings(page), []);
    await picture(page, "siblings");
    const kept = await page.locator("#key-values pre").nth(1).textContent();
    await press(page, "Keep value 2");
    await toldOn(page, "in place of all that was shown");
    assert.equal(await valuesOn(page).count(), 1);
    assert.equal(await page.locator("#settle-form").isVisible(), false);
    const read = await ask(firstOf(cluster), "GET", "cart%2F1?r=3");
    assert.deepEqual([read.status, read.headers.get("content-type"), read.body.toString()], [200, "text/plain", kept]);
    assert.deepEqual(complaints, []);
    await context.close();
  });

  it("writes a text of one's own in place of all, and shows bytes that are no text as such", async () => {
    await writeBoth("mixed", ["milk", Uint8Array.of(0xff, 0x00, 0x10)]);
    const { page, context } = await openConsole(browser, firstOf(cluster), "dark");
    await find(page, "mixed");
    await page.locator("#key-values pre", { hasText: "ff 00 10" }).waitFor();
    assert.deepEqual(await accessibilityFindings(page), []);
    const field = page.getByLabel("One value in place of all");
    assert.equal(await field.inputValue(), "milk");
    await field.fill("milk, bread <b>\n");
    await press(page, "Write this text");
    await toldOn(page, "Your text is written");
    assert.equal(await page.locator("#key-values pre").textContent(), "milk, bread <b>\n");
    assert.equal((await ask(firstOf(cluster), "GET", "mixed?r=3")).body.toString(), "milk, bread <b>\n");
    await context.close();
  });

  it("loses nothing that came between the look and the decision, and gives what is kept the life that it had", async () => {
    await writeBoth("late", ["one", "two"], "&ttl=3600");
    const { page, context } = await openConsole(browser, firstOf(cluster));
    await find(page, "late");
    await page.locator("#key-state", { hasText: "2 concurrent values" }).waitFor();
    await writeBoth("late", ["three"]);
    await press(page, "Keep value 1");
    await toldOn(page, "in place of all that was shown");
    await page.locator("#key-state", { hasText: "2 concurrent values" }).waitFor();
    const texts = await page.locator("#key-values pre").allTextContents();
    assert.equal(texts.includes("three"), true, texts.join());
    const { host, adminPort } = firstOf(cluster);
    const answer = await fetch(`http://${host}:${adminPort}/v1/versions/late`);
    const { homes } = (await answer.json()) as { homes: { siblings: { expiresAt?: string }[] }[] };
    const lives = (homes[0]?.siblings ?? []).flatMap(({ expiresAt }) => (expiresAt === undefined ? [] : [expiresAt]));
    assert.equal(lives.length, 1);
    const leftS = (Date.parse(lives[0] ?? "") - Date.now()) / 1_000;
    assert.ok(leftS > 3_000 && leftS <= 3_601, `${leftS} s`);
    page.once("dialog", (dialog) => void dialog.accept());
    await press(page, "Delete the key");
    await toldOn(page, "The key is deleted");
    await page.locator("#key-state", { hasText: "It is deleted." }).waitFor();
    assert.equal((await ask(firstOf(cluster), "GET", "late?r=3")).status, 404);
    await find(page, "never written");
    await page.locator("#key-state", { hasText: "never written" }).waitFor();
    const held = await page.locator("#key-homes tr td:last-child").allTextContents();
    assert.deepEqual(held, ["nothing", "nothing", "nothing"]);
    await context.close();
  });

  it("gives what is kept the life that it had by the nodes' clock, and none that it cannot tell", async () => {
    await writeBoth("kept", ["one", "two"], "&ttl=600");
    const { page, context } = await openConsole(browser, firstOf(cluster));
    await page.clock.setFixedTime(Date.now() + 3_600_000);
    await find(page, "kept");
    await page.locator("#settle-form").waitFor();
    await press(page, "Keep value 1");
    await toldOn(page, "in place of all that was shown");
    assert.ok(
      (await livesOf("kept")).every((leftS) => leftS > 500),
      "an hour ahead, the browser ended a life of ten minutes",
    );

    await writeBoth("unsaid", ["one", "two"], "&ttl=600");
    const error = { code: "TIMED_OUT", detail: "no answer" };
    const homes = ["node-0", "node-1", "node-2"].map((name) => ({ name, zone: "a", state: "unknown", error }));
    await page.route("**/v1/versions/unsaid", (route) => route.fulfill({ json: { epoch: 1, partition: 0, homes } }));
    await find(page, "unsaid");
    await page.locator("#settle-form").waitFor();
    assert.doesNotMatch((await page.locator("#key-state").textContent()) ?? "", /hold the same/);
    await press(page, "Keep value 1");
    await toldOn(page, /\S/);
    assert.ok((await livesOf("unsaid")).every(Number.isFinite), "what was to end lives for ever");
    await context.close();
  });

  it("shows what each home holds, and why there is no value, when a read finds no quorum", async () => {
    await writeBoth("short", ["one"]);
    const { page, context } = await openConsole(browser, firstOf(cluster));
    const refused = {
      status: 503,
      contentType: "application/problem+json",
      body: '{"detail":"Cannot read: no quorum."}',
    };
    await page.route("**/v1/kv/short", (route) => route.fulfill(refused));
    await find(page, "short");
    await toldOn(page, "Cannot read: no quorum.");
    const held = await page.locator("#key-homes tr td:last-child").allTextContents();
    for (const text of held) assert.match(text, /^1 value, version [0-9a-f]{8}$/);
    await context.close();
  });

  it("takes one decision at a time, and shows the key that was asked for last", async () => {
    await writeBoth("slow", ["one", "two"]);
    await writeBoth("next", ["three"]);
    const { page, context } = await openConsole(browser, firstOf(cluster));
    await find(page, "slow");
    await page.locator("#settle-form").waitFor();
    const { promise: isGo, resolve: go } = Promise.withResolvers<void>();
    const puts: string[] = [];
    await page.route("**/v1/kv/slow*", async (route) => {
      if (route.request().method() === "PUT") {
        puts.push(route.request().url());
        await isGo;
      }
      await route.continue();
    });
    await page.evaluate("for (const button of document.querySelectorAll('#key-values button')) button.click()");
    await find(page, "next");
    await page.locator("#key-values pre", { hasText: "three" }).waitFor();
    go();
    await toldOn(page, "slow");
    assert.equal(puts.length, 1);
    assert.match((await page.locator("#key-place").textContent()) ?? "", /^next is in partition/);
    await context.close();
  });

  it("has nothing to scroll sideways on a narrow screen, and with the longest key", async () => {
    const { page, context } = await openConsole(browser, firstOf(cluster));
    await page.setViewportSize({ width: 320, height: 800 });
    const overhang = () => page.evaluate("document.documentElement.scrollWidth - innerWidth");
    assert.equal(await overhang(), 0);
    await find(page, "k".repeat(900));
    await page.locator("#key-state", { hasText: "never written" }).waitFor();
    assert.equal(await overhang(), 0);
    await context.close();
  });

  it("does not put an empty text in place of bytes that are none", async () => {
    await writeBoth("bytes", [Uint8Array.of(0xff, 1), Uint8Array.of(0xff, 2)]);
    const { page, context } = await openConsole(browser, firstOf(cluster));
    await find(page, "bytes");
    await page.locator("#settle-form").waitFor();
    await press(page, "Write this text");
    await page.getByLabel("One value in place of all").fill("now a text");
    await press(page, "Write this text");
    await toldOn(page, "Your text is written");
    const read = await ask(firstOf(cluster), "GET", "bytes?r=3");
    assert.deepEqual([read.status, read.body.toString()], [200, "now a text"]);
    await context.close();
  });

  it("says so when the node says nothing", async () => {
    const { page, context } = await openConsole(browser, firstOf(cluster));
    await page.route("**/v1/versions/mute", () => undefined);
    await find(page, "mute");
    await toldOn(page, "The node does not answer");
    await context.close();
  });

  it("keeps a text that was typed when the node wants another token for it", async () => {
    await writeBoth("typed", ["one", "two"]);
    const { page, context } = await openConsole(browser, firstOf(cluster));
    const refused = {
      status: 403,
      contentType: "application/problem+json",
      body: '{"detail":"Cannot write this key."}',
    };
    await page.route("**/typed*", (route) => {
      const { authorization, ...headers } = route.request().headers();
      const isRefused = route.request().method() === "PUT" && authorization === undefined;
      return isRefused ? route.fulfill(refused) : route.continue({ headers });
    });
    await find(page, "typed");
    await page.getByLabel("One value in place of all").fill("merged by hand");
    await press(page, "Write this text");
    await page.getByLabel("Token for keys").fill("another");
    await page.keyboard.press("Enter");
    await page.locator("#key-state", { hasText: "2 concurrent values" }).waitFor();
    assert.equal(await page.getByLabel("One value in place of all").inputValue(), "merged by hand");
    await context.close();
  });
});

describe("the key looker of a node with tokens", () => {
  const tokens = new TokensFile();
  let guarded: LocalCluster;
  beforeAll(async () => {
    tokens.write({
      watcher: { cluster: "monitor" },
      reader: { data: "read", prefixes: ["a"] },
      writer: { data: "read-write" },
    });
    const access = { ANNULUS_ACCESS_FILE: tokens.path };
    const settings = { ...SETTINGS, ...access, ANNULUS_N: "1", ANNULUS_R: "1", ANNULUS_W: "1" };
    guarded = await LocalCluster.start({ nodeCount: 1, settings });
  }, 60_000);
  afterAll(async () => {
    assert.deepEqual((await guarded?.stop()) ?? [], []);
    tokens.remove();
  }, 60_000);

  it("tells the place to who may see the cluster, and values and versions only with a right on the key", async () => {
    const node = firstOf(guarded);
    for (const body of ["one", "two"]) {
      const headers = { Authorization: "Bearer writer", "Content-Type": "text/plain" };
      assert.equal((await ask(node, "PUT", "a?blind=sibling", { headers, body })).status, 204);
    }
    const url = `http://${node.host}:${node.adminPort}/console/`;
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(url);
    await page.getByLabel("Token", { exact: true }).fill("watcher");
    await page.keyboard.press("Enter");
    await page.locator("#connection[data-state=live]").waitFor();
    await find(page, "a");
    await toldOn(page, "expected a token with data");
    await page.locator("#key-homes strong", { hasText: "node-0" }).waitFor();
    assert.equal(await valuesOn(page).count(), 0);
    assert.deepEqual(await accessibilityFindings(page), []);
    const useToken = async (text: string) => {
      await page.getByLabel("Token for keys").fill(text);
      await page.keyboard.press("Enter");
    };
    await useToken("reader");
    await page.locator("#key-state", { hasText: "2 concurrent values" }).waitFor();
    await press(page, "Keep value 1");
    await toldOn(page, /Cannot write this key/);
    await useToken("writer");
    await page.locator("#key-state", { hasText: "2 concurrent values" }).waitFor();
    await press(page, "Keep value 1");
    await toldOn(page, "in place of all that was shown");
    const kept = await page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href");
    assert.equal(/watcher|reader|writer/.test(String(kept)), false);
    await page.getByRole("button", { name: "Forget token" }).click();
    await page.locator("#connection[data-state=refused]").waitFor();
    assert.equal(await page.evaluate("sessionStorage.length"), 0);
    await context.close();
  });
});
