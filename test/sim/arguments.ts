/** What is typed behind `npm run sim` and `npm run sim:mutants`, checked: a number that is none must not run as one. */
import { parseArgs } from "node:util";

/** What was typed says nothing that can be run. */
export class UsageError extends Error {}

const SIM_USAGE = `npm run sim --
  --seeds N           so many seeds (100 when it is left out), from --from on
  --from N|date       the first of them (1); date: seeds that only this day has
  --jobs N            in so many processes (1)
  --seconds N         begin no further seed after so many seconds
  --sometimes         fail when something never happened that should have
  --least N           fail when fewer seeds than this count
  --seed N            only this seed; --trace tells its story, --shrink leaves out what it does not need to fail
  --strikes N,N       of one seed: only these strikes; --fault-ms N: only so many ms with faults
  --churn, --operator the ring changes meanwhile, by administrators or by operators
  --short             small clusters, as the fast tests run them
`;

/** What `npm run sim` is to do. */
export type SimArguments = {
  readonly seeds: number;
  readonly from: number | "date";
  readonly seed: number | undefined;
  /** Small and quick clusters, as the fast tests run them. */
  readonly short: boolean;
  /** The ring changes meanwhile. */
  readonly churn: boolean;
  /** The nodes run in a simulated Kubernetes, and operators change their ring. */
  readonly operator: boolean;
  readonly trace: boolean;
  readonly jobs: number;
  /** Leave out what of a failing seed's faults is not needed for it to fail. */
  readonly shrink: boolean;
  /** Only these strikes, and only so many ms with faults, as `--shrink` says. */
  readonly strikes: readonly number[] | undefined;
  readonly faultMs: number | undefined;
  /** Begin no further seed after so many seconds. */
  readonly seconds: number | undefined;
  /** Fail when something never happened that should have. */
  readonly sometimes: boolean;
  /** Fail when fewer seeds than this count. */
  readonly least: number;
};

/**
 * Reads what is typed behind `npm run sim --`; undefined: the usage was asked for.
 *
 * @throws {UsageError} What there is to say of it.
 */
export function simArguments(typed: readonly string[]): SimArguments | undefined {
  const values = parsed(() => {
    const flag = { type: "boolean", default: false } as const;
    const text = { type: "string" } as const;
    return parseArgs({
      args: [...typed],
      options: {
        seeds: { ...text, default: "100" },
        from: { ...text, default: "1" },
        seed: text,
        short: flag,
        churn: flag,
        operator: flag,
        trace: flag,
        jobs: { ...text, default: "1" },
        shrink: flag,
        strikes: text,
        "fault-ms": text,
        seconds: text,
        sometimes: flag,
        least: { ...text, default: "0" },
        help: flag,
      },
    }).values;
  });
  if (values.help) return undefined;
  const { short, churn, operator, trace, shrink, sometimes, strikes } = values;
  const chosen: SimArguments = {
    ...{ short, churn, operator, trace, shrink, sometimes },
    seeds: wholeNumber("--seeds", values.seeds, 1),
    from: values.from === "date" ? "date" : wholeNumber("--from", values.from),
    seed: optional("--seed", values.seed),
    jobs: wholeNumber("--jobs", values.jobs, 1),
    strikes: strikes?.split(",").flatMap((text) => (text === "" ? [] : [wholeNumber("--strikes", text)])),
    faultMs: optional("--fault-ms", values["fault-ms"]),
    seconds: optional("--seconds", values.seconds),
    least: wholeNumber("--least", values.least),
  };
  const ofOne = { "--trace": trace, "--shrink": shrink, "--strikes": strikes, "--fault-ms": values["fault-ms"] };
  for (const [name, value] of Object.entries(ofOne))
    if (value !== undefined && value !== false && values.seed === undefined)
      throw new UsageError(`${name} is of one run: name its seed with --seed N`);
  return chosen;
}

const MUTANTS_USAGE = `npm run sim:mutants --
  --only NAME,NAME    these mutants instead of all
  --jobs N            so many at once (2)
  --seeds N           seeds that are tried, from --from on, when the remembered run does not catch one (500)
  --from N            the first of them (1)
  --counted           large runs, several times as long
  --record            remember the runs that caught them
  --trace             tell the story of the run that caught one, as npm run sim -- --seed N --trace does
`;

/** What `npm run sim:mutants` is to do. */
export type MutantArguments = {
  /** Names; undefined: all. */
  readonly only: readonly string[] | undefined;
  readonly jobs: number;
  /** Seeds that are tried, beginning at `from`, when the remembered one does not catch it. */
  readonly seeds: number;
  readonly from: number;
  /** Runs of `counted` size: several times as long, and with more of everything. */
  readonly counted: boolean;
  /** Remember the runs that caught them. */
  readonly record: boolean;
  /** Tell the story of the run that caught one. */
  readonly trace: boolean;
};

/**
 * Reads what is typed behind `npm run sim:mutants --`; undefined: the usage was asked for.
 *
 * @param names Of all mutants.
 * @throws {UsageError} What there is to say of it.
 */
export function mutantArguments(typed: readonly string[], names: readonly string[]): MutantArguments | undefined {
  const values = parsed(() => {
    return parseArgs({
      args: [...typed],
      options: {
        only: { type: "string" },
        jobs: { type: "string", default: "2" },
        seeds: { type: "string", default: "500" },
        from: { type: "string", default: "1" },
        counted: { type: "boolean", default: false },
        record: { type: "boolean", default: false },
        trace: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  });
  if (values.help) return undefined;
  const { counted, record, trace } = values;
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new UsageError(`--only: there is no mutant ${unknown} in test/sim/mutants`);
  const [jobs, seeds] = [wholeNumber("--jobs", values.jobs, 1), wholeNumber("--seeds", values.seeds, 1)];
  return { only, jobs, seeds, from: wholeNumber("--from", values.from), counted, record, trace };
}

/** Ends the process with the usage: with 0 where it was asked for, with 2 and what is wrong where it was not kept to. */
export function orUsage<T>(what: "sim" | "sim:mutants", read: () => T | undefined): T {
  const usage = what === "sim" ? SIM_USAGE : MUTANTS_USAGE;
  try {
    const found = read();
    if (found !== undefined) return found;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${what}: ${error.message}\n${usage}`);
    process.exit(2);
  }
  process.stdout.write(usage);
  process.exit(0);
}

/** An option that does not exist, or has no value where one belongs, is told by Node. */
function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith("ERR_PARSE_ARGS_") !== true) throw error;
    throw new UsageError(message);
  }
}

function optional(option: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : wholeNumber(option, text);
}

function wholeNumber(option: string, text: string, least = 0): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
  throw new UsageError(`${option}: expected a whole number from ${least} up, found ${JSON.stringify(text)}`);
}
