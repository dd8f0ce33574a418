/**
 * `annulus join`, `leave`, `replace`, `weight`, `zone` and `drain`: changes of the ring.
 *
 * Each shows first what the change would do, asks, and then asks the cluster's members for it; they agree on it, and
 * carry it out by themselves.
 */
import { Command, InvalidArgumentError } from "commander";
import type { Nodes } from "../client/nodes.ts";
import { KvError } from "../core/errors.ts";
import { parseFirstMembers } from "../core/ring/first-members.ts";
import { BegunAnswer, PlanAnswer, parseAnswer } from "./admin-views.ts";
import { confirm } from "./change/confirm.ts";
import { planText } from "./change/figures.ts";
import { follow } from "./change/follow.ts";
import { sendOnce } from "./change/send.ts";
import { adminNodes, answerError, type ConnectionOptions, withConnection } from "./connection.ts";

type ChangeOptions = ConnectionOptions & {
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly wait?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
};

/** A member to be, as the body of a change has it. */
type Joiner = { readonly name: string; readonly address: string; readonly zone?: string; readonly weight?: number };

/** The body of a change, as far as a command says something. */
type Asked = {
  readonly join?: readonly Joiner[];
  readonly leave?: readonly string[];
  readonly replace?: readonly string[];
  readonly weights?: Readonly<Record<string, number>>;
  readonly zones?: Readonly<Record<string, string>>;
};

const WEIGHT_MAX = 10_000;
/** Longer than a node waits for the others' sizes. */
const PLAN_TIMEOUT_MS = 15_000;

/** A weight, for commander. */
function weight(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= WEIGHT_MAX) return Number(text);
  throw new InvalidArgumentError(`Expected a whole number from 0 to ${WEIGHT_MAX}.`);
}

function changeCommand(name: string, description: string): Command {
  return withConnection(new Command(name).description(description))
    .option("-y, --yes", "do not ask; needed where there is no terminal to ask at")
    .option("--force", "let a member that cannot be reached count as destroyed, and the change wait for those away")
    .option("--wait", "stay until the change has ended, and show how far it is")
    .option("--dry-run", "show what would happen, and end")
    .option("--json", "print the plan as JSON, with the change's id once it has begun");
}

const MEMBER_FORM = "name=host:peerPort@zone*weight; zone default and weight 100 where they are left out";

/** Collects members of the form that ANNULUS_MEMBERS has, for commander. */
function collectMembers(text: string, before: readonly Joiner[] = []): readonly Joiner[] {
  try {
    const members = parseFirstMembers(text);
    return [
      ...before,
      ...members.map(({ name, address, zone, weight: share }) => ({ name, address, zone, weight: share })),
    ];
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    throw new InvalidArgumentError(error.message);
  }
}

/** `annulus join --name NAME --address HOST:PORT`, or `annulus join MEMBER...`. */
export function joinCommand(): Command {
  return changeCommand("join", "Take nodes that run into the ring, in a single change")
    .argument("[members...]", MEMBER_FORM, collectMembers)
    .option("--name <name>", "a node's ANNULUS_NODE")
    .option("--address <host:port>", "where members reach its peer port")
    .option("--zone <zone>", "its zone (default: default)")
    .option("--weight <weight>", "its share of replicas relative to the others (default: 100)", weight)
    .action((members: readonly Joiner[], options: ChangeOptions & Partial<Joiner>, command: Command) => {
      const { name, address, zone, weight: share, ...rest } = options;
      if ((name === undefined) !== (address === undefined)) command.error("error: --name and --address go together");
      const isNamed = name !== undefined && address !== undefined;
      if (!isNamed && (zone !== undefined || share !== undefined))
        command.error("error: --zone and --weight need --name");
      const named = isNamed ? [joiner({ name, address }, { zone, weight: share })] : [];
      const join = [...named, ...members];
      if (join.length === 0) command.error("error: name a member, or give its --name and --address");
      return change({ join }, rest);
    });
}

/** `annulus leave NAME...`. */
export function leaveCommand(): Command {
  return changeCommand("leave", "Take members out of the ring: they hand over what they hold, and stay up until then")
    .argument("<names...>", "members that go")
    .action((leave: readonly string[], options: ChangeOptions) => change({ leave }, options));
}

/** `annulus replace NAME... [--with MEMBER]`. */
export function replaceCommand(): Command {
  return changeCommand(
    "replace",
    "Take members out of the ring that may be dead, and others in for them, in a single change",
  )
    .argument("<names...>", "members that go; the disk of one that cannot be reached counts as destroyed")
    .option("--with <member>", `a member that comes; may be repeated. ${MEMBER_FORM}`, collectMembers)
    .action((replace: readonly string[], { with: join, ...options }: ChangeOptions & { with?: readonly Joiner[] }) => {
      return change(join === undefined ? { replace } : { replace, join }, options);
    });
}

/** `annulus weight NAME WEIGHT`. */
export function weightCommand(): Command {
  return changeCommand("weight", "Give a member another share of replicas")
    .argument("<name>", "the member")
    .argument("<weight>", "relative to the others', 0 to 10000; 0 drains it", weight)
    .action((name: string, share: number, options: ChangeOptions) => change({ weights: { [name]: share } }, options));
}

/** `annulus zone NAME ZONE`. */
export function zoneCommand(): Command {
  return changeCommand("zone", "Say in which zone a member is that was moved")
    .argument("<name>", "the member")
    .argument("<zone>", "where it is now")
    .action((name: string, zone: string, options: ChangeOptions) => change({ zones: { [name]: zone } }, options));
}

/** `annulus drain NAME...`. */
export function drainCommand(): Command {
  return changeCommand("drain", "Empty members that stay in the ring: weight 0")
    .argument("<names...>", "members to be emptied")
    .action((names: readonly string[], options: ChangeOptions) => {
      return change({ weights: Object.fromEntries(names.map((name) => [name, 0])) }, options);
    });
}

function joiner(
  member: Pick<Joiner, "name" | "address">,
  { zone, weight: share }: { readonly zone: string | undefined; readonly weight: number | undefined },
): Joiner {
  return { ...member, ...(zone === undefined ? {} : { zone }), ...(share === undefined ? {} : { weight: share }) };
}

async function change(asked: Asked, options: ChangeOptions): Promise<void> {
  const nodes = adminNodes(options);
  const body = Buffer.from(JSON.stringify({ ...asked, ...(options.force === true ? { force: true } : {}) }));
  try {
    const isSilent = options.json === true && options.yes === true && options.dryRun !== true;
    if (!isSilent) await showPlan(nodes, body, options);
    if (options.dryRun === true) return;
    if (options.yes !== true) await confirm("Begin this change?", { input: process.stdin, output: process.stderr });
    const headers = { "content-type": "application/json" };
    const answer = await sendOnce(nodes, { method: "POST", path: "/v1/cluster/changes", headers, body });
    if (answer.status !== 202) throw answerError(answer);
    const begun = parseAnswer(nodes, answer, BegunAnswer);
    if (options.json === true) process.stdout.write(`${JSON.stringify(begun)}\n`);
    else process.stdout.write(`change ${begun.id} has begun\n`);
    if (options.wait !== true) {
      if (options.json !== true) process.stdout.write(`how far it is, and how it ended: annulus changes ${begun.id}\n`);
      return;
    }
    await follow(nodes, begun.id);
    if (options.json !== true) process.stdout.write(`change ${begun.id} is done\n`);
  } finally {
    nodes.close();
  }
}

async function showPlan(nodes: Nodes, body: Uint8Array, { json, dryRun }: ChangeOptions): Promise<void> {
  const headers = { "content-type": "application/json" };
  const path = "/v1/cluster/changes?dryRun=true";
  const answer = await nodes.soonest({ method: "POST", path, headers, body, timeoutMs: PLAN_TIMEOUT_MS });
  if (answer.status !== 200) throw answerError(answer);
  const plan = parseAnswer(nodes, answer, PlanAnswer);
  if (json !== true) process.stdout.write(planText(plan));
  else if (dryRun === true) process.stdout.write(`${JSON.stringify(plan)}\n`);
  else process.stderr.write(planText(plan));
}
