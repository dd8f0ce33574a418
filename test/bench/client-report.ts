/** The client library against round robin as text: medians over the rounds, and by how much one is ahead. */
import type { RoundFigures, Side, SideFigures } from "./client-library.ts";
import { seededUniform } from "./keys.ts";
import { interval, median, percent } from "./paired.ts";
import { table } from "./table.ts";

const HEADER = [
  "nodes, caller",
  "operations",
  "ops/s",
  "p50 ms",
  "p99 ms",
  "node CPU s/1000",
  "caller CPU s/1000",
  "hedges/1000",
  "errors",
];
const SHARE = 0.9;

/** What the sides did on each cluster, and the library's lead over round robin there. */
export function renderClient(sides: readonly SideFigures[]): string {
  const leads = [...new Set(sides.map(({ nodes }) => nodes))].map((nodes) =>
    leadOf(sides.filter((side) => side.nodes === nodes)),
  );
  const count = sides[0]?.rounds.length ?? 0;
  return `Medians of ${count} rounds\n\n${table(HEADER, sides.map(rowOf))}\n\n${leads.join("\n")}`;
}

/** Errors of all sides. */
export function clientErrors(sides: readonly SideFigures[]): number {
  return sum(sides.flatMap(({ rounds }) => rounds.map(({ errors }) => errors)));
}

function rowOf({ nodes, side, rounds }: SideFigures): string[] {
  const middle = (figure: keyof RoundFigures) => median(rounds.map((round) => round[figure]));
  const operations = sum(rounds.map((round) => round.operations));
  return [
    `${nodes}, ${side}`,
    String(operations),
    middle("operationsPerSecond").toFixed(0),
    middle("p50Ms").toFixed(2),
    middle("p99Ms").toFixed(2),
    middle("nodeCpuSeconds").toFixed(3),
    middle("callerCpuSeconds").toFixed(3),
    ((1_000 * sum(rounds.map(({ hedges }) => hedges))) / operations).toFixed(1),
    String(sum(rounds.map(({ errors }) => errors))),
  ];
}

/** Of the ratios of each round, library to round robin, the median and how sure it is. */
function leadOf(sides: readonly SideFigures[]): string {
  const roundsOf = (name: Side) => sides.find(({ side }) => side === name)?.rounds ?? [];
  const plain = roundsOf("round robin");
  const uniform = seededUniform(1);
  const against = (figure: keyof RoundFigures): string => {
    const ratios = roundsOf("client library").map((round, at) => round[figure] / (plain[at]?.[figure] ?? Number.NaN));
    const [low, high] = interval(ratios, SHARE, uniform);
    return `${percent(median(ratios))} (${percent(low)} to ${percent(high)})`;
  };
  const [ops, p50] = [against("operationsPerSecond"), against("p50Ms")];
  const cpu = `CPU of the nodes ${against("nodeCpuSeconds")}, of the callers ${against("callerCpuSeconds")}`;
  return `- ${sides[0]?.nodes} nodes, the library against round robin, median of the rounds' ratios (90 % interval): ops/s ${ops}, p50 ${p50}; ${cpu}.`;
}

function sum(figures: readonly number[]): number {
  return figures.reduce((total, figure) => total + figure, 0);
}
