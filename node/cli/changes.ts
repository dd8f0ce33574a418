/** `annulus changes`: the change under way, one that was, or its end. */
import { Command } from "commander";
import type { Nodes } from "../client/nodes.ts";
import { ChangeAnswer, ClusterAnswer, parseAnswer } from "./admin-views.ts";
import { changeText } from "./change/figures.ts";
import { follow } from "./change/follow.ts";
import { sendOnce } from "./change/send.ts";
import { adminNodes, answerError, type ConnectionOptions, withConnection } from "./connection.ts";
import { CommandError, EXIT } from "./exit.ts";

type Options = ConnectionOptions & { readonly cancel?: string; readonly wait?: boolean; readonly json?: boolean };

/** `annulus changes [ID] [--cancel ID]`. */
export function changesCommand(): Command {
  return withConnection(new Command("changes").description("Show how far a change of the ring is, or take one back"))
    .argument("[id]", "the change; without it, the one under way")
    .option("--cancel <id>", "take this change back; only before it has switched")
    .option("--wait", "stay until it has ended, and show how far it is")
    .option("--json", "print the node's answer as it is")
    .action(async (id: string | undefined, options: Options, command: Command) => {
      if (options.cancel !== undefined && (id !== undefined || options.wait === true || options.json === true)) {
        command.error("error: --cancel goes alone");
      }
      const nodes = adminNodes(options);
      try {
        if (options.cancel === undefined) await show(nodes, id, options);
        else await cancel(nodes, options.cancel);
      } finally {
        nodes.close();
      }
    });
}

async function show(nodes: Nodes, named: string | undefined, options: Options): Promise<void> {
  const id = named ?? (await currentId(nodes));
  if (id === undefined) {
    process.stdout.write(options.json === true ? "null\n" : "no change is under way\n");
    return;
  }
  if (options.wait === true) await follow(nodes, id);
  const answer = await nodes.attempt({ method: "GET", path: pathOf(id) });
  if (answer.status === 404) throw new CommandError(answerError(answer).message, EXIT.notFound);
  if (answer.status !== 200) throw answerError(answer);
  const change = parseAnswer(nodes, answer, ChangeAnswer);
  process.stdout.write(options.json === true ? `${JSON.stringify(change)}\n` : changeText(change));
}

async function currentId(nodes: Nodes): Promise<string | undefined> {
  const answer = await nodes.attempt({ method: "GET", path: "/v1/cluster" });
  if (answer.status !== 200) throw answerError(answer);
  return parseAnswer(nodes, answer, ClusterAnswer).transition?.id;
}

async function cancel(nodes: Nodes, id: string): Promise<void> {
  const answer = await sendOnce(nodes, { method: "DELETE", path: pathOf(id) });
  if (answer.status === 404) throw new CommandError(answerError(answer).message, EXIT.notFound);
  if (answer.status !== 204) throw answerError(answer);
  process.stdout.write(`change ${id} is cancelled\n`);
}

function pathOf(id: string): string {
  return `/v1/cluster/changes/${encodeURIComponent(id)}`;
}
