/** The options by which a command is told which backups to keep. */
import type { Command } from "commander";
import { CommandError, EXIT } from "../exit.ts";
import { KEEP_RULES, type KeepRule, type KeepRules } from "./keep.ts";

const KEEP_HELP: Readonly<Record<KeepRule, string>> = {
  last: "keep the last n",
  hourly: "keep the last of each of the last n hours that have one",
  daily: "the same for days (UTC)",
  weekly: "the same for weeks (from Monday)",
  monthly: "the same for months",
  yearly: "the same for years",
};

/** Adds an option for each rule. @param lead What the help says before each. */
export function withKeepRules(command: Command, lead = ""): Command {
  for (const rule of KEEP_RULES) command.option(`--keep-${rule} <n>`, `${lead}${KEEP_HELP[rule]}`, parseKeep);
  return command;
}

/** The rules that were given; undefined where none was. */
export function keepRulesOf(options: object): KeepRules | undefined {
  const values = new Map<string, unknown>(Object.entries(options));
  const given = KEEP_RULES.flatMap((rule) => {
    const count = values.get(`keep${rule.charAt(0).toUpperCase()}${rule.slice(1)}`);
    return typeof count === "number" ? [[rule, count] as const] : [];
  });
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

function parseKeep(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new CommandError(`Cannot keep "${text}" backups: expected a number from 0`, EXIT.usage);
}
