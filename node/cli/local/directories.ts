/**
 * The data directory of a local cluster, and the memory of which cluster it holds.
 *
 * The nodes keep the ring they were first started with. Started with other members or zones, the old ones would go by
 * the old ring and the new ones by another: so that is refused here, with what to do instead. And each cluster has an id of
 * its own: a node that was added by hand and still runs when another cluster begins on the same ports is a stranger to it.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandError, EXIT } from "../exit.ts";
import type { LocalNode } from "./plan.ts";

const SHAPE_FILE = "cluster.json";
const ID_FILE = "cluster-id";
const FOUNDED_FILE = "founded";
/** Of clusters that were begun before each had an id of its own. */
const EARLIER_ID = "local";

/**
 * Makes the nodes' directories; with `fresh` without what earlier runs left in them.
 *
 * @returns The cluster's id: the one that it began with, else a new one.
 * @throws {CommandError} When the directory holds a cluster of another shape.
 */
export function prepareDirectories(
  options: { readonly data: string; readonly fresh?: boolean },
  plan: readonly LocalNode[],
): string {
  const file = join(options.data, SHAPE_FILE);
  const shape = JSON.stringify(plan.map(({ name, zone, dataPort }) => ({ name, zone, dataPort })));
  if (options.fresh === true) removeEarlier(options.data);
  else if (existsSync(file)) refuseOtherShape(options.data, readFileSync(file, "utf8").trim(), shape);
  for (const { directory } of plan) mkdirSync(directory, { recursive: true });
  const id = clusterId(options.data, existsSync(file));
  writeFileSync(file, `${shape}\n`);
  return id;
}

/**
 * Whether the cluster has a ring. Its nodes look for that then and make no first one: two whose disks were lost could not
 * tell, and the third may be late. Where no node has a store any more there is none to be found.
 */
export function isFounded(data: string, plan: readonly LocalNode[]): boolean {
  return existsSync(join(data, FOUNDED_FILE)) && plan.some(({ directory }) => existsSync(join(directory, "store")));
}

/** Remembers that every node has a ring. */
export function noteFounded(data: string): void {
  writeFileSync(join(data, FOUNDED_FILE), "");
}

/** Notes which process runs a node. Its directory is made anew: somebody may have deleted it while the node was dead, as a disk is lost. */
export function notePid({ directory, pidFile }: LocalNode, pid: number): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(pidFile, `${pid}\n`);
}

function clusterId(data: string, isHeld: boolean): string {
  const file = join(data, ID_FILE);
  if (!existsSync(file)) writeFileSync(file, `${isHeld ? EARLIER_ID : `local-${randomBytes(4).toString("hex")}`}\n`);
  return readFileSync(file, "utf8").trim();
}

/** Only what this command made is removed: the directory was named by hand and may hold other things. */
function removeEarlier(data: string): void {
  rmSync(join(data, FOUNDED_FILE), { force: true });
  const file = join(data, SHAPE_FILE);
  if (!existsSync(file)) return;
  for (const { name } of JSON.parse(readFileSync(file, "utf8")) as { name: string }[]) {
    rmSync(join(data, name), { recursive: true, force: true });
  }
  rmSync(join(data, ID_FILE), { force: true });
  rmSync(file);
}

function refuseOtherShape(data: string, held: string, wanted: string): void {
  if (held === wanted) return;
  throw new CommandError(
    `${data} holds the data of a cluster with other nodes, zones or ports. Start it as it was, ` +
      "give another directory with --data, or delete that data with --fresh.",
    EXIT.failed,
  );
}
