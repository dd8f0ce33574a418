/** Which backups a policy keeps: the last ones, and the last of each hour, day, week, month or year that has one. UTC. */

/** How many of each; a period without a backup is not counted. */
export type KeepRules = Readonly<Partial<Record<KeepRule, number>>>;

export type KeepRule = "last" | "hourly" | "daily" | "weekly" | "monthly" | "yearly";

/** The period that an instant lies in, as a name that only its instants have. */
const PERIOD: Readonly<Record<KeepRule, (instant: Date) => string>> = {
  last: (instant) => instant.toISOString(),
  hourly: (instant) => instant.toISOString().slice(0, 13),
  daily: (instant) => instant.toISOString().slice(0, 10),
  weekly: (instant) => mondayOf(instant).toISOString().slice(0, 10),
  monthly: (instant) => instant.toISOString().slice(0, 7),
  yearly: (instant) => instant.toISOString().slice(0, 4),
};

export const KEEP_RULES = Object.keys(PERIOD) as readonly KeepRule[];

const DAY_MS = 86_400_000;

/**
 * Says which backups are kept, and by which rules.
 *
 * @param instants When each began, ISO 8601, in any order. The newest is always kept.
 */
export function keptBy(instants: readonly string[], rules: KeepRules): ReadonlyMap<string, readonly KeepRule[]> {
  const newestFirst = instants.toSorted().toReversed();
  const kept = new Map<string, KeepRule[]>();
  const [newest] = newestFirst;
  if (newest !== undefined) kept.set(newest, []);
  for (const rule of KEEP_RULES) {
    const seen = new Set<string>();
    for (const instant of newestFirst) {
      const period = PERIOD[rule](new Date(instant));
      if (seen.has(period)) continue;
      if (seen.size >= (rules[rule] ?? 0)) break;
      seen.add(period);
      kept.set(instant, [...(kept.get(instant) ?? []), rule]);
    }
  }
  return kept;
}

function mondayOf(instant: Date): Date {
  return new Date(instant.getTime() - ((instant.getUTCDay() + 6) % 7) * DAY_MS);
}
