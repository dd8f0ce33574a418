/** The program `annulus` as a person runs it against the admin ports of a cluster of real nodes. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import type { ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory } from "../bench/processes.ts";

export type Ended = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** The plan of a change that has begun, as `--json` prints it. */
export type Begun = {
  readonly id: string;
  readonly movedPartitions: number;
  readonly movedBytes: number;
  readonly members: readonly {
    readonly name: string;
    readonly replicasAfter: number;
    readonly replicasIdeal: number;
    readonly gains: number;
    readonly loses: number;
  }[];
};

const PATIENCE_MS = 900_000;

/** Runs `annulus ...args` to its end. */
export function annulus({ nodes }: Pick<LocalCluster, "nodes">, args: readonly string[]): Promise<Ended> {
  const urls = nodes.map(({ host, adminPort }) => `http://${host}:${adminPort}`);
  const program = join(checkoutDirectory(), "dist/node/cli/main.js");
  const env = { PATH: process.env.PATH, ANNULUS_ADMIN_URL: urls.join(",") };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, ...args],
      { env, timeout: PATIENCE_MS },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** Asks for a change by the command line; gives its plan and its id. */
export async function begin(cluster: Pick<LocalCluster, "nodes">, args: readonly string[]): Promise<Begun> {
  const { code, stdout, stderr } = await annulus(cluster, [...args, "--yes", "--json"]);
  assert.equal(code, 0, `annulus ${args.join(" ")}: ${stderr}`);
  return JSON.parse(stdout) as Begun;
}

/** Waits for the end of a change, by the command line; throws when it was cancelled, or does not end. */
export async function ended(cluster: Pick<LocalCluster, "nodes">, id: string): Promise<void> {
  const { code, stdout, stderr } = await annulus(cluster, ["changes", id, "--wait"]);
  assert.equal(code, 0, `annulus changes ${id} --wait: ${stderr}${stdout}`);
}

/** A node in the form that `annulus join` and `--with` take. */
export function memberOf({ name, host, peerPort, zone }: ClusterNode): string {
  return `${name}=${host}:${peerPort}@${zone}`;
}
