/**
 * Where the names of peers lead: as the system resolves them, and as they did last where it does not, or not in time.
 *
 * A zone that is cut off has no DNS (design §6), and nobody says no there: the system asks its name servers again and
 * again, for up to half a minute a name and for two names at a time, which is longer than a handshake may take. So a name
 * that was resolved before is not waited for long. An answer that comes later is kept for the next attempt: where
 * resolving is merely slow, a peer that has moved is found all the same.
 */
import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import type { LookupFunction } from "node:net";

/** How long a name that was resolved before is waited for, in ms: a handshake has still four times as long. */
const PATIENCE_MS = 1_000;

/** Resolves a name to all its addresses; `dns.lookup` is one. */
export type Resolve = (
  host: string,
  options: LookupOptions & { readonly all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

type Done = Parameters<Resolve>[2];

/** The names that one network dials. */
export class Names {
  /** For sockets that connect. */
  readonly lookup: LookupFunction = (host, options, done) => {
    this.#find(host, options, (error, addresses) => {
      const [first] = addresses;
      if (error !== null || options.all === true) return done(error, addresses);
      done(null, first?.address ?? "", first?.family);
    });
  };
  readonly #resolve: Resolve;
  readonly #patienceMs: number;
  readonly #last = new Map<string, LookupAddress[]>();
  /** Who waits for which name. The system's answer may take so long that others ask meanwhile: it is asked once. */
  readonly #waiting = new Map<string, Set<Done>>();

  constructor(resolve: Resolve = lookup, patienceMs: number = PATIENCE_MS) {
    this.#resolve = resolve;
    this.#patienceMs = patienceMs;
  }

  #find(host: string, options: LookupOptions, done: Done): void {
    const waits = this.#waiting.get(host) ?? this.#ask(host, options);
    const last = this.#last.get(host);
    const timer = last === undefined ? undefined : setTimeout(() => answered(null, last), this.#patienceMs);
    const answered: Done = (error, addresses) => {
      clearTimeout(timer);
      waits.delete(answered);
      const known = error === null ? addresses : this.#last.get(host);
      if (known === undefined) done(error, []);
      else done(null, known);
    };
    waits.add(answered);
  }

  #ask(host: string, options: LookupOptions): Set<Done> {
    const waits = new Set<Done>();
    this.#waiting.set(host, waits);
    this.#resolve(host, { ...options, all: true }, (error, addresses) => {
      this.#waiting.delete(host);
      if (error === null) this.#last.set(host, addresses);
      for (const answered of [...waits]) answered(error, addresses);
    });
    return waits;
  }
}
