/** Figures as people read them. Pure. */

const UNKNOWN = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 1_536 as `1.5 KiB`. */
export function bytesText(bytes: number | undefined): string {
  if (bytes === undefined) return UNKNOWN;
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[power] ?? ""}`;
}

/** Two or three digits are enough to see whether something is wrong. */
export function numberText(value: number | undefined): string {
  if (value === undefined) return UNKNOWN;
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en-GB");
  return value.toFixed(value >= 10 ? 0 : 1);
}

/** Milliseconds with their unit. */
export function msText(ms: number | undefined): string {
  if (ms === undefined) return UNKNOWN;
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(1)} s` : `${ms >= 100 ? ms.toFixed(0) : ms.toFixed(1)} ms`;
}

/** How long something has lasted: `5 s`, `3 min`, `2 h`, `4 days`. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** `1 hint`, `2 hints`. */
export function countText(count: number, noun: string): string {
  return `${count.toLocaleString("en-GB")} ${noun}${count === 1 ? "" : "s"}`;
}
