/** How one node ends when it is told to: while it still starts, and when its disk no longer takes what a clean stop writes. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "@jest/globals";
import { RUNTIME_FLAGS } from "../../node/cli/runtime.ts";
import { LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory, freePorts, sleep } from "../bench/processes.ts";
import { connectRaw } from "../contract/http-client.ts";
import { ask } from "./http.ts";
import { LoopDisk } from "./loop-disk.ts";
import { quoted, Undo } from "./undo.ts";

const ALONE = { ANNULUS_N: "1", ANNULUS_R: "1", ANNULUS_W: "1", ANNULUS_PARTITIONS: "64" };
const DISK_MEBIBYTES = 96;
/** Far less than a node takes for a stop that hangs. */
const ENDS_WITHIN_MS = 5_000;

describe("a node that is told to stop", () => {
  let undo: Undo;
  let parent: string;

  beforeEach(() => {
    undo = new Undo();
    parent = mkdtempSync(join(tmpdir(), "annulus-stop-"));
    undo.with(`rm -rf ${quoted(parent)}`);
  });

  afterEach(() => undo.run());

  it("says that its disk does not take what a clean stop writes, and that is no bug", async () => {
    const { directory } = await LoopDisk.create(undo, join(parent, "disk"), DISK_MEBIBYTES);
    execFileSync("mount", ["-o", "remount,errors=remount-ro", directory]);
    const device = basename(execFileSync("findmnt", ["-no", "SOURCE", directory], { encoding: "utf8" }).trim());
    const place = { host: "127.0.0.1", zone: "a", dataDirectory: join(directory, "data") };
    const cluster = await LocalCluster.start({
      places: [place],
      settings: { ...ALONE, ANNULUS_DISK_RESERVE_BYTES: "0" },
    });
    try {
      const [node] = cluster.nodes;
      assert(node?.server !== undefined, "there is one node, and it runs");
      assert.equal((await ask(node, "PUT", "k", { body: "v" })).status, 204);
      writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, "test\n");
      await node.server.stop();
      assert.equal(await node.server.ended, "exit code 1");
      assert.match(node.server.output, /Read-only file system.*"node\.stop_failed"/);
      assert.doesNotMatch(node.server.output, /node\.bug/);
    } finally {
      await cluster.stop();
    }
  });

  it("is not ready any more while it still answers what is in work", async () => {
    const cluster = await LocalCluster.start({ places: [{ host: "127.0.0.1", zone: "a" }], settings: ALONE });
    const [node] = cluster.nodes;
    assert(node?.server !== undefined, "there is one node, and it runs");
    const working = await connectRaw(node.dataPort);
    try {
      working.send("PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
      await working.receives(/ 100 Continue/);
      const stopped = node.server.stop();
      await assert.rejects(async () => {
        for (;;) await ask(node, "GET", "k");
      }, /fetch failed/);
      const url = `http://127.0.0.1:${node.adminPort}/readyz`;
      assert.equal((await fetch(url)).status, 503);
      working.send("v");
      assert.match(await working.closes(), / 204 /);
      assert.equal(await stopped, true);
      assert.equal(await node.server.ended, "exit code 0");
    } finally {
      working.socket.destroy();
      await cluster.stop();
    }
  });

  it("while it still starts, and is its container's first process, ends at once", async () => {
    const [dataPort, adminPort, peerPort] = await freePorts(3);
    const dataDirectory = join(parent, "data");
    const program = join(checkoutDirectory(), "dist/node/cli/main.js");
    const command = ["--pid", "--fork", "--kill-child", process.execPath, ...RUNTIME_FLAGS, program, "node"];
    const container = spawn("unshare", command, {
      stdio: "ignore",
      env: {
        PATH: process.env.PATH,
        ANNULUS_CLUSTER: "local-test",
        ANNULUS_NODE: "n1",
        ANNULUS_MEMBERS: `n1=127.0.0.1:${peerPort}@a`,
        ANNULUS_HOST: "127.0.0.1",
        ANNULUS_DATA_DIR: dataDirectory,
        ANNULUS_DATA_PORT: String(dataPort),
        ANNULUS_ADMIN_PORT: String(adminPort),
        ANNULUS_PEER_PORT: String(peerPort),
        ...ALONE,
      },
    });
    try {
      while (!existsSync(join(dataDirectory, "store"))) await sleep(1);
      process.kill(firstProcessOf(container), "SIGTERM");
      const [code] = await once(container, "exit", { signal: AbortSignal.timeout(ENDS_WITHIN_MS) });
      assert.equal(code, 0, "it stopped as told");
    } finally {
      container.kill("SIGKILL");
    }
  });
});

/** The process that `unshare` started, by its number out here. A first process is sent only signals that it handles. */
function firstProcessOf({ pid }: ChildProcess): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"));
}
