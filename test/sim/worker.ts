/** One process of `npm run sim -- --jobs N`: runs the seeds that it is sent, and says of each what became of it. */
import { judge, type Order } from "./campaign.ts";

// What goes wrong in a simulated cluster is told by thousands of errors, of which nobody reads where they came from.
Error.stackTraceLimit = 0;

process.on("message", (order: Order) => {
  runAll(order).catch((error: unknown) => {
    // Not a promise of the cluster's that was broken, but the simulator.
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  });
});

async function runAll({ seeds, ...kind }: Order): Promise<void> {
  for (const seed of seeds) process.send?.(await judge(seed, kind));
}
