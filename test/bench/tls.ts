/**
 * `npm run bench:tls`: what TLS everywhere costs, in CPU-seconds of three nodes for each 1,000 operations.
 *
 * Two clusters stand side by side for the whole run, one plain and one whose peer, data and admin ports all speak TLS, each
 * member with a certificate of its own. They are measured in turn, round after round, so that whatever else the machine does
 * meets both. What is told is the ratio of each round, their median, and whether it is within the goal.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ClientTls } from "../../node/client/http.ts";
import { TestAuthority } from "../tls/authority.ts";
import { LocalCluster } from "./cluster.ts";
import { seededUniform } from "./keys.ts";
import { measureWorkload, newKeySpace, sweep } from "./measure.ts";
import { allWorkloads, type Workload } from "./workloads.ts";

/** How much more CPU TLS everywhere may cost. */
const GOAL = 0.25;
const NAMES = ["node-0", "node-1", "node-2"];
const WORKLOADS = ["write 1000 B 16c zipfian", "read 1000 B 16c zipfian", "50/50 1000 B 64c zipfian"];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    keys: { type: "string", default: "10000" },
  },
});
const timing = { warmUpSeconds: 1, seconds: Number(values.seconds) };

type Side = { readonly cluster: LocalCluster; readonly tls: ClientTls | undefined };

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

/** One workload on both sides, in turn; gives the CPU-seconds for 1,000 operations of each round. */
async function compare(plain: Side, secure: Side, workload: Workload): Promise<{ plain: number; secure: number }[]> {
  const uniform = seededUniform(1);
  const spaces = [plain, secure].map((side) => ({
    side,
    space: newKeySpace(workload.valueBytes, Number(values.keys)),
  }));
  for (const { side, space } of spaces) {
    const { errors, complaints } = await sweep(side.cluster.dataPorts, space, "write", { tls: side.tls });
    if (errors > 0) throw new Error(`the load failed: ${complaints.join("; ")}`);
  }
  const rounds: { plain: number; secure: number }[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const costs: number[] = [];
    for (const { side, space } of spaces) {
      const figures = await measureWorkload(side.cluster, space, workload, uniform, timing, side.tls);
      if (figures.errors + figures.stale + figures.wrong > 0)
        throw new Error(`wrong: ${figures.complaints.join("; ")}`);
      costs.push((1_000 * figures.cpuSeconds) / figures.operations);
    }
    rounds.push({ plain: costs[0] as number, secure: costs[1] as number });
  }
  return rounds;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

const directory = mkdtempSync(join(tmpdir(), "annulus-bench-tls-"));
const clusters: LocalCluster[] = [];
try {
  const authority = await TestAuthority.create("bench");
  const tls = { authorities: authority.pem };
  const settingsOf = await certify(directory, authority);
  clusters.push(await LocalCluster.start());
  clusters.push(await LocalCluster.start({ settingsOf, tls }));
  const [plain, secure] = clusters as [LocalCluster, LocalCluster];
  let isWithin = true;
  process.stdout.write(
    "CPU-seconds of three nodes for 1,000 operations, plain and with TLS on all ports, measured in turn\n",
  );
  for (const workload of allWorkloads().filter(({ name }) => WORKLOADS.includes(name))) {
    const rounds = await compare({ cluster: plain, tls: undefined }, { cluster: secure, tls }, workload);
    const more = median(rounds.map((round) => round.secure / round.plain)) - 1;
    isWithin &&= more <= GOAL;
    const told = rounds.map((round) => `${round.plain.toFixed(3)} ${round.secure.toFixed(3)}`).join(", ");
    process.stdout.write(
      `${workload.name}: ${told}: ${(more * 100).toFixed(0)} % more (goal: at most ${GOAL * 100} %)\n`,
    );
  }
  process.exitCode = isWithin ? 0 : 1;
} finally {
  for (const cluster of clusters) await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
}
