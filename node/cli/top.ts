/** `annulus top`: the members of a cluster and what they do, live in the terminal. */
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import type { Look } from "../core/watch/look.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { positive } from "./key-value.ts";
import { look, requireView } from "./watch/look.ts";
import { topTable } from "./watch/table.ts";

type TopOptions = ConnectionOptions & { readonly interval: number; readonly once?: boolean };

/** Clears the screen and goes to its first place. */
const CLEAR = "\u001b[2J\u001b[H";

/** `annulus top`. Ends with Ctrl-C; with `--once` after one table, with 1 when a token is missing, with 5 when no node answered. */
export function topCommand(): Command {
  return withConnection(new Command("top").description("Show members, health, load and latency, live"))
    .option("--interval <ms>", "time between two looks", positive, 2_000)
    .option("--once", "print one table, of one interval, and end")
    .action(async (options: TopOptions) => {
      const nodes = adminNodes(options);
      try {
        let before = await look(nodes);
        // Nobody's outage, and nothing that waiting mends.
        if (before.silent.some(({ isRefusal }) => isRefusal)) requireView(before);
        if (options.once !== true) show(topTable(undefined, before), before);
        for (;;) {
          await sleep(options.interval);
          const now = await look(nodes);
          if (options.once === true) return printOnce(topTable(before, now), now);
          show(topTable(before, now), now);
          before = now;
        }
      } finally {
        nodes.close();
      }
    });
}

function show(table: string, { atMs }: Look): void {
  const clear = process.stdout.isTTY === true ? CLEAR : "";
  process.stdout.write(`${clear}${new Date(atMs).toISOString()}  ${table}\n`);
}

function printOnce(table: string, seen: Look): void {
  requireView(seen);
  process.stdout.write(table);
}
