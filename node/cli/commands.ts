/** All commands of `annulus`, in the order in which its help lists them. */
import type { Command } from "commander";
import { backupCommand, restoreCommand } from "./backup.ts";
import { drainCommand, joinCommand, leaveCommand, replaceCommand, weightCommand, zoneCommand } from "./change.ts";
import { changesCommand } from "./changes.ts";
import { doctorCommand } from "./doctor.ts";
import { exportCommand } from "./export.ts";
import { importCommand } from "./import.ts";
import { deleteCommand, getCommand, putCommand } from "./key-value.ts";
import { localCommand } from "./local.ts";
import { nodeCommand } from "./node.ts";
import { ringCommand } from "./ring.ts";
import { addRingDisplay } from "./ring-show.ts";
import { salvageCommand } from "./salvage.ts";
import { locateCommand, statusCommand } from "./status.ts";
import { tokenCommand } from "./token.ts";
import { topCommand } from "./top.ts";

/** Made anew for each call: a command remembers what it was given. */
export function allCommands(): Command[] {
  const ring = ringCommand();
  addRingDisplay(ring);
  return [
    nodeCommand(),
    localCommand(),
    putCommand(),
    getCommand(),
    deleteCommand(),
    statusCommand(),
    topCommand(),
    doctorCommand(),
    ring,
    locateCommand(),
    importCommand(),
    exportCommand(),
    salvageCommand(),
    backupCommand(),
    restoreCommand(),
    joinCommand(),
    leaveCommand(),
    replaceCommand(),
    weightCommand(),
    zoneCommand(),
    drainCommand(),
    changesCommand(),
    tokenCommand(),
  ];
}
