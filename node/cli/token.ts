/** `annulus token`: a new token, and the entry by which nodes know it. */
import { randomBytes } from "node:crypto";
import { Command, InvalidArgumentError, Option } from "commander";
import { digestOf } from "../core/access.ts";
import { CommandError, EXIT } from "./exit.ts";

/** As many bits as the digest has. */
const TOKEN_BYTES = 32;

type TokenOptions = {
  readonly data: "none" | "read" | "read-write";
  readonly prefix?: readonly string[];
  readonly cluster: "none" | "monitor" | "admin";
};

function nameOf(text: string): string {
  if (!/^[A-Za-z0-9._-]{1,63}$/.test(text)) throw new InvalidArgumentError("Expected 1 to 63 of A-Za-z0-9._-.");
  return text;
}

/** `annulus token NAME`. */
export function tokenCommand(): Command {
  return new Command("token")
    .description("Make a new token; print it with its entry for the nodes' ANNULUS_ACCESS_FILE. It is kept nowhere")
    .argument("<name>", "what the token is called in the file and the log", nameOf)
    .addOption(new Option("--data <right>", "on keys").choices(["none", "read", "read-write"]).default("none"))
    .option("--prefix <prefixes...>", "only on keys that begin so, percent-encoded")
    .addOption(
      new Option("--cluster <right>", "on the admin port").choices(["none", "monitor", "admin"]).default("none"),
    )
    .action((name: string, { data, prefix, cluster }: TokenOptions) => {
      if (data === "none" && cluster === "none")
        throw new CommandError("give it a right: --data or --cluster", EXIT.usage);
      const token = randomBytes(TOKEN_BYTES).toString("base64url");
      const sha256 = Buffer.from(digestOf(token)).toString("hex");
      const entry = { name, sha256, data, ...(prefix === undefined ? {} : { prefixes: prefix }), cluster };
      process.stdout.write(`${JSON.stringify({ token, entry })}\n`);
    });
}
