/** Exit codes, and the errors that end a command with one. */

export const EXIT = {
  ok: 0,
  /** The cluster refused, or part of the work failed. */
  failed: 1,
  /** Wrong arguments. */
  usage: 2,
  /** The key has siblings: they were printed as JSON. */
  siblings: 3,
  /** The key was never written, or is deleted. */
  notFound: 4,
  /** No node answered, or none could reach its quorum: the same may succeed later. */
  unavailable: 5,
  /** `doctor` found something that takes requests or data away now, or soon. */
  critical: 6,
  /** A bug; EX_SOFTWARE of sysexits.h. */
  bug: 70,
  /** Wrong settings; EX_CONFIG of sysexits.h. */
  config: 78,
} as const;

export const EXIT_CODES_HELP = `
Exit codes: 0 done · 1 refused or partly failed · 2 wrong arguments · 3 the key has siblings (printed as JSON)
  4 not found · 5 unavailable: no node answered or no quorum, may succeed later · 6 doctor: critical · 70 a bug · 78 wrong settings

Environment: ANNULUS_URL (default http://127.0.0.1:7400; several, comma-separated, are tried in turn),
  ANNULUS_ADMIN_URL (default: each ANNULUS_URL with its port plus one)`;

/** Ends the command with a message on standard error and an exit code. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}
