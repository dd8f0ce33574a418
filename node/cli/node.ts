/** `annulus node`: one node in the foreground. */
import { Command } from "commander";
import { settingsTable } from "../config-table.ts";
import { watchParent } from "./parent.ts";
import { restartSetUp } from "./runtime.ts";

/** `annulus node`. */
export function nodeCommand(): Command {
  return new Command("node")
    .description("Run one node in the foreground; its settings are ANNULUS_... variables")
    .option("--settings", "print all settings as a table, and end")
    .action(async (options: { settings?: boolean }) => {
      if (options.settings === true) {
        process.stdout.write(settingsTable());
        return;
      }
      restartSetUp();
      const { runNode } = await import("../main.ts");
      await runNode(process.env, watchParent);
    });
}
