/** `annulus doctor`: what is wrong with a cluster, and what to do. */
import { Command } from "commander";
import { type Diagnosis, diagnose } from "../core/watch/diagnose.ts";
import { adminNodes, type ConnectionOptions, withConnection } from "./connection.ts";
import { EXIT } from "./exit.ts";
import { look, requireView } from "./watch/look.ts";

/** `annulus doctor`. Ends with 0 when nothing needs to be done, 1 after a warning, 6 when something is critical. */
export function doctorCommand(): Command {
  return withConnection(new Command("doctor").description("Say what is wrong with the cluster, and what to do"))
    .option("--json", "print the findings as JSON")
    .action(async (options: ConnectionOptions & { readonly json?: boolean }) => {
      const nodes = adminNodes(options);
      try {
        const seen = await look(nodes);
        requireView(seen);
        const found = diagnose(seen);
        const asked = seen.views.map(({ cluster }) => cluster.node);
        process.stdout.write(options.json === true ? `${JSON.stringify({ asked, found })}\n` : report(asked, found));
        process.exitCode = exitCodeOf(found);
      } finally {
        nodes.close();
      }
    });
}

function report(asked: readonly string[], found: readonly Diagnosis[]): string {
  const lines = found.map(
    ({ severity, what, advice }) => `${severity.toUpperCase().padEnd(8)}  ${what}\n          ${advice}\n`,
  );
  const end =
    found.length === 0 ? "nothing is wrong" : `${found.length} ${found.length === 1 ? "finding" : "findings"}`;
  return `${lines.join("")}${end}, as ${asked.join(", ")} ${asked.length === 1 ? "sees" : "see"} it\n`;
}

function exitCodeOf(found: readonly Diagnosis[]): number {
  if (found.some(({ severity }) => severity === "critical")) return EXIT.critical;
  return found.some(({ severity }) => severity === "warning") ? EXIT.failed : EXIT.ok;
}
