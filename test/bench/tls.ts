/**
 * `npm run bench:tls`: what TLS everywhere costs, in CPU-seconds of three nodes for each 1,000 operations.
 *
 * Two clusters stand side by side for the whole run, one plain and one whose peer, data and admin ports all speak TLS, each
 * member with a certificate of its own. They are measured in turn, round after round, each first as often as the other, so
 * that whatever else the machine does meets both. Before that both are run warm: what V8 compiles and what the load left
 * for LevelDB to compact costs the same with TLS and without, and would hide a part of what TLS costs.
 * Told are the costs of each round, the median of their ratios with its 90 % interval, the same for the workloads
 * together (as many operations of each), and whether each is within the goal.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ClientTls } from "../../node/client/http.ts";
import { TestAuthority } from "../tls/authority.ts";
import { LocalCluster } from "./cluster.ts";
import { seededUniform } from "./keys.ts";
import { measureWorkload, newKeySpace, sweep, type Timing, type WorkloadFigures } from "./measure.ts";
import { interval, median, percent } from "./paired.ts";
import { allWorkloads, type Workload } from "./workloads.ts";

/** How much more CPU TLS everywhere may cost. */
const GOAL = 0.25;
const NAMES = ["node-0", "node-1", "node-2"];
const WORKLOADS = ["write 1000 B 16c zipfian", "read 1000 B 16c zipfian", "50/50 1000 B 64c zipfian"];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "6" },
    seconds: { type: "string", default: "4" },
    keys: { type: "string", default: "10000" },
  },
});
const timing = { warmUpSeconds: 1, seconds: Number(values.seconds) };
/** Operations of a workload before it is measured: after so many V8 has little left to compile. */
const WARM_UP_OPERATIONS = 20_000;
const WARM_UP_TIMING = { warmUpSeconds: 0, seconds: 2 };
/** Six nodes on one machine: what is measured is CPU, and a request that times out is none. */
const SETTINGS = { ANNULUS_TIMEOUT_MS: "10000" };

type Side = { readonly cluster: LocalCluster; readonly tls: ClientTls | undefined };
/** CPU-seconds for 1,000 operations. */
type Costs = { readonly plain: number; readonly secure: number };

/** Writes each member's files and gives the settings that name them. */
async function certify(directory: string, authority: TestAuthority): Promise<(name: string) => Record<string, string>> {
  const at = (file: string) => join(directory, file);
  writeFileSync(at("ca.crt"), authority.pem);
  for (const name of NAMES) {
    const { certificate, key } = await authority.issue({ names: [name], addresses: ["127.0.0.1"] });
    writeFileSync(at(`${name}.crt`), certificate);
    writeFileSync(at(`${name}.key`), key);
  }
  return (name) => ({
    ANNULUS_PEER_TLS: "require",
    ANNULUS_PEER_TLS_CA_FILE: at("ca.crt"),
    ...Object.fromEntries(
      ["PEER", "DATA", "ADMIN"].flatMap((port) => [
        [`ANNULUS_${port}_TLS_CERTIFICATE_FILE`, at(`${name}.crt`)],
        [`ANNULUS_${port}_TLS_KEY_FILE`, at(`${name}.key`)],
      ]),
    ),
  });
}

/** One workload on both sides, in turn; gives the costs of each round. */
async function compare(plain: Side, secure: Side, workload: Workload): Promise<Costs[]> {
  const uniform = seededUniform(1);
  const spaces = [plain, secure].map((side) => ({
    side,
    space: newKeySpace(workload.valueBytes, Number(values.keys)),
  }));
  const run = async ({ side, space }: (typeof spaces)[number], times: Timing): Promise<WorkloadFigures> => {
    const figures = await measureWorkload(side.cluster, space, workload, uniform, times, side.tls);
    if (figures.errors + figures.stale + figures.wrong > 0) throw new Error(`wrong: ${figures.complaints.join("; ")}`);
    return figures;
  };
  for (const one of spaces) {
    const { errors, complaints } = await sweep(one.side.cluster.dataPorts, one.space, "write", { tls: one.side.tls });
    if (errors > 0) throw new Error(`the load failed: ${complaints.join("; ")}`);
    for (let operations = 0; operations < WARM_UP_OPERATIONS; )
      operations += (await run(one, WARM_UP_TIMING)).operations;
  }
  const rounds: Costs[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const costs = [0, 0];
    for (const at of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const { cpuSeconds, operations } = await run(spaces[at] as (typeof spaces)[number], timing);
      costs[at] = (1_000 * cpuSeconds) / operations;
    }
    const [plainCost = 0, secureCost = 0] = costs;
    rounds.push({ plain: plainCost, secure: secureCost });
  }
  return rounds;
}

/** The rounds of all workloads, each with the sum of their costs. */
function together(all: readonly Costs[][]): Costs[] {
  const rounds = all[0] ?? [];
  const sum = (round: number, side: keyof Costs) =>
    all.reduce((total, costs) => total + (costs[round]?.[side] ?? 0), 0);
  return rounds.map((_, round) => ({ plain: sum(round, "plain"), secure: sum(round, "secure") }));
}

/** Says what was measured; gives whether it is within the goal. */
function tell(name: string, rounds: readonly Costs[]): boolean {
  const ratios = rounds.map(({ plain, secure }) => secure / plain);
  const [low, high] = interval(ratios, 0.9, seededUniform(1));
  const told = rounds.map(({ plain, secure }) => `${plain.toFixed(3)} ${secure.toFixed(3)}`).join(", ");
  const more = `median ${percent(median(ratios))}, 90 % interval ${percent(low)} to ${percent(high)}`;
  process.stdout.write(`${name}: ${told}: ${more} (goal: at most ${percent(1 + GOAL)})\n`);
  return median(ratios) <= 1 + GOAL;
}

const directory = mkdtempSync(join(tmpdir(), "annulus-bench-tls-"));
const clusters: LocalCluster[] = [];
try {
  const authority = await TestAuthority.create("bench");
  const tls = { authorities: authority.pem };
  const settingsOf = await certify(directory, authority);
  clusters.push(await LocalCluster.start({ settings: SETTINGS }));
  clusters.push(await LocalCluster.start({ settings: SETTINGS, settingsOf, tls }));
  const [plain, secure] = clusters as [LocalCluster, LocalCluster];
  let isWithin = true;
  process.stdout.write(
    "CPU-seconds of three nodes for 1,000 operations, plain and with TLS on all ports, measured in turn\n",
  );
  const all: Costs[][] = [];
  for (const workload of allWorkloads().filter(({ name }) => WORKLOADS.includes(name))) {
    const rounds = await compare({ cluster: plain, tls: undefined }, { cluster: secure, tls }, workload);
    all.push(rounds);
    if (!tell(workload.name, rounds)) isWithin = false;
  }
  if (!tell("1,000 of each", together(all))) isWithin = false;
  process.exitCode = isWithin ? 0 : 1;
} finally {
  for (const cluster of clusters) await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
}
