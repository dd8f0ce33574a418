/** `annulus doctor` and `annulus top` against nodes that say whatever is to be found. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, beforeEach, describe, it, jest } from "@jest/globals";
import { look } from "../../node/cli/watch/look.ts";
import { topTable } from "../../node/cli/watch/table.ts";
import { Nodes } from "../../node/client/nodes.ts";
import { diagnose } from "../../node/core/watch/diagnose.ts";
import { bucketsOf, parseMetrics, quantile, sumOf } from "../../node/core/watch/metrics-text.ts";
import { FakeAdmin } from "./fake-admin.ts";
import { closeServer, listenOnLoopback } from "./loopback.ts";
import { runCli } from "./run-cli.ts";

/** Some tests start the program, which takes long on a busy machine. */
jest.setTimeout(60_000);

const NOBODY = "http://127.0.0.1:1";
let one: FakeAdmin;
let two: FakeAdmin;
let urls: string[];

beforeEach(async () => {
  [one, two] = [new FakeAdmin("n1"), new FakeAdmin("n2")];
  urls = [await one.start(), await two.start()];
});
afterEach(() => Promise.all([one.stop(), two.stop()]));

async function seen(at: readonly string[] = urls) {
  const nodes = new Nodes({ urls: at, connectionsMax: 4, timeoutMs: 20_000 });
  try {
    return await look(nodes);
  } finally {
    nodes.close();
  }
}

/** What is found, as `severity check`. */
async function found(at?: readonly string[]): Promise<string[]> {
  return diagnose(await seen(at)).map(({ severity, check }) => `${severity} ${check}`);
}

function setHealth(name: string, health: "up" | "suspect" | "down"): void {
  for (const node of [one, two]) for (const member of node.members) if (member.name === name) member.health = health;
}

/** Lets each node meet a member with a directory. */
function meetWith(name: string, actor: string): void {
  for (const node of [one, two]) for (const member of node.members) if (member.name === name) member.actor = actor;
}

describe("what the doctor finds", () => {
  it("is nothing in a cluster that is well", async () => {
    assert.deepEqual(await found(), []);
  });

  it("is a member that is down, the copies that are missing, and the hints that wait for it", async () => {
    setHealth("n3", "down");
    one.hints = [{ target: "n3", count: 5, bytes: 50 }];
    two.hints = [{ target: "n3", count: 2, bytes: 20 }];
    assert.deepEqual(await found(), ["warning down", "warning hints", "note replicas"]);
    const what = diagnose(await seen()).map((each) => each.what);
    assert.ok(what.includes("n3 is down in the eyes of n1, n2"), what.join("; "));
    assert.ok(what.includes("7 hints wait for n3"), what.join("; "));
    const { advice } = diagnose(await seen()).find(({ check }) => check === "hints") ?? {};
    assert.equal(
      advice,
      "bring n3 back: they are delivered then; where one counted towards W, its write has that copy at home again",
      "most hints are beside W copies, and no write stands on them",
    );
    [one.hints, two.hints] = [[{ target: "n3", count: 1, bytes: 10 }], []];
    const alone = diagnose(await seen()).map((each) => each.what);
    assert.ok(alone.includes("1 hint waits for n3"), alone.join("; "));
  });

  it("is critical where fewer homes are up than a request needs", async () => {
    setHealth("n3", "down");
    setHealth("n2", "down");
    assert.deepEqual(await found(), ["critical quorum", "warning down", "warning down"]);
  });

  it("is a note for what passes by itself: a suspicion, hints on their way, a change under way", async () => {
    setHealth("n3", "suspect");
    one.hints = [{ target: "n2", count: 5, bytes: 50 }];
    const figures = { movedBytes: 1, totalBytes: 2, movedPartitions: 1, totalPartitions: 2 };
    const startedAt = new Date().toISOString();
    one.transition = { id: "5b0f", phase: "prepare", kind: "join n4", startedAt, ...figures };
    assert.deepEqual(await found(), ["note suspect", "note transition", "note hints"]);
    one.transition = { ...one.transition, startedAt: new Date(Date.now() - 2 * 3_600_000).toISOString() };
    assert.ok((await found()).includes("warning transition"));
  });

  it("is a node that does not answer, is not ready, goes by another ring, or by another hour", async () => {
    assert.deepEqual(await found([...urls, NOBODY]), ["warning unreachable"]);
    const [unreached] = diagnose(await seen([...urls, NOBODY]));
    assert.equal(unreached?.what, `${NOBODY} tells nothing: no answer (ECONNREFUSED)`);
    one.notReady = "the node is connecting to its peers";
    two.epoch = 6;
    two.aheadMs = 60_000;
    assert.deepEqual(await found(), ["warning ready", "warning epochs", "warning clocks"]);
  });

  it("is a node that hangs, for which nobody waits long, and one that asks for a token", async () => {
    const hanging = createServer(() => {});
    const hangs = await listenOnLoopback(hanging);
    two.refusal = 401;
    const [hung, refused] = diagnose(await seen([hangs, ...urls]));
    await closeServer(hanging);
    assert.deepEqual([hung?.check, hung?.what], ["unreachable", `${hangs} tells nothing: no answer (in time)`]);
    assert.equal(refused?.check, "refused");
    assert.match(
      refused?.what ?? "",
      /tells nothing: 401: no token; give a token with --token-file, or in ANNULUS_TOKEN/,
    );
  });

  it("is a disk that is nearly full, or takes nothing; damage; a lost disk; a certificate that ends", async () => {
    one.metrics = () => ({
      // Most of it is others': what counts is what is left of the disk.
      annulus_store_free_bytes: 9,
      annulus_store_disk_bytes: 100,
      annulus_store_table_bytes: 1,
      annulus_store_takes_writes: 1,
      annulus_store_corrupt_records_total: 3,
      'annulus_tls_expires_seconds{port="data"}': 86_400,
    });
    two.metrics = () => ({ annulus_store_takes_writes: 0, annulus_store_doubtful_keys: 2 });
    two.members = two.members.map((member) => (member.name === "n3" ? { ...member, state: "rebuilding" } : member));
    const all = ["critical disk", "warning rebuilding", "warning disk", "warning damage", "warning damage"];
    assert.deepEqual(await found(), [...all, "warning certificates"]);
  });

  it("is a member with another directory than the ring lists, which counts for nothing", async () => {
    for (const node of [one, two]) {
      for (const { name } of node.members) node.listed.set(name, `${name}-first`);
      for (const member of node.members) member.actor = `${member.name}-first`;
    }
    assert.deepEqual(await found(), []);
    meetWith("n3", "n3-other");
    assert.deepEqual(await found(), ["warning directories", "note replicas"]);
    const [unlisted] = diagnose(await seen());
    assert.equal(unlisted?.what, "n3 has another data directory than the ring lists");
    assert.match(unlisted?.advice ?? "", /start the member with an empty one/);
    setHealth("n3", "down");
    assert.deepEqual(await found(), ["warning down", "note replicas"], "of one that is away nobody knows what it has");
    setHealth("n3", "up");
    two.notReady = "another data directory took the place of this one";
    meetWith("n2", "n2-other");
    assert.deepEqual(await found(), ["critical voters", "warning ready", "note replicas"]);
    const ready = diagnose(await seen()).find(({ check }) => check === "ready");
    assert.match(ready?.advice ?? "", /start the member with an empty one/);
  });

  it("is a ring that cannot be changed, asked of one node and served by all", async () => {
    for (const { name } of one.members) one.listed.set(name, `${name}-first`);
    for (const member of one.members) member.actor = member.name === "n1" ? "n1-first" : `${member.name}-other`;
    const alone = [urls[0] ?? ""];
    assert.deepEqual(await found(alone), ["critical voters"]);
    const [voters] = diagnose(await seen(alone));
    assert.equal(
      voters?.what,
      "n2, n3 have other data directories than the ring lists, so 2 of 3 votes are lost: no other ring can be chosen, and no member joins, leaves or is listed any more",
    );
    assert.match(voters?.advice ?? "", /restore the backup into a new one/);
  });

  it("is no delivery of hints to a node that is up and takes no writes", async () => {
    one.hints = [{ target: "n2", count: 4, bytes: 40 }];
    two.metrics = () => ({ annulus_store_takes_writes: 0 });
    assert.deepEqual(await found(), ["critical disk", "note hints"]);
    const [, hints] = diagnose(await seen());
    assert.deepEqual(
      [hints?.what, hints?.advice],
      ["4 hints wait for n2, which is up and takes no writes", "they are delivered once it takes writes again"],
    );
  });

  it("is homes that share a zone, too few zones, and addresses of two clusters", async () => {
    one.metrics = () => ({ annulus_ring_partitions_crowded: 4 });
    for (const member of one.members) member.zone = "a";
    two.members = one.members;
    assert.deepEqual(await found(), ["warning zones", "note zones"]);
    two.id = "another";
    assert.equal((await found())[0], "critical clusters");
  });
});

describe("annulus doctor", () => {
  it("says what to do, and by its exit code how bad it is", async () => {
    const env = { ANNULUS_ADMIN_URL: urls.join(",") };
    const well = await runCli(["doctor"], { env });
    assert.deepEqual([well.exitCode, well.stdout.toString()], [0, "nothing is wrong, as n1, n2 see it\n"]);
    setHealth("n3", "down");
    const warned = await runCli(["doctor"], { env });
    assert.equal(warned.exitCode, 1);
    assert.match(warned.stdout.toString(), /^WARNING {3}n3 is down in the eyes of n1, n2\n {10}start it again/);
    setHealth("n2", "down");
    const critical = await runCli(["doctor", "--json"], { env });
    assert.equal(critical.exitCode, 6);
    const { asked, found } = JSON.parse(critical.stdout.toString()) as { asked: string[]; found: { check: string }[] };
    assert.deepEqual([asked, found[0]?.check], [["n1", "n2"], "quorum"]);
    assert.equal((await runCli(["doctor", "--admin-url", NOBODY])).exitCode, 5);
    const alone = await runCli(["doctor", "--admin-url", urls[0] ?? ""]);
    assert.match(alone.stdout.toString(), /, as n1 sees it\n$/);
  });
});

const COUNT = 'http_server_request_duration_seconds_count{http_request_method="GET"}';
const bucket = (bound: string) =>
  `http_server_request_duration_seconds_bucket{http_request_method="GET",le="${bound}"}`;

describe("doctor and top without a token that is asked for", () => {
  it.each([["doctor"], ["top"], ["top", "--once"]])("are refused, which is no outage: %s %s", async (...args) => {
    one.refusal = two.refusal = 401;
    const { exitCode, stdout, stderr } = await runCli(args, { env: { ANNULUS_ADMIN_URL: urls.join(",") } });
    assert.deepEqual([exitCode, stdout.toString()], [1, ""]);
    assert.match(stderr, /^annulus: http:.*: 401: no token; give a token with --token-file, or in ANNULUS_TOKEN_FILE/);
  });
});

describe("annulus top", () => {
  it("shows members, and of those that it asks what happened between two looks", async () => {
    one.metrics = () => ({ [COUNT]: 100, [bucket("0.01")]: 100, [bucket("+Inf")]: 100 });
    const before = await seen([urls[0] ?? ""]);
    one.metrics = () => ({ [COUNT]: 300, [bucket("0.01")]: 300, [bucket("+Inf")]: 300 });
    one.hints = [{ target: "n2", count: 4, bytes: 1 }];
    const after = await seen([urls[0] ?? ""]);
    const rows = topTable(before, { ...after, atMs: before.atMs + 2_000 })
      .split("\n")
      .map((line) => line.split(/ {2,}/).join("|"));
    assert.deepEqual(rows.slice(0, 6), [
      "cluster shop, ring epoch 7, as n1 sees it",
      "",
      "MEMBER|ZONE|STATE|HEALTH|PHI|READS/S|WRITES/S|P50 MS|P99 MS|HINTS",
      "n1|a|active|up|0.5|100|0|5.0|9.9|0",
      "n2|b|active|up|0.5|-|-|-|-|4",
      "n3|c|active|up|0.5|-|-|-|-|0",
    ]);
    assert.deepEqual(rows.slice(6), [
      "",
      "-|not measured: n2, n3. Name their admin ports too, with --admin-url or ANNULUS_ADMIN_URL",
      "",
    ]);
  });

  it("says of a long silence no more than that it is long, and nothing of members that were asked in vain", async () => {
    for (const member of one.members) member.phi = member.name === "n3" ? 4_711.25 : 99.9;
    const table = topTable(undefined, await seen([urls[0] ?? "", NOBODY, NOBODY]));
    assert.match(table, /\nn1 .* up {2,}99\.9 /);
    assert.match(table, /\nn3 .* up {2,}>99 /);
    assert.doesNotMatch(table, /not measured/);
  });

  it("prints one table with --once", async () => {
    const env = { ANNULUS_ADMIN_URL: urls.join(",") };
    const once = await runCli(["top", "--once", "--interval", "10"], { env });
    assert.equal(once.exitCode, 0, once.stderr);
    assert.match(once.stdout.toString(), /^cluster shop, ring epoch 7[\s\S]*\nn1 {2,}a {2,}active {2,}up/);
    assert.equal((await runCli(["top", "--once", "--interval", "10", "--admin-url", NOBODY])).exitCode, 5);
  });
});

describe("annulus status", () => {
  it("prints with --json what the node said, and not only what the table is made of", async () => {
    one.hints = [{ target: "n3", count: 4, bytes: 400 }];
    const env = { ANNULUS_ADMIN_URL: urls[0] ?? "" };
    const { stdout } = await runCli(["status", "--json"], { env });
    const told = JSON.parse(stdout.toString()) as { hints: { waiting: unknown }; members: { phi: number }[] };
    assert.deepEqual([told.hints.waiting, told.members[0]?.phi], [one.hints, 0.5]);
    const ring = await runCli(["ring", "--json"], { env });
    assert.equal((JSON.parse(ring.stdout.toString()) as typeof told).members[0]?.phi, 0.5);
  });

  it("says of a member that the ring lists it with another directory than it has", async () => {
    const env = { ANNULUS_ADMIN_URL: urls[0] ?? "" };
    for (const member of one.members) {
      member.actor = `${member.name}-first`;
      one.listed.set(member.name, member.name === "n2" ? "n2-other" : member.actor);
    }
    const shown = (await runCli(["status"], { env })).stdout.toString();
    assert.match(shown, /\nn1 .* active {2,}up .* n1-first/);
    assert.match(shown, /\nn2 .* active \(unlisted directory\) {2,}up .* n2-first/);
    one.epoch = 0;
    assert.match((await runCli(["status"], { env })).stdout.toString(), /\nn2 .* active {2,}up /);
  });

  it("only names members that have left, unless all are asked for", async () => {
    const [, , third] = one.members;
    assert.ok(third !== undefined);
    Object.assign(third, { state: "left", health: "down" });
    const env = { ANNULUS_ADMIN_URL: urls[0] ?? "" };
    const shown = (await runCli(["status"], { env })).stdout.toString();
    assert.match(shown, /\nn2 .* active {2,}up /);
    assert.doesNotMatch(shown, /\nn3 /);
    assert.match(shown, /\n\nhave left the ring: n3 \(--all shows more\)\n$/);
    const all = (await runCli(["status", "--all"], { env })).stdout.toString();
    assert.match(all, /\nn3 .* left {2,}down /);
    assert.doesNotMatch(all, /have left/);
  });
});

describe("a page of metrics", () => {
  const page =
    '# HELP a A.\na{x="1",y="q\\"}"} 2\na{x="2"} 3\nb 1e3\nh_bucket{le="1"} 10\nh_bucket{le="2"} 30\nh_bucket{le="+Inf"} 40\n';

  it("is read line by line", () => {
    const samples = parseMetrics(page);
    assert.equal(samples.length, 6);
    assert.deepEqual([sumOf(samples, "a"), sumOf(samples, "b"), sumOf(samples, "c")], [5, 1_000, undefined]);
    assert.equal(
      sumOf(samples, "a", ({ x }) => x === "1"),
      2,
    );
    assert.equal(samples[0]?.labels.y, 'q\\"}');
  });

  it("gives quantiles of what came between two looks", () => {
    const buckets = bucketsOf(parseMetrics(page), "h", () => true);
    assert.equal(quantile(new Map(), buckets, 0.5), 1.5);
    assert.equal(quantile(new Map(), buckets, 0.25), 1);
    assert.equal(quantile(new Map(), buckets, 0.99), 2, "above the last bound it is that bound");
    assert.equal(quantile(buckets, buckets, 0.5), undefined);
  });
});
