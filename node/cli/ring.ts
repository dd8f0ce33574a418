/**
 * `annulus ring`: what the ring looks like, and what a change would make of it.
 *
 * `ring plan` needs no cluster: it reads members from a file and runs the planner that nodes run. What it prints is
 * a proposal; nobody can install a ring, one can only ask a cluster's members for a change.
 */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { z } from "zod";
import { KvError } from "../core/errors.ts";
import { movement } from "../core/ring/movement.ts";
import { type Placement, type PlacementTable, planPlacement } from "../core/ring/placement.ts";
import { CommandError, EXIT } from "./exit.ts";

const name = z.string().min(1).max(255);

/** What `--members` names: who should hold a ring, and its figures. */
const MembersFile = z.strictObject({
  n: z.int().min(1).max(16).default(3),
  /** Equal parts of the hash space, a power of two. */
  partitions: z.int().min(1).max(65_536).default(512),
  members: z
    .array(z.strictObject({ id: name, zone: name.default("default"), weight: z.number().min(0).max(1e6).default(100) }))
    .min(1)
    .max(1_000),
});

/** What `--from` names: an earlier output of this command, or the admin API's `GET /v1/ring`. */
const RingFile = z.object({
  epoch: z.int().min(1),
  partitions: z.int().min(1),
  preferenceLists: z.array(z.array(name)),
});

export type MembersFile = z.infer<typeof MembersFile>;
export type RingFile = z.infer<typeof RingFile>;

/** The ring document that a plan leads to, as the command prints it. */
export type PlannedRing = {
  readonly epoch: number;
  readonly n: number;
  readonly partitions: number;
  /** Sorted by id. */
  readonly members: readonly { readonly id: string; readonly zone: string; readonly weight: number }[];
  /** Ids of the N home replicas of each partition, in order. */
  readonly preferenceLists: readonly (readonly string[])[];
};

/** Names the homes of an earlier ring by index, as the planner wants them. */
function tableOf({ partitions, preferenceLists }: RingFile): PlacementTable {
  const indexes = new Map<string, number>();
  for (const id of preferenceLists.flat()) if (!indexes.has(id)) indexes.set(id, indexes.size);
  for (const [partition, ids] of preferenceLists.entries()) {
    if (new Set(ids).size === ids.length) continue;
    throw new KvError("INVALID_REQUEST", `Cannot plan from that ring: partition ${partition} names a member twice.`);
  }
  if (preferenceLists.length !== partitions) {
    throw new KvError(
      "INVALID_REQUEST",
      `Cannot plan from that ring: it has ${partitions} partitions and ${preferenceLists.length} preference lists.`,
    );
  }
  return {
    members: [...indexes.keys()].map((id) => ({ name: id })),
    homes: preferenceLists.map((ids) => ids.map((id) => indexes.get(id) ?? 0)),
  };
}

/**
 * Plans the ring that a members file asks for.
 *
 * @param from The ring in force; without it the plan is a first ring of epoch 1.
 * @throws {KvError} INVALID_REQUEST: no such ring, or one with other partitions than `from`.
 */
export function planRing(file: MembersFile, from?: RingFile): { readonly ring: PlannedRing; readonly plan: Placement } {
  const plan = planPlacement({
    partitions: file.partitions,
    replicationFactor: file.n,
    members: file.members.map(({ id, zone, weight }) => ({ name: id, zone, weight })),
    previous: from === undefined ? undefined : tableOf(from),
  });
  const members = plan.members.map(({ name: id, zone, weight }) => ({ id, zone, weight }));
  const ring: PlannedRing = {
    epoch: (from?.epoch ?? 0) + 1,
    n: file.n,
    partitions: file.partitions,
    members,
    preferenceLists: plan.homes.map((row) => row.map((home) => members[home]?.id ?? "")),
  };
  return { ring, plan };
}

function readJson<Shape extends z.ZodType>(path: string, shape: Shape): z.infer<Shape> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KvError("INVALID_REQUEST", `Cannot read ${path}: ${reason}`, { cause });
  }
  const parsed = shape.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new KvError("INVALID_REQUEST", `Cannot use ${path}:\n${z.prettifyError(parsed.error)}`);
}

/** Lines of a table: texts to the left, figures to the right. */
function alignColumns(rows: readonly (readonly string[])[], textColumns: number): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const align = (cell: string, column: number) =>
    column < textColumns ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return rows.map((row) => `${row.map(align).join("  ").trimEnd()}\n`).join("");
}

/** The plan as a person reads it. */
function describePlan({ ring, plan }: ReturnType<typeof planRing>, from: RingFile | undefined): string {
  const total = ring.partitions * ring.n;
  const percent = (replicas: number) => `${((100 * replicas) / total).toFixed(2)} %`;
  const rows = [["member", "zone", "weight", "replicas", "ideal", "share", "ideal", "first places"]];
  for (const member of plan.report.members) {
    rows.push([
      member.name,
      member.zone,
      String(member.weight),
      String(member.replicas),
      member.idealReplicas.toFixed(2),
      percent(member.replicas),
      percent(member.idealReplicas),
      String(member.firstPlaces),
    ]);
  }
  const lines = [`\nepoch ${ring.epoch}, ${ring.partitions} partitions, N = ${ring.n}\n`];
  if (from !== undefined) {
    const moves = movement({ from: tableOf(from), to: plan });
    const partitions = new Set(moves.map((move) => move.partition)).size;
    lines.push(
      `${moves.length} of ${total} replicas move, in ${partitions} partitions; at least ${plan.report.movedReplicasMin} must\n`,
    );
  }
  return alignColumns(rows, 2) + lines.join("") + plan.report.notes.map((note) => `note: ${note}\n`).join("");
}

function planCommand(): Command {
  return new Command("plan")
    .description("show the ring that a set of members would get, without a cluster")
    .requiredOption("--members <file>", 'JSON: {"n": 3, "partitions": 512, "members": [{"id", "zone", "weight"}]}')
    .option("--from <ring>", "JSON: the ring in force, as an earlier plan or GET /v1/ring printed it")
    .option("--json", "print the ring document instead of a table")
    .action((options: { members: string; from?: string; json?: true }) => {
      try {
        const from = options.from === undefined ? undefined : readJson(options.from, RingFile);
        const planned = planRing(readJson(options.members, MembersFile), from);
        process.stdout.write(options.json ? `${JSON.stringify(planned.ring)}\n` : describePlan(planned, from));
      } catch (error) {
        if (!(error instanceof KvError)) throw error;
        throw new CommandError(error.message, EXIT.failed);
      }
    });
}

/** The command `ring` with its sub-commands, to be added to the program. */
export function ringCommand(): Command {
  return new Command("ring").description("look at a ring, or plan one").addCommand(planCommand());
}
