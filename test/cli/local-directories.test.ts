/** Which cluster a directory of `annulus local` holds: the id that its nodes know each other by. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { prepareDirectories } from "../../node/cli/local/directories.ts";
import { planLocalCluster } from "../../node/cli/local/plan.ts";

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
