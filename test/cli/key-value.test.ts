import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, jest } from "@jest/globals";
import { patienceMs } from "../../node/cli/key-value.ts";
import { FakeNode } from "./fake-node.ts";
import { runCli } from "./run-cli.ts";

/** Each test starts the program a few times, which takes long on a busy machine. */
jest.setTimeout(60_000);

/** Nothing listens there: connections are refused at once. */
const NOBODY = "http://127.0.0.1:1";

describe("put, get and delete on the command line", () => {
  let node: FakeNode;
  let env: Record<string, string>;

  beforeEach(async () => {
    node = new FakeNode();
    env = { ANNULUS_URL: await node.start() };
  });
  afterEach(() => node.stop());

  it("give back the bytes that were put, whatever they are", async () => {
    const value = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const put = await runCli(["put", "a/key with ü"], { env, input: value });
    assert.deepEqual([put.exitCode, put.stderr], [0, ""]);
    const get = await runCli(["get", "a/key with ü"], { env });
    assert.equal(get.exitCode, 0);
    assert.deepEqual([...get.stdout], [...value]);
  });

  it("say by their exit code that a key is not there", async () => {
    await runCli(["put", "k", "v"], { env });
    assert.equal((await runCli(["delete", "k"], { env })).exitCode, 0);
    const get = await runCli(["get", "k"], { env });
    assert.deepEqual([get.exitCode, get.stdout.length], [4, 0]);
  });

  it("print siblings as JSON with an exit code of their own", async () => {
    await runCli(["put", "k", "one"], { env });
    await runCli(["put", "k", "two", "--blind", "sibling"], { env });
    const get = await runCli(["get", "k"], { env });
    assert.equal(get.exitCode, 3);
    const answer = JSON.parse(get.stdout.toString()) as { context: string; siblings: { value: string }[] };
    const values = answer.siblings.map(({ value }) => Buffer.from(value, "base64").toString());
    assert.deepEqual([answer.context, values], ["token", ["one", "two"]]);
  });

  it("pass every choice on to the node, and show its headers when asked", async () => {
    const args = [
      "put",
      "k",
      "v",
      "-w",
      "3",
      "--mode",
      "strict",
      "--zones",
      "2",
      "--timeout",
      "50",
      "--ttl",
      "9",
      "-i",
    ];
    const put = await runCli([...args, "--idempotency-key", "mine", "--content-type", "text/x"], { env });
    assert.match(put.stdout.toString(), /status: 204\nkv-context: token\nkv-node: fake/);
    assert.deepEqual(node.writes, [
      {
        key: "k",
        query: "?w=3&mode=strict&zones=2&timeout=50&ttl=9",
        idempotencyKey: "mine",
        attempt: undefined,
        contentType: "text/x",
      },
    ]);
  });

  it("refuse what no header can carry", async () => {
    for (const option of ["--content-type", "--idempotency-key", "--context"]) {
      for (const text of ["\u20ac", "a\nb", ""]) {
        const refused = await runCli(["put", "k", "v", option, text], { env });
        assert.deepEqual([refused.exitCode, /printable ASCII/.test(refused.stderr)], [2, true], refused.stderr);
      }
    }
  });

  it("refuse as a key in base64 what is none, instead of meaning another key", async () => {
    for (const args of [
      ["put", "a/b=c", "v"],
      ["get", "YR=="],
      ["delete", "Y Q=="],
      ["locate", "grün"],
    ]) {
      const refused = await runCli([...args, "--base64-key"], { env });
      assert.deepEqual([refused.exitCode, /expected .*base64/.test(refused.stderr)], [2, true], args.join(" "));
    }
    assert.equal((await runCli(["put", "AP8=", "v", "--base64-key"], { env })).exitCode, 0);
    assert.deepEqual(
      node.writes.map(({ key }) => key),
      ["\0\xff"],
    );
  });

  it("go to the next node when one does not answer", async () => {
    const urls = [NOBODY, env.ANNULUS_URL, NOBODY].join(",");
    assert.equal((await runCli(["put", "k", "v", "--url", urls])).exitCode, 0);
    assert.equal(node.writes.length, 1);
  });

  it("do not wait for a node that says nothing: the same write goes to the next one", async () => {
    const silent = new FakeNode();
    silent.fault = () => "say nothing";
    const urls = [await silent.start(), env.ANNULUS_URL].join(",");
    try {
      // Which node is asked first is drawn anew by each run.
      for (const args of [
        ["put", "k", "v"],
        ["put", "k", "v"],
        ["put", "k", "v"],
        ["delete", "k"],
      ]) {
        const beganMs = performance.now();
        const { exitCode, stderr } = await runCli([...args, "--url", urls]);
        assert.deepEqual([exitCode, stderr], [0, ""]);
        assert.ok(performance.now() - beganMs < 12_000, "it waited until the silent node's time was over");
      }
    } finally {
      await silent.stop();
    }
    assert.equal(node.writes.length, 4);
  });

  it("wait for a node longer than it was told to try", () => {
    assert.ok(patienceMs({ timeout: 120_000 }) > 120_000);
    assert.equal(patienceMs({ timeout: 50 }), patienceMs({}));
  });

  it("say of a write that was not acknowledged that it may take effect, also where the next node refused it", async () => {
    node.fault = () => "hang up after writing";
    const unheard = await runCli(["put", "k", "v", "--idempotency-key", "mine"], { env });
    assert.equal(unheard.exitCode, 5);
    assert.match(unheard.stderr, /does not answer: .*may take effect all the same.*--idempotency-key mine/);
    const other = new FakeNode();
    const urls = [env.ANNULUS_URL, await other.start()].join(",");
    try {
      for (const refusal of ["refuse", "no quorum"] as const) {
        let requests = 0;
        node.fault = other.fault = () => (requests++ === 0 ? "hang up after writing" : refusal);
        const refused = await runCli(["put", "k", "v", "--url", urls]);
        assert.equal(refused.exitCode, refusal === "refuse" ? 1 : 5);
        assert.match(refused.stderr, /another node was asked, too, and may have written it/);
      }
      node.fault = other.fault = () => "refuse";
      assert.ok(!(await runCli(["put", "k", "v", "--url", urls])).stderr.includes("may have"));
    } finally {
      await other.stop();
    }
  });

  it("say what was wrong, and end with the code for it", async () => {
    const unreachable = await runCli(["get", "k", "--url", NOBODY]);
    assert.deepEqual(
      [unreachable.exitCode, unreachable.stderr],
      [5, `annulus: ${NOBODY} does not answer: ECONNREFUSED\n`],
    );
    node.fault = () => "no quorum";
    const unavailable = await runCli(["put", "k", "v"], { env });
    assert.equal(unavailable.exitCode, 5);
    assert.match(unavailable.stderr, /503: too few replicas \(required 2, acknowledged 1\)/);
    node.fault = () => "be another server";
    for (const args of [
      ["put", "k", "v"],
      ["delete", "k"],
      ["get", "k"],
    ]) {
      const other = await runCli(args, { env });
      assert.equal(other.exitCode, 1, `${args[0]} took the answer of what is no node for one`);
      assert.match(other.stderr, /this is not the data port of a node .*ANNULUS_URL/);
    }
    node.fault = () => "refuse";
    assert.equal((await runCli(["put", "k", "v"], { env })).exitCode, 1);
    assert.equal((await runCli(["put", "k", "v", "-w", "0"], { env })).exitCode, 2);
    assert.equal((await runCli(["get", "k", "--consistency", "some"], { env })).exitCode, 2);
    assert.equal((await runCli(["status", "--admin-url", "ftp://x"], { env })).exitCode, 2);
    const bare = await runCli(["get", "k", "--url", "127.0.0.1:7400"]);
    assert.equal(bare.exitCode, 2);
    assert.match(bare.stderr, /expected http:\/\/host:port or https:\/\/host:port, found "127\.0\.0\.1:7400"/);
  });
});

describe("annulus node", () => {
  it("ends with 78 and names each setting that is wrong", async () => {
    const env = { ANNULUS_CLUSTR: "x", ANNULUS_NODE: "n1", ANNULUS_DATA_DIR: "/nowhere" };
    const refused = await runCli(["node"], { env });
    assert.equal(refused.exitCode, 78);
    assert.match(refused.stderr, /ANNULUS_CLUSTR: there is no such setting; did you mean ANNULUS_CLUSTER\?/);
    assert.match(refused.stderr, /ANNULUS_CLUSTER: expected .*; it has no default/);
  });
});
