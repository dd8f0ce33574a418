/**
 * Where the nodes spend their CPU: reads the `.cpuprofile` files that V8 wrote and sums the self time of each function
 * over all of them, placed by source map. JavaScript threads only: LevelDB's and libuv's threads are not in it.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { checkoutDirectory } from "./processes.ts";

/** Functions that are shown. */
const TOP = 60;

type CallFrame = { functionName: string; url: string; lineNumber: number; columnNumber: number };
type CpuProfile = {
  nodes: { id: number; callFrame: CallFrame }[];
  samples: number[];
  /** µs since the sample before. */
  timeDeltas: number[];
};

/**
 * The functions with the most self time.
 *
 * @param directory Holds the profiles.
 * @param fromShare Samples before this share (0 .. 1) of each profile are left out: start and warm-up.
 * @param operations Client operations that the rest of the profiles stands for.
 */
export function renderProfile(directory: string, fromShare: number, operations: number): string {
  const selfUs = new Map<string, number>();
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".cpuprofile"))) {
    addProfile(JSON.parse(readFileSync(join(directory, file), "utf8")) as CpuProfile, fromShare, selfUs);
  }
  const idleUs = selfUs.get("(idle)") ?? 0;
  selfUs.delete("(idle)");
  const busyUs = [...selfUs.values()].reduce((sum, us) => sum + us, 0);
  const table = (parts: ReadonlyMap<string, number>, count: number): string => {
    const ranked = [...parts].sort(([, a], [, b]) => b - a).slice(0, count);
    return ranked.map(([place, us]) => line(place, us / busyUs, us / operations)).join("\n");
  };
  const seconds = `busy ${(busyUs / 1e6).toFixed(1)} s, idle ${(idleUs / 1e6).toFixed(1)} s`;
  const total = `JavaScript threads: ${seconds}; ${(busyUs / operations).toFixed(0)} µs for each of ${operations} operations`;
  return `${total}\n\nby function\n${table(selfUs, TOP)}\n\nby file\n${table(byFile(selfUs), TOP)}\n`;
}

function line(place: string, share: number, usEach: number): string {
  return `${(share * 100).toFixed(1).padStart(5)} %  ${usEach.toFixed(2).padStart(7)} µs  ${place}`;
}

/** Sums over the functions of each file; what runs in no file stays by itself. */
function byFile(selfUs: ReadonlyMap<string, number>): Map<string, number> {
  const files = new Map<string, number>();
  for (const [place, us] of selfUs) {
    const file = place.split("  ")[1]?.replace(/:\d+$/, "") ?? place;
    files.set(file, (files.get(file) ?? 0) + us);
  }
  return files;
}

function addProfile(profile: CpuProfile, fromShare: number, selfUs: Map<string, number>): void {
  const places = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const from = Math.floor(profile.samples.length * fromShare);
  for (let index = from; index < profile.samples.length; index++) {
    const place = places.get(profile.samples[index] ?? -1) ?? "(unknown)";
    selfUs.set(place, (selfUs.get(place) ?? 0) + (profile.timeDeltas[index] ?? 0));
  }
}

const sourceMaps = new Map<string, SourceMap | undefined>();

/** A function's name with the file and line it was written in. */
function placeOf({ functionName, url, lineNumber, columnNumber }: CallFrame): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  if (!url.startsWith("file:")) return url === "" ? name : `${name}  ${url}:${lineNumber + 1}`;
  const path = fileURLToPath(url);
  const shown = relative(checkoutDirectory(), path);
  const entry = sourceMapOf(path)?.findEntry(lineNumber, columnNumber);
  if (entry === undefined || !("originalLine" in entry)) return `${name}  ${shown}:${lineNumber + 1}`;
  return `${name}  ${shown.replace(/^dist\//, "").replace(/\.js$/, ".ts")}:${entry.originalLine + 1}`;
}

function sourceMapOf(path: string): SourceMap | undefined {
  if (!sourceMaps.has(path)) {
    const mapPath = `${path}.map`;
    const payload = existsSync(mapPath) ? (JSON.parse(readFileSync(mapPath, "utf8")) as SourceMapPayload) : undefined;
    sourceMaps.set(path, payload === undefined ? undefined : new SourceMap(payload));
  }
  return sourceMaps.get(path);
}
