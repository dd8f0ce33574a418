/** `annulus backup`, `annulus backup verify` and `annulus restore`. */
import { Command } from "commander";
import type { Nodes } from "../client/nodes.ts";
import { adminJson, ClusterAnswer, RingAnswer } from "./admin-views.ts";
import { type Manifest, requireWhole } from "./backup/manifest.ts";
import { createBytePace, parseRate } from "./backup/pace.ts";
import { putBack } from "./backup/put-back.ts";
import { bytesOf, keysOf, takeBackup } from "./backup/take.ts";
import { byteText } from "./change/figures.ts";
import { createProgressLine, type ProgressLine } from "./change/follow.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";

type PacedOptions = ConnectionOptions & { readonly rate?: number };

const RATE_HELP = "at most so many MiB a second (else as fast as it goes)";

/** `annulus backup`. */
export function backupCommand(): Command {
  const take = withConnection(new Command("take"))
    .description("Write all records into a directory, or go on with a backup that was broken off")
    .argument("<directory>", "where the backup is, or is to be")
    .option("--rate <MiB/s>", RATE_HELP, parseRate)
    .action(async (directory: string, options: PacedOptions) => {
      const of = await describeCluster(options);
      const manifest = await withNodes(options, (nodes, line) =>
        takeBackup(nodes, directory, { of, pace: createBytePace(options.rate), line }),
      );
      process.stderr.write(
        `annulus: ${summary(manifest)}; whatever ${manifest.writeQuorum} homes acknowledged before ${manifest.startedAt} is in it\n`,
      );
    });
  const verify = new Command("verify")
    .description("Check that a backup is whole and undamaged")
    .argument("<directory>", "where the backup is")
    .action(async (directory: string) => {
      process.stdout.write(`${summary(await requireWhole(directory))}, whole and undamaged\n`);
    });
  return new Command("backup")
    .description("Records of all partitions in a directory: `backup DIRECTORY`, `backup verify DIRECTORY`")
    .addCommand(take, { isDefault: true })
    .addCommand(verify);
}

/** `annulus restore`. */
export function restoreCommand(): Command {
  return withConnection(new Command("restore"))
    .description("Merge the records of a backup into a cluster of any size; nothing deleted since comes back")
    .argument("<directory>", "where the backup is")
    .option("--rate <MiB/s>", RATE_HELP, parseRate)
    .option("--from <partition>", "go on with this partition of the backup", parsePartition, 0)
    .action(async (directory: string, options: PacedOptions & { readonly from: number }) => {
      const manifest = await requireWhole(directory);
      const { merged, outdated } = await withNodes(options, (nodes, line) =>
        putBack(nodes, { directory, manifest }, { from: options.from, pace: createBytePace(options.rate), line }),
      );
      process.stderr.write(
        `annulus: ${merged} records are held by W homes, ${outdated} left out: deleted or replaced since the backup\n`,
      );
    });
}

/** Runs with the nodes and a progress line, and closes both. */
async function withNodes<T>(options: ConnectionOptions, run: (nodes: Nodes, line: ProgressLine) => Promise<T>) {
  const nodes = adminNodes(options);
  const line = createProgressLine(process.stderr, () => performance.now());
  try {
    return await run(nodes, line);
  } finally {
    line.end();
    nodes.close();
  }
}

async function describeCluster(options: ConnectionOptions) {
  // Before the first page is read, so that what was acknowledged until now is in it.
  const startedAt = new Date().toISOString();
  const { id: clusterId } = await adminJson(adminNodes(options), "/v1/cluster", ClusterAnswer);
  const ring = await adminJson(adminNodes(options), "/v1/ring", RingAnswer);
  return {
    ...{ clusterId, startedAt, partitions: ring.partitions, ringEpoch: ring.epoch },
    ...{ replicationFactor: ring.n, readQuorum: ring.r, writeQuorum: ring.w },
  };
}

function summary(manifest: Manifest): string {
  return `backup of ${manifest.startedAt}: ${keysOf(manifest)} keys, ${byteText(bytesOf(manifest))}, ${manifest.partitions} partitions`;
}

function parsePartition(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new CommandError(`Cannot use the partition "${text}": expected a number from 0`, EXIT.usage);
}
