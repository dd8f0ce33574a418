/** What a change does and how far it is, as a person reads it. */
import type { z } from "zod";
import { counted } from "../../core/counted.ts";
import type { ChangeAnswer, PlanAnswer, TransitionAnswer } from "../admin-views.ts";
import { alignTable } from "../table.ts";

export type Plan = z.infer<typeof PlanAnswer>;
export type Change = z.infer<typeof ChangeAnswer>;
export type Moved = Pick<Change, "movedBytes" | "totalBytes" | "movedPartitions" | "totalPartitions">;

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** Bytes with a unit: `0 B`, `1.5 MiB`. */
export function byteText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

const percent = (part: number, whole: number) => `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(1)} %`;

/** A plan: what moves, how much, and how even it is afterwards. */
export function planText({ movedPartitions, movedBytes, members, notes }: Plan): string {
  const total = members.reduce((sum, { replicasAfter }) => sum + replicasAfter, 0);
  const rows = members.map((member) => {
    const { name, zone, weight, replicasBefore, replicasAfter, replicasIdeal, gains, loses } = member;
    const share = [percent(replicasAfter, total), percent(replicasIdeal, total)];
    return [
      name,
      zone,
      String(weight),
      `${replicasBefore} -> ${replicasAfter}`,
      ...share,
      String(gains),
      String(loses),
    ];
  });
  const head = ["MEMBER", "ZONE", "WEIGHT", "REPLICAS", "SHARE", "IDEAL", "GETS", "GIVES UP"];
  const isCopied = movedPartitions > 0;
  const copies = isCopied
    ? `${counted(movedPartitions, "replica")} of partitions, about ${byteText(movedBytes)}`
    : "nothing";
  const lines = [`\nThis change copies ${copies}. ${evenness(members)}\n`, ...notes.map((note) => `note: ${note}\n`)];
  return alignTable([head, ...rows]) + lines.join("");
}

/** How far members are from what weights and zones ask for. */
function evenness(members: Plan["members"]): string {
  let farthest: { name: string; replicas: number; ideal: number } | undefined;
  for (const { name, replicasAfter, replicasIdeal } of members) {
    const replicas = Math.abs(replicasAfter - replicasIdeal);
    if (replicas < 1e-6 || replicas <= (farthest?.replicas ?? 0)) continue;
    farthest = { name, replicas, ideal: replicasIdeal };
  }
  if (farthest === undefined) return "Afterwards each member holds just its share.";
  const { name, replicas, ideal } = farthest;
  return `Afterwards ${name} is farthest from its share: by ${replicas.toFixed(1)} replicas (${percent(replicas, ideal)}).`;
}

/** `1.0 MiB of about 2.0 MiB, 3 of 7 replicas`. */
export function movedText({ movedBytes, totalBytes, movedPartitions, totalPartitions }: Moved): string {
  const replicas = `${movedPartitions} of ${counted(totalPartitions, "replica")}`;
  return `${byteText(movedBytes)} of about ${byteText(totalBytes)}, ${replicas}`;
}

/** The change under way in one line, as `annulus status` shows it. */
export function transitionText(transition: z.infer<typeof TransitionAnswer>): string {
  const { id, phase, kind, startedAt } = transition;
  return `change ${id} since ${startedAt}: ${kind}; ${phase}, ${movedText(transition)}`;
}

/** Where a change is, in one line. */
export function stateText(change: Change): string {
  const moved = change.totalPartitions === 0 ? "" : `, ${movedText(change)}`;
  return `${change.state}${moved}${change.waitsFor === undefined ? "" : `, waits for ${change.waitsFor}`}`;
}

/** A change with each member that gets something. */
export function changeText(change: Change): string {
  const { id, kind, startedAt, epoch, members } = change;
  const since = startedAt === undefined ? "" : ` since ${startedAt}`;
  const title = `change ${id}${since}${kind === undefined ? "" : `: ${kind}`}\n${stateText(change)}, ring epoch ${epoch}\n`;
  if (members.length === 0) return title;
  const rows = members.map((member) => {
    const { name, epoch: adopted, complete, movedBytes, totalBytes, movedPartitions, totalPartitions } = member;
    const bytes = `${byteText(movedBytes)} of ${byteText(totalBytes)}`;
    return [name, String(adopted), complete ? "yes" : "no", bytes, `${movedPartitions} of ${totalPartitions}`];
  });
  return `${title}\n${alignTable([["MEMBER", "EPOCH", "COMPLETE", "BYTES", "REPLICAS"], ...rows])}`;
}
