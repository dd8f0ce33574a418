/** `annulus status` and `annulus locate`: who is there, and where a key lives. */
import { Command } from "commander";
import type { z } from "zod";
import { keySegment } from "../client/keys.ts";
import { adminDocument, adminJson, ClusterAnswer, LocationAnswer, RingAnswer } from "./admin-views.ts";
import { keyOfArgument } from "./base64.ts";
import { transitionText } from "./change/figures.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { alignTable } from "./table.ts";

type Member = z.infer<typeof ClusterAnswer>["members"][number];
type ShowOptions = ConnectionOptions & { readonly json?: boolean; readonly base64Key?: boolean };

/** `annulus status`. */
export function statusCommand(): Command {
  return withConnection(new Command("status").description("Show the cluster's members as one node sees them"))
    .option("--all", "show also members that have left the ring")
    .option("--json", "print the node's answer as it is")
    .action(async (options: ShowOptions & { readonly all?: boolean }) => {
      const { value: cluster, line } = await adminDocument(adminNodes(options), "/v1/cluster", ClusterAnswer);
      if (options.json === true) {
        process.stdout.write(line);
        return;
      }
      const head = ["MEMBER", "ZONE", "WEIGHT", "STATE", "HEALTH", "ADDRESS", "ACTOR"];
      const isShown = ({ state }: Member) => state !== "left" || options.all === true;
      const shown = cluster.members.filter(isShown);
      const left = cluster.members.filter((member) => !isShown(member)).map(({ name }) => name);
      // Before there is a ring none lists anybody.
      const ring = cluster.ringEpoch === 0 ? undefined : await adminJson(adminNodes(options), "/v1/ring", RingAnswer);
      const listed = new Map(ring?.members.map(({ name, actor }) => [name, actor]));
      const rows = shown.map((member) => {
        const { name, zone, weight, health, address, actor } = member;
        return [name, zone, String(weight), stateOf(member, listed.get(name)), health, address, actor ?? "-"];
      });
      process.stdout.write(`cluster ${cluster.id}, ring epoch ${cluster.ringEpoch}, as ${cluster.node} sees it\n\n`);
      process.stdout.write(alignTable([head, ...rows]));
      if (left.length > 0) process.stdout.write(`\nhave left the ring: ${left.join(", ")} (--all shows more)\n`);
      if (cluster.transition) process.stdout.write(`\n${transitionText(cluster.transition)}\n`);
    });
}

/** What the ring says of a member; and that it says so of another directory, for what a member is worth, it is worth with that. */
function stateOf({ state, actor }: Member, listed: string | undefined): string {
  const isOther = state !== "left" && typeof actor === "string" && listed !== undefined && actor !== listed;
  return isOther ? `${state} (unlisted directory)` : state;
}

/** `annulus locate KEY`. */
export function locateCommand(): Command {
  return withConnection(new Command("locate").description("Show which members hold a key"))
    .argument("<key>", "the key, as text")
    .option("--base64-key", "the key is given in base64: for keys that are no text")
    .option("--json", "print the node's answer as it is")
    .action(async (key: string, options: ShowOptions) => {
      const bytes = keyOfArgument(key, options);
      const path = `/v1/ring/${keySegment(bytes)}`;
      const { value: place, line } = await adminDocument(adminNodes(options), path, LocationAnswer);
      if (options.json === true) {
        process.stdout.write(line);
        return;
      }
      const rows = place.homes.map(({ name, zone, address }, index) => [String(index + 1), name, zone, address]);
      process.stdout.write(`partition ${place.partition}, token ${place.token}, ring epoch ${place.epoch}\n\n`);
      process.stdout.write(alignTable([["HOME", "MEMBER", "ZONE", "ADDRESS"], ...rows]));
    });
}
