/**
 * `npm run fuzz -- --inputs N`: so many inputs over all parsers, in equal shares, guided by coverage; figures by parser.
 *
 * Ends with exit code 1 when anything crashed or hung; such inputs are printed and, with `--record`, kept in the corpus
 * along with those that ran new code.
 */
import { parseArgs } from "node:util";
import { extendCorpus, readCorpus } from "./corpus.ts";
import { startCoverage } from "./coverage.ts";
import { fuzz } from "./fuzzer.ts";
import { TARGETS } from "./targets.ts";

/** Counting blocks costs more than parsing: the first inputs find what there is to find, the rest are bred from that. */
const GUIDED_INPUTS_MAX = 20_000;

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "100000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    target: { type: "string", multiple: true },
    record: { type: "boolean", default: false },
  },
});

const chosen = TARGETS.filter(({ name }) => values.target?.includes(name) ?? true);
if (chosen.length === 0 || !/^\d+$/.test(values.inputs) || !/^\d+$/.test(values.seed)) {
  process.stderr.write(`fuzz: --inputs N --seed N --target ${TARGETS.map(({ name }) => name).join("|")} --record\n`);
  process.exit(2);
}
const each = Math.ceil(Number(values.inputs) / chosen.length);
process.stdout.write(`seed ${values.seed}, ${each} inputs for each of ${chosen.length} parsers\n`);
process.stdout.write("parser           inputs     accepted   blocks  kept  crashes  hangs  slowest ms    s\n");
let found = 0;
for (const target of chosen) {
  const beganMs = performance.now();
  const seed = Number(values.seed);
  const pool = readCorpus(target.name);
  const coverage = startCoverage();
  const guided = fuzz(target, { inputs: Math.min(each, GUIDED_INPUTS_MAX), seed, pool, coverage });
  const blocks = coverage.blocks();
  coverage.stop();
  const rest = fuzz(target, { inputs: each - guided.inputs, seed: seed + 1, pool: [...pool, ...guided.kept] });
  const findings = [...guided.findings, ...rest.findings];
  const count = (kind: string) => findings.filter((finding) => finding.kind === kind).length;
  const row: readonly [string | number, number][] = [
    [guided.inputs + rest.inputs, 10],
    [guided.accepted + rest.accepted, 11],
    [blocks, 9],
    [guided.kept.length, 6],
    [count("crash"), 9],
    [count("hang"), 7],
    [Math.max(guided.slowestMs, rest.slowestMs).toFixed(1), 12],
    [Math.round((performance.now() - beganMs) / 1000), 5],
  ];
  const figures = row.map(([text, width]) => String(text).padStart(width)).join("");
  process.stdout.write(`${target.name.padEnd(13)}${figures}\n`);
  for (const { kind, input, why } of findings) {
    found += 1;
    process.stdout.write(`${target.name}: ${kind}: ${Buffer.from(input).toString("base64")}\n${why}\n`);
  }
  const always = findings.map(({ input }) => input);
  if (values.record) extendCorpus(target.name, guided.kept, always);
}
process.exitCode = found === 0 ? 0 : 1;
