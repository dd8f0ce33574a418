/** `annulus backup` with `list`, `verify` and `prune`, and `annulus restore`. */
import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import type { Nodes } from "../client/nodes.ts";
import { counted } from "../core/counted.ts";
import { adminJson, ClusterAnswer, RingAnswer } from "./admin-views.ts";
import { keepRulesOf, withKeepRules } from "./backup/keep-options.ts";
import { requireSound } from "./backup/layer.ts";
import { backupName, backupNames, bytesOf, keysOf, type Manifest, requireManifest } from "./backup/manifest.ts";
import { openPlace } from "./backup/open-place.ts";
import { createBytePace, parseRate } from "./backup/pace.ts";
import type { Place } from "./backup/place.ts";
import { type Pruned, prune } from "./backup/prune.ts";
import { putBack } from "./backup/put-back.ts";
import { formatReport } from "./backup/report.ts";
import { takeBackup } from "./backup/take.ts";
import { byteText } from "./change/figures.ts";
import { createProgressLine, type ProgressLine } from "./change/follow.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";
import { alignTable } from "./table.ts";

type PacedOptions = ConnectionOptions & { readonly rate?: number };

const RATE_HELP = "at most so many MiB a second (else as fast as it goes)";
const PLACE_HELP = "directory that holds the backups, or s3://BUCKET/PREFIX";
const WHICH_HELP = "name of the backup, as `backup list` shows it";

/** `annulus backup`. */
export function backupCommand(): Command {
  return new Command("backup")
    .description("Records of all partitions in a place of backups")
    .addCommand(takeCommand(), { isDefault: true })
    .addCommand(listCommand())
    .addCommand(verifyCommand())
    .addCommand(pruneCommand());
}

type TakeOptions = PacedOptions & { readonly report?: string };

function takeCommand(): Command {
  const command = withConnection(new Command("take"))
    .description("Add a backup: only what differs from the last one, or what one that was broken off still lacks")
    .argument("<place>", PLACE_HELP)
    .option("--rate <MiB/s>", RATE_HELP, parseRate)
    .option("--report <file>", "write what was taken into this file, as JSON, once all is done");
  return withKeepRules(command, "then prune: ").action(async (where: string, options: TakeOptions) => {
    const rules = keepRulesOf(options);
    const of = await describeCluster(options);
    const place = await openPlace(where);
    const taken = await withNodes(options, (nodes, line) =>
      takeBackup(nodes, place, { of, pace: createBytePace(options.rate), line }),
    );
    const { manifest, movedBytes } = taken;
    process.stderr.write(
      `annulus: ${summary(manifest)}, ${byteText(manifest.newBytes)} of it new, ${byteText(movedBytes)} moved; ` +
        `whatever ${manifest.writeQuorum} homes acknowledged before ${manifest.startedAt} is in it\n`,
    );
    const pruned = rules === undefined ? undefined : await prune(place, rules, { dryRun: false });
    if (pruned !== undefined) process.stderr.write(prunedLine(pruned));
    if (options.report !== undefined) await writeReport(options.report, formatReport(taken, pruned));
  });
}

function prunedLine({ kept, removed, freedBytes }: Pruned): string {
  return `annulus: pruned ${counted(removed.length, "backup")}, ${kept.length} kept, ${byteText(freedBytes)} freed\n`;
}

async function writeReport(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new CommandError(`all is done, but cannot write the report: ${(error as Error).message}`, EXIT.failed);
  }
}

function pruneCommand(): Command {
  const command = new Command("prune")
    .description("Remove backups that no rule keeps, and what only they needed; the newest always stays")
    .argument("<place>", PLACE_HELP)
    .option("--dry-run", "only say what would go", false);
  return withKeepRules(command).action(async (where: string, options: Readonly<Record<string, unknown>>) => {
    const rules = keepRulesOf(options);
    if (rules === undefined) throw new CommandError("Cannot prune: name at least one --keep-… rule", EXIT.usage);
    const dryRun = options.dryRun === true;
    const { kept, removed, freedBytes } = await prune(await openPlace(where), rules, { dryRun });
    const rows = [
      ...kept.map(({ manifest, rules }) => [backupName(manifest), rules.length > 0 ? rules.join(", ") : "the newest"]),
      ...removed.map((manifest) => [backupName(manifest), dryRun ? "would go" : "removed"]),
    ];
    process.stdout.write(alignTable([["BACKUP", "KEPT BY"], ...rows.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1))]));
    process.stderr.write(`annulus: ${byteText(freedBytes)} ${dryRun ? "would be freed" : "freed"}\n`);
  });
}

function listCommand(): Command {
  return new Command("list")
    .description("Show the backups of a place, the oldest first")
    .argument("<place>", PLACE_HELP)
    .action(async (where: string) => {
      const backups = await allBackups(await openPlace(where));
      const rows = backups.map((manifest) => [
        ...[backupName(manifest), manifest.startedAt, String(keysOf(manifest))],
        ...[byteText(bytesOf(manifest)), byteText(manifest.newBytes)],
      ]);
      process.stdout.write(alignTable([["BACKUP", "BEGAN", "KEYS", "SIZE", "NEW"], ...rows]));
    });
}

function verifyCommand(): Command {
  return new Command("verify")
    .description("Check that backups are whole and undamaged: all of a place, or one")
    .argument("<place>", PLACE_HELP)
    .option("--backup <name>", WHICH_HELP)
    .action(async (where: string, { backup }: { readonly backup?: string }) => {
      const place = await openPlace(where);
      const newest = await requireManifest(place, backup);
      const backups = backup === undefined ? await allBackups(place) : [newest];
      await requireSound(place, backups);
      for (const manifest of backups) process.stdout.write(`${summary(manifest)}, whole and undamaged\n`);
    });
}

/** `annulus restore`. */
export function restoreCommand(): Command {
  return withConnection(new Command("restore"))
    .description("Merge the records of a backup into a cluster of any size; nothing deleted since comes back")
    .argument("<place>", PLACE_HELP)
    .option("--backup <name>", `${WHICH_HELP} (default: the newest)`)
    .option("--rate <MiB/s>", RATE_HELP, parseRate)
    .option("--from <partition>", "go on with this partition of the backup", parsePartition, 0)
    .action(async (where: string, options: PacedOptions & { readonly from: number; readonly backup?: string }) => {
      const place = await openPlace(where);
      const manifest = await requireManifest(place, options.backup);
      await requireSound(place, [manifest]);
      const { merged, outdated } = await withNodes(options, (nodes, line) =>
        putBack(nodes, { place, manifest }, { from: options.from, pace: createBytePace(options.rate), line }),
      );
      process.stderr.write(
        `annulus: ${counted(merged, "record")} ${merged === 1 ? "is" : "are"} held by W homes, ${outdated} left out: deleted or replaced since the backup\n`,
      );
    });
}

async function allBackups(place: Place): Promise<Manifest[]> {
  return Promise.all((await backupNames(place)).map((name) => requireManifest(place, name)));
}

/** Runs with the nodes and a progress line, and closes both. */
async function withNodes<T>(options: ConnectionOptions, run: (nodes: Nodes, line: ProgressLine) => Promise<T>) {
  const nodes = adminNodes(options);
  const line = createProgressLine(process.stderr, () => performance.now());
  try {
    await nodes.probe();
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
  return `backup ${backupName(manifest)}: ${counted(keysOf(manifest), "key")}, ${byteText(bytesOf(manifest))}, ${counted(manifest.partitions, "partition")}`;
}

function parsePartition(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new CommandError(`Cannot use the partition "${text}": expected a number from 0`, EXIT.usage);
}
