/** Which cluster a directory of `annulus local` holds: the id that its nodes know each other by, and whether it has a ring. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { isFounded, noteFounded, notePid, prepareDirectories } from "../../node/cli/local/directories.ts";
import { environmentOf, planLocalCluster } from "../../node/cli/local/plan.ts";
import { localCommand } from "../../node/cli/local.ts";

describe("the id of a local cluster", () => {
  let data: string;
  const plan = () => planLocalCluster({ nodes: 3, zones: ["a", "b", "c"], dataDirectory: data, basePort: 7400 });
  const prepare = (options: { fresh?: boolean } = {}) => prepareDirectories({ data, ...options }, plan());

  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), "annulus-directories-"));
  });
  afterEach(() => rmSync(data, { recursive: true, force: true }));

  it("stays the same for as long as its data does", () => {
    const id = prepare();
    assert.match(id, /^local-[0-9a-f]{8}$/);
    assert.equal(prepare(), id);
  });

  it("is another one once the data was deleted, so that a node of before is a stranger", () => {
    assert.notEqual(prepare(), prepare({ fresh: true }));
  });

  it("is the one that all had before, for a cluster that was begun then", () => {
    prepare();
    rmSync(join(data, "cluster-id"));
    assert.equal(prepare(), "local");
  });
});

describe("the ring of a local cluster", () => {
  let data: string;
  const plan = (nodes = 3) => planLocalCluster({ nodes, zones: ["a", "b"], dataDirectory: data, basePort: 7400 });
  const settingsOf = (nodes: number) =>
    plan(nodes).map((node) => {
      const { ANNULUS_MEMBERS, ANNULUS_SEEDS } = environmentOf(
        node,
        { id: "c", isFounded: isFounded(data, plan(nodes)) },
        {},
      );
      return { members: ANNULUS_MEMBERS, seeds: ANNULUS_SEEDS };
    });

  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), "annulus-directories-"));
  });
  afterEach(() => rmSync(data, { recursive: true, force: true }));

  it("is made by its nodes the first time, and asked for ever after: two that lost their disks would make another", () => {
    prepareDirectories({ data }, plan());
    const members = "n1=127.0.0.1:7402@a,n2=127.0.0.1:7412@b,n3=127.0.0.1:7422@a";
    assert.deepEqual(settingsOf(3)[1], { members, seeds: "" });
    noteFounded(data);
    mkdirSync(join(data, "n3", "store"));
    assert.deepEqual(settingsOf(3)[1], { members: "", seeds: "127.0.0.1:7402,127.0.0.1:7422" });
    rmSync(join(data, "n3", "store"), { recursive: true });
    assert.deepEqual(settingsOf(3)[1], { members, seeds: "" }, "nobody has it any more");
  });

  it("is made anew by a cluster that is begun afresh, and by a node that has nobody to ask", () => {
    prepareDirectories({ data }, plan());
    noteFounded(data);
    mkdirSync(join(data, "n1", "store"));
    assert.deepEqual(settingsOf(1)[0], { members: "n1=127.0.0.1:7402@a", seeds: "" });
    prepareDirectories({ data, fresh: true }, plan());
    assert.equal(settingsOf(3)[1]?.seeds, "");
  });
});

describe("the process id of a local node", () => {
  it("is noted also where its directory was deleted while it was dead", () => {
    const data = mkdtempSync(join(tmpdir(), "annulus-directories-"));
    const [node] = planLocalCluster({ nodes: 1, zones: ["a"], dataDirectory: data, basePort: 7400 });
    assert.ok(node !== undefined);
    try {
      prepareDirectories({ data }, [node]);
      rmSync(node.directory, { recursive: true });
      notePid(node, 4711);
      assert.equal(readFileSync(node.pidFile, "utf8"), "4711\n");
    } finally {
      rmSync(data, { recursive: true });
    }
  });
});

describe("the help of annulus local", () => {
  it("shows the zones as they may be typed", () => {
    assert.match(localCommand().helpInformation(), /--zones <names> .*\(default:\s+a,b,c\)/s);
  });
});
