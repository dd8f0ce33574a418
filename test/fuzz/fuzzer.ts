/**
 * Fuzzes one target: breeds inputs from its pool, keeps those that run code which no other had run, and reports what
 * is thrown that may not be, and what takes too long.
 */
import type { Coverage } from "./coverage.ts";
import { mutate, seededDraw } from "./mutate.ts";
import type { Target } from "./targets.ts";

export type Finding = { readonly kind: "crash" | "hang"; readonly input: Uint8Array; readonly why: string };

export type Figures = {
  readonly inputs: number;
  /** Inputs that the parser took; all others it refused as it may. */
  readonly accepted: number;
  readonly findings: readonly Finding[];
  /** Inputs that ran new code. */
  readonly kept: readonly Uint8Array[];
  readonly slowestMs: number;
};

/** Inputs between two looks at the coverage. */
const BATCH = 2_048;
/** No parser needs a tenth of it for an input of 4 KiB. */
const HANG_MS = 1_000;
const FINDINGS_MAX = 10;

/** Parses one input: "accepted", "refused", or what is wrong. */
export function tryInput(target: Target, input: Uint8Array): "accepted" | "refused" | Finding {
  try {
    target.run(input);
    return "accepted";
  } catch (error) {
    if (target.mayThrow(error)) return "refused";
    return { kind: "crash", input, why: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** Processor time of one more try: a process that was not given the machine for a while has not hung. */
function cpuMs(target: Target, input: Uint8Array): number {
  const before = process.cpuUsage();
  tryInput(target, input);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** @param options `inputs` to try; `pool` beside the target's own seeds; without `coverage` nothing is kept. */
export function fuzz(target: Target, options: FuzzOptions): Figures {
  // A refusal is no failure: the stack of each would cost more than the parsing. A crash is run again for its own.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  let figures: Figures;
  try {
    figures = breed(target, options);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  const findings = figures.findings.map((finding) => {
    const again = finding.kind === "crash" ? tryInput(target, finding.input) : finding;
    return typeof again === "string" ? finding : again;
  });
  return { ...figures, findings };
}

type FuzzOptions = {
  readonly inputs: number;
  readonly seed: number;
  readonly pool: readonly Uint8Array[];
  readonly coverage?: Coverage;
};

function breed(target: Target, options: FuzzOptions): Figures {
  const draw = seededDraw(options.seed);
  const pool = [...target.seeds, ...(target.refused ?? []), ...options.pool];
  const kept: Uint8Array[] = [];
  const findings: Finding[] = [];
  let accepted = 0;
  let slowestMs = 0;
  const judge = (input: Uint8Array) => {
    const beganMs = performance.now();
    const outcome = tryInput(target, input);
    const tookMs = performance.now() - beganMs;
    slowestMs = Math.max(slowestMs, tookMs);
    if (outcome === "accepted") accepted += 1;
    else if (outcome !== "refused") findings.push(outcome);
    if (tookMs > HANG_MS && cpuMs(target, input) > HANG_MS)
      findings.push({ kind: "hang", input, why: `${Math.round(tookMs)} ms` });
  };
  for (const input of pool) judge(input);
  const { coverage } = options;
  coverage?.remember(coverage.look());
  let inputs = 0;
  while (inputs < options.inputs && findings.length < FINDINGS_MAX) {
    const batch = Array.from({ length: Math.min(BATCH, options.inputs - inputs) }, () => mutate(pool, draw));
    inputs += batch.length;
    for (const input of batch) judge(input);
    const blocks = coverage?.look() ?? [];
    if (coverage === undefined || blocks.length === 0) continue;
    for (const input of thoseWithNew(target, batch, coverage)) {
      pool.push(input);
      kept.push(input);
    }
    // Also what only all of them together ran, which none of them could be kept for.
    coverage.remember(blocks);
  }
  return { inputs, accepted, findings, kept, slowestMs };
}

/** Who of many inputs runs new code, by halves: a look costs as much as a hundred inputs. What they run is remembered. */
function thoseWithNew(target: Target, inputs: readonly Uint8Array[], coverage: Coverage): readonly Uint8Array[] {
  for (const input of inputs) tryInput(target, input);
  const blocks = coverage.look();
  if (blocks.length === 0) return [];
  if (inputs.length === 1) {
    coverage.remember(blocks);
    return inputs;
  }
  const middle = inputs.length >> 1;
  const first = thoseWithNew(target, inputs.slice(0, middle), coverage);
  return [...first, ...thoseWithNew(target, inputs.slice(middle), coverage)];
}
