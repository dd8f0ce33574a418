/** `annulus node`: one node in the foreground. */
import { Command } from "commander";
import { watchParent } from "./parent.ts";
import { restartSetUp } from "./runtime.ts";

/** `annulus node`. */
export function nodeCommand(): Command {
  return new Command("node")
    .description("Run one node in the foreground; its settings are ANNULUS_... variables")
    .option("--settings", "print all settings as a table, and end")
    .action(async (options: { settings?: boolean }) => {
      if (options.settings === true) {
        const { settingsTable } = await import("../config-table.ts");
        process.stdout.write(settingsTable());
        return;
      }
      // Before the rest is loaded, which would be loaded twice.
      restartSetUp();
      const { runNode } = await import("../main.ts");
      await runNode(process.env, watchParent);
    });
}
