/** The workloads of the bench, and the goals that some of them have. */

export type Workload = {
  readonly name: string;
  /** Share of reads, 0 .. 1. */
  readonly readShare: number;
  readonly valueBytes: number;
  readonly connections: number;
  readonly keys: "zipfian" | "uniform";
  /**
   * What operations per server CPU-second must at least be, as a share of what bare `node:http` does per CPU-second
   * with as many connections in the same run.
   */
  readonly goalShare: number | undefined;
};

type Mix = { readonly label: string; readonly readShare: number };

const READ: Mix = { label: "read", readShare: 1 };
const WRITE: Mix = { label: "write", readShare: 0 };
const HALF: Mix = { label: "50/50", readShare: 0.5 };
const MOSTLY_READ: Mix = { label: "95/5", readShare: 0.95 };
const MIXES = [WRITE, READ, HALF, MOSTLY_READ];

/** Goals for 1,000 B values and zipfian keys, by connections and mix. */
const GOALS: Readonly<Record<string, number>> = {
  "16 write": 0.055,
  "16 read": 0.08,
  "16 50/50": 0.065,
  "64 50/50": 0.08,
};

function workload(mix: Mix, valueBytes: number, connections: number, keys: Workload["keys"]): Workload {
  const goalShare = valueBytes === 1000 && keys === "zipfian" ? GOALS[`${connections} ${mix.label}`] : undefined;
  const name = `${mix.label} ${valueBytes} B ${connections}c ${keys}`;
  return { name, readShare: mix.readShare, valueBytes, connections, keys, goalShare };
}

/** All of them, those with goals first; grouped by connections, so that a group shares its bare servers. */
export function allWorkloads(): Workload[] {
  const zipfian = (valueBytes: number, connections: number): Workload[] =>
    MIXES.map((mix) => workload(mix, valueBytes, connections, "zipfian"));
  return [
    ...zipfian(1000, 16),
    ...zipfian(1000, 64),
    ...[WRITE, READ, HALF].map((mix) => workload(mix, 1000, 16, "uniform")),
    ...zipfian(100, 16),
    ...zipfian(100, 64),
    ...zipfian(1024, 16),
    ...zipfian(1024, 64),
  ];
}

/** Those that a quick look needs: the ones with goals. */
export function quickWorkloads(): Workload[] {
  return allWorkloads().filter(({ goalShare }) => goalShare !== undefined);
}
