/** Shows how far an import is: a bar at a terminal, else a line every few seconds, on standard error. */
import { Presets, SingleBar } from "cli-progress";
import type { ImportTally } from "./importer.ts";

const BAR_INTERVAL_MS = 250;
const LINE_INTERVAL_MS = 5000;

/**
 * Starts to show progress.
 *
 * @param read Figures as they are now; `bytesTotal` is undefined where the input's size is not known.
 * @returns Ends it.
 */
export function showProgress(
  read: () => { tally: ImportTally; bytesRead: number; bytesTotal: number | undefined },
): () => void {
  const startMs = performance.now();
  const figures = () => {
    const { tally, bytesRead, bytesTotal } = read();
    const rate = Math.round((tally.imported / Math.max(1, performance.now() - startMs)) * 1000);
    return { text: `${tally.imported} imported, ${rate}/s, ${tally.failed} failed`, bytesRead, bytesTotal };
  };
  const { bytesTotal } = figures();
  if (process.stderr.isTTY && bytesTotal !== undefined) return showBar(figures, bytesTotal);
  const timer = setInterval(() => process.stderr.write(`annulus: ${figures().text}\n`), LINE_INTERVAL_MS);
  return () => clearInterval(timer);
}

function showBar(figures: () => { text: string; bytesRead: number }, bytesTotal: number): () => void {
  const bar = new SingleBar({ format: "{bar} {percentage}% {text}", stream: process.stderr }, Presets.shades_classic);
  bar.start(bytesTotal, 0, { text: "" });
  const update = () => {
    const { bytesRead, text } = figures();
    bar.update(Math.min(bytesRead, bytesTotal), { text });
  };
  const timer = setInterval(update, BAR_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    update();
    bar.stop();
  };
}
