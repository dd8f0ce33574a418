/** `annulus changes`: the change under way, one that was, or its end. */
import { Command } from "commander";
import type { Answer } from "../client/http.ts";
import type { Nodes } from "../client/nodes.ts";
import { ChangeAnswer, ClusterAnswer, parseAnswer } from "./admin-views.ts";
import { type Change, changeText } from "./change/figures.ts";
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

const NONE = "no change is under way. How one ended: annulus changes ID; what the ring is now: annulus status\n";

async function show(nodes: Nodes, named: string | undefined, options: Options): Promise<void> {
  const id = named ?? (await currentId(nodes));
  if (id === undefined) {
    process.stdout.write(options.json === true ? "null\n" : NONE);
    return;
  }
  const change = options.wait === true ? await follow(nodes, id) : await known(nodes, id);
  process.stdout.write(options.json === true ? `${JSON.stringify(change)}\n` : changeText(change));
}

/** Asks on where a node does not know the change: one that is not a member, or heard of nothing yet, knows none. */
async function known(nodes: Nodes, id: string): Promise<Change> {
  const answer = await nodes.soonest({ method: "GET", path: pathOf(id) }, ({ status }) => status !== 200);
  if (answer.status !== 200) throw notFound(answer);
  return parseAnswer(nodes, answer, ChangeAnswer);
}

async function currentId(nodes: Nodes): Promise<string | undefined> {
  const answer = await nodes.soonest({ method: "GET", path: "/v1/cluster" });
  if (answer.status !== 200) throw answerError(answer);
  return parseAnswer(nodes, answer, ClusterAnswer).transition?.id;
}

async function cancel(nodes: Nodes, id: string): Promise<void> {
  const call = { method: "DELETE", path: pathOf(id) } as const;
  const answer = await sendOnce(nodes, call, { isPassedOver: ({ status }) => status === 404 });
  if (answer.status !== 204) throw notFound(answer);
  process.stdout.write(`change ${id} is cancelled\n`);
}

/** The error of an answer, with an exit code of its own for what is not there. */
function notFound(answer: Answer): CommandError {
  const error = answerError(answer);
  return answer.status === 404 ? new CommandError(error.message, EXIT.notFound) : error;
}

function pathOf(id: string): string {
  return `/v1/cluster/changes/${encodeURIComponent(id)}`;
}
