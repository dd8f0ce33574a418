import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it, jest } from "@jest/globals";
import { FakeNode } from "./fake-node.ts";
import { runCli } from "./run-cli.ts";

/** Each test starts the program a few times, which takes long on a busy machine. */
jest.setTimeout(60_000);

let node: FakeNode;
let env: Record<string, string>;
let directory: string;

beforeEach(async () => {
  node = new FakeNode();
  env = { ANNULUS_URL: await node.start() };
  directory = mkdtempSync(join(tmpdir(), "annulus-import-"));
});
afterEach(async () => {
  await node.stop();
  rmSync(directory, { recursive: true });
});

const file = (name: string) => join(directory, name);
const numbered = (count: number) =>
  Array.from({ length: count }, (_, i) => `{"key":"k${i}","value":"v${i}"}\n`).join("");
const valueAt = (key: string) => node.pairs.get(key)?.[0]?.value.toString();

describe("annulus import", () => {
  it("writes each line's pair, text or bytes, from a file", async () => {
    const lines = [
      '{"key":"text","value":"grün"}',
      "",
      '{"key":{"base64":"AP8="},"value":{"base64":"/wA="}}',
      '{"key":"json","value":{"a":1}}',
      '{"key":"typed","value":"<p>","contentType":"text/html"}',
    ];
    writeFileSync(file("in.jsonl"), lines.join("\r\n"));
    const done = await runCli(["import", file("in.jsonl")], { env });
    assert.equal(done.exitCode, 0, done.stderr);
    assert.match(done.stdout.toString(), /^imported 4 records in .* 0 failed, 0 retries\n$/);
    assert.equal(valueAt("text"), "grün");
    assert.deepEqual([...(node.pairs.get("\0\xff")?.[0]?.value ?? [])], [255, 0]);
    assert.equal(valueAt("json"), '{"a":1}');
    assert.equal(node.pairs.get("typed")?.[0]?.contentType, "text/html");
  });

  it("makes keys of fields, with the whole record as the value", async () => {
    const input = '{"country":"AD","name":"Vila","lat":42.5}\n';
    const done = await runCli(["import", "-", "--key-template", "{country}/{name}@{lat}"], { env, input });
    assert.equal(done.exitCode, 0, done.stderr);
    assert.equal(valueAt("AD/Vila@42.5"), input.trim());
    assert.equal(node.pairs.get("AD/Vila@42.5")?.[0]?.contentType, "application/json");
  });

  it("reads CSV with quotes and line breaks in fields", async () => {
    writeFileSync(file("in.csv"), '\uFEFFid,name\n1,"a ""b"",\nc"\n2,d\n');
    const args = ["import", file("in.csv"), "--key-field", "id", "--value-field", "name"];
    const done = await runCli(args, { env });
    assert.equal(done.exitCode, 0, done.stderr);
    assert.deepEqual([valueAt("1"), valueAt("2")], ['a "b",\nc', "d"]);
  });

  it("repeats a write that a node did not take, under one name, until it is taken", async () => {
    const other = new FakeNode();
    const urls = `${env.ANNULUS_URL},${await other.start()},http://127.0.0.1:1`;
    let requests = 0;
    const faults = ["busy", undefined, "no quorum", "hang up", undefined, "hang up after writing", undefined] as const;
    node.fault = other.fault = () => faults[requests++ % faults.length];
    const done = await runCli(["import", "-", "--url", urls, "--concurrency", "4"], { input: numbered(25) });
    await other.stop();
    assert.equal(done.exitCode, 0, done.stderr);
    const keys = new Set([...node.pairs.keys(), ...other.pairs.keys()]);
    assert.equal(keys.size, 25);
    const names = new Map<string, Set<string>>();
    for (const { key, idempotencyKey } of [...node.writes, ...other.writes]) {
      names.set(key, (names.get(key) ?? new Set()).add(idempotencyKey));
    }
    assert.ok([...names.values()].every((ofKey) => ofKey.size === 1));
    assert.equal(new Set([...names.values()].flatMap((ofKey) => [...ofKey])).size, 25);
    const first = new Set<string>();
    for (const { key, attempt } of node.writes.concat(other.writes).filter(({ attempt }) => attempt === "1")) {
      assert(!first.has(key), `two first attempts of ${key}, the second ${attempt}`);
      first.add(key);
    }
    assert(first.size > 0);
  });

  it("passes over a node whose store is broken or full, as long as another takes the writes", async () => {
    const other = new FakeNode();
    const urls = `${env.ANNULUS_URL},${await other.start()}`;
    node.fault = () => "broken store";
    const done = await runCli(["import", "-", "--url", urls, "--concurrency", "4"], { input: numbered(20) });
    await other.stop();
    assert.equal(done.exitCode, 0, done.stderr);
    assert.deepEqual([node.pairs.size, other.pairs.size], [0, 20]);
  });

  it("leaves of several records of one key the last one's value, however long the first ones take", async () => {
    const input = Array.from({ length: 30 }, (_, at) => `{"key":"k${at % 3}","value":"${at}"}\n`).join("");
    let requests = 0;
    node.fault = () => (requests++ % 2 === 0 ? "busy" : undefined);
    const done = await runCli(["import", "-"], { env, input });
    assert.equal(done.exitCode, 0, done.stderr);
    assert.deepEqual(["k0", "k1", "k2"].map(valueAt), ["27", "28", "29"]);
  });

  it("refuses as a key what would be others' too, numbers too large for JSON and text that is no UTF-8", async () => {
    const lone = await runCli(["import", "-"], {
      env,
      input: '{"key":"a\\ud800","value":"1"}\n{"key":"b","value":"\\udc00"}\n',
    });
    assert.equal(lone.exitCode, 1);
    assert.match(lone.stderr, /record 1: expected .* in the field "key", found a lone surrogate/);
    assert.match(lone.stderr, /record 2: expected .* in the field "value", found a lone surrogate/);
    const input =
      '{"key":12345678901234567890,"value":"a"}\n{"key":12345678901234567891,"value":"b"}\n{"key":7,"value":"c"}\n';
    const done = await runCli(["import", "-"], { env, input });
    assert.equal(done.exitCode, 1);
    assert.match(done.stderr, /record 1: expected .*text in the field "key".*too large/);
    assert.deepEqual([...node.pairs.keys()], ["7"]);
  });

  it("counts what has expired as that, and lets the first value that has not replace what was there", async () => {
    node.pairs.set("k", [{ value: Buffer.from("old"), contentType: "a/b" }]);
    const past = "2000-01-01T00:00:00Z";
    const input = [
      `{"key":"k","siblings":[{"value":"1","expiresAt":"${past}"},{"value":"2"},{"value":"3"}]}`,
      `{"key":"gone","value":"1","expiresAt":"${past}"}`,
    ].join("\n");
    const done = await runCli(["import", "-"], { env, input });
    assert.equal(done.exitCode, 0, done.stderr);
    assert.match(done.stdout.toString(), /^imported 1 record in .*, 1 expired\n$/);
    assert.deepEqual(
      node.pairs.get("k")?.map(({ value }) => value.toString()),
      ["2", "3"],
    );
  });

  it("refuses an expiry that is none, instead of a value that never expires", async () => {
    const input = [
      '{"key":"a","value":"1","expiresAt":"soon"}',
      '{"key":"b","value":"1","expiresAt":1900000000}',
      '{"key":"c","siblings":[{"value":"1","expiresAt":"2100-13-01T00:00:00Z"}]}',
      '{"key":"d","value":"1","expiresAt":"2100-01-01T00:00:00Z"}',
    ].join("\n");
    const done = await runCli(["import", "-"], { env, input });
    assert.equal(done.exitCode, 1);
    assert.match(done.stderr, /record 1: expected RFC 3339 in the field "expiresAt", found "soon"/);
    assert.deepEqual([...node.pairs.keys()], ["d"]);
  });

  it("says before it begins that it cannot remember how far it came, or keep what was refused", async () => {
    for (const option of ["--resume", "--failures"]) {
      const done = await runCli(["import", "-", option, file("no/such/place")], { env, input: numbered(3) });
      assert.equal(done.exitCode, 2, done.stderr);
      assert.match(done.stderr, /^annulus: cannot write .*no\/such\/place: ENOENT[^\n]*\n$/);
    }
    assert.equal(node.writes.length, 0);
  });

  it("sets aside a record whose content type cannot be sent, and goes on", async () => {
    const input =
      '{"key":"a","value":"1","contentType":"text/\u20ac"}\n{"key":"b","value":"1","contentType":"a\\nb"}\n{"key":"c","value":"1"}\n';
    const done = await runCli(["import", "-"], { env, input });
    assert.equal(done.exitCode, 1, done.stderr);
    assert.match(done.stderr, /record 1: expected .*printable ASCII .*"contentType"/);
    assert.deepEqual([...node.pairs.keys()], ["c"]);
    assert.equal((await runCli(["import", "-", "--content-type", "text/\u20ac"], { env, input })).exitCode, 2);
  });

  it("says what it cannot read", async () => {
    const done = await runCli(["import", directory], { env });
    assert.equal(done.exitCode, 1);
    assert.match(done.stderr, /^annulus: cannot read the input: .*EISDIR/m);
  });

  it("goes on past records that are refused for good, keeps them, and ends with 1", async () => {
    node.fault = (request) => (request.url?.startsWith("/v1/kv/k7") ? "refuse" : undefined);
    const input = `${numbered(10)}not json\n{"key":"","value":"x"}\n{"value":"x"}\n`;
    const done = await runCli(["import", "-", "--failures", file("failed.jsonl")], { env, input });
    assert.equal(done.exitCode, 1);
    assert.match(done.stderr, /413: pair too large/);
    assert.match(done.stderr, /4 records were refused; they are in/);
    assert.equal(node.pairs.size, 9);
    const kept = readFileSync(file("failed.jsonl"), "utf8").trim().split("\n").sort();
    assert.deepEqual(kept, ["not json", '{"key":"","value":"x"}', '{"key":"k7","value":"v7"}', '{"value":"x"}'].sort());
  });

  it("ends when no node takes writes any more, and goes on from there when run again", async () => {
    writeFileSync(file("in.jsonl"), numbered(300));
    const args = ["import", file("in.jsonl"), "--resume", file("state"), "--retry-for", "1", "--concurrency", "8"];
    let taken = 0;
    node.fault = () => (++taken > 100 ? "no quorum" : undefined);
    const ended = await runCli(args, { env });
    assert.equal(ended.exitCode, 5, ended.stderr);
    assert.match(ended.stderr, /the import ended early: 503: too few replicas .*run it again to go on/);
    const firstRun = node.writes.length;
    assert.equal(firstRun, 100);
    node.fault = () => undefined;
    const again = await runCli(args, { env });
    assert.equal(again.exitCode, 0, again.stderr);
    assert.equal(node.pairs.size, 300);
    assert(node.writes.slice(0, firstRun).some(({ attempt }) => attempt === "1"));
    assert(
      node.writes.slice(firstRun).every(({ attempt }) => attempt === undefined),
      "its names may be known already",
    );
    assert.ok(node.writes.length - firstRun <= 200 + 8, "records that were acknowledged are not written again");
    const names = new Map<string, string>();
    for (const { key, idempotencyKey } of node.writes) {
      assert.equal(names.get(key) ?? idempotencyKey, idempotencyKey, "a record keeps its name over runs");
      names.set(key, idempotencyKey);
    }
    const third = await runCli(args, { env });
    assert.match(third.stdout.toString(), /^imported 0 records .*300 already there\n$/);
  });

  it("comes by a refused record again when it was kept nowhere", async () => {
    writeFileSync(file("in.jsonl"), numbered(50));
    const args = ["import", file("in.jsonl"), "--resume", file("state"), "--concurrency", "1"];
    node.fault = (request) => (request.url?.startsWith("/v1/kv/k20") ? "refuse" : undefined);
    assert.equal((await runCli(args, { env })).exitCode, 1);
    assert.equal((JSON.parse(readFileSync(file("state"), "utf8")) as { acknowledged: number }).acknowledged, 20);
    node.fault = () => undefined;
    assert.equal((await runCli(args, { env })).exitCode, 0);
    assert.equal(node.pairs.size, 50);
  });

  it("ends where what answers is no node, and counts nothing as imported", async () => {
    node.fault = () => "be another server";
    const done = await runCli(["import", "-"], { env, input: numbered(3) });
    assert.equal(done.exitCode, 1);
    assert.match(done.stderr, /this is not the data port of a node .*ANNULUS_URL/);
    assert.match(done.stdout.toString(), /^imported 0 records /);
  });

  it("goes on with an input that grew, and passes over nothing of another that has its name", async () => {
    const args = ["import", "-", "--resume", file("state"), "--concurrency", "2"];
    const first = await runCli(args, { env, input: numbered(20) });
    assert.equal(first.exitCode, 0, first.stderr);
    const grown = await runCli(args, { env, input: numbered(25) });
    assert.match(grown.stdout.toString(), /^imported 5 records .*20 already there\n$/);
    const state = readFileSync(file("state"), "utf8");
    const others = [numbered(30).replaceAll("v1", "w1"), numbered(24), ""];
    for (const input of others) {
      const other = await runCli(args, { env, input });
      assert.equal(other.exitCode, 2, other.stdout.toString());
      assert.match(other.stderr, /remembers 25 records of another input.*remove/);
    }
    assert.equal(readFileSync(file("state"), "utf8"), state);
    assert.equal(node.writes.length, 25);
  });

  it("refuses a resume file that belongs to another input", async () => {
    writeFileSync(file("a.jsonl"), numbered(1));
    writeFileSync(file("b.jsonl"), numbered(1));
    await runCli(["import", file("a.jsonl"), "--resume", file("state")], { env });
    const other = await runCli(["import", file("b.jsonl"), "--resume", file("state")], { env });
    assert.equal(other.exitCode, 2);
    assert.match(other.stderr, /remembers an import of ".*a\.jsonl", not of ".*b\.jsonl"/);
  });
});

describe("annulus export", () => {
  it("says that it cannot write its file", async () => {
    const adminEnv = { ANNULUS_ADMIN_URL: env.ANNULUS_URL ?? "" };
    const done = await runCli(["export", "--out", file("no/such/place.jsonl")], { env: adminEnv });
    assert.equal(done.exitCode, 1);
    assert.match(done.stderr, /^annulus: cannot write .*place\.jsonl: ENOENT[^\n]*\n$/);
  });

  it("writes what import reads back, byte for byte, also when a node breaks off in the middle", async () => {
    const bytes = Buffer.from([0xff, 0x00, 0x80]);
    node.pairs.set("text/key", [{ value: Buffer.from("line\nbreak ü"), contentType: "text/plain" }]);
    node.pairs.set(bytes.toString("latin1"), [{ value: bytes, contentType: "image/x" }]);
    node.pairs.set("both", [
      { value: Buffer.from("one"), contentType: "a/b" },
      { value: bytes, contentType: "c/d" },
    ]);
    const adminEnv = { ANNULUS_ADMIN_URL: env.ANNULUS_URL ?? "" };
    const exported = await runCli(["export", "--out", file("all.jsonl")], { env: adminEnv });
    assert.equal(exported.exitCode, 0, exported.stderr);
    assert.match(exported.stderr, /exported 3 pairs/);
    const copy = new FakeNode();
    const imported = await runCli(["import", file("all.jsonl"), "--url", await copy.start()]);
    await copy.stop();
    assert.equal(imported.exitCode, 0, imported.stderr);
    const sorted = (pairs: FakeNode["pairs"]) => [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(sorted(copy.pairs), sorted(node.pairs));
  });
});
