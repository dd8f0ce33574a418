/**
 * What one write does for the home replicas that missed it: somebody else keeps it for them, as a hint.
 *
 *     missed ──► next stand-in of the home's zone ──► fails: the next one ──► none left: this node, uncounted
 *
 * In sloppy mode a stand-in's copy counts towards W when W needs it: when the homes that acknowledged, or still may, are
 * too few. Until then it is *surplus*, which may expire; a copy that comes to be needed later is sent again as one that
 * counts. A home and its stand-in count once: the hint goes when the home has the write. In strict mode, and once the client has its answer, this node keeps the hint itself and nothing counts.
 * Source: DeCandia et al. 2007, §4.6; design §5.
 */
import { KvError, type Outcome } from "../core/errors.ts";
import { StandIns } from "../core/quorum/targets.ts";
import type { RingMember } from "../core/ring/document.ts";
import type { MergeRequest } from "../messages.ts";
import type { Telemetry } from "../ports.ts";
import type { Replicas } from "./replicas.ts";

export type HandOffParts = {
  readonly replicas: Replicas;
  readonly isUp: (member: string) => boolean;
  readonly telemetry: Telemetry;
};

export type HandOffOptions = {
  readonly partition: number;
  /** The members that may stand in, in order; none in strict mode. */
  readonly walk: readonly RingMember[];
  /** The homes among which copies are to stay spread over zones; none where that was not asked for. */
  readonly homes: readonly RingMember[];
  readonly request: MergeRequest;
  /** A copy that counts is on its way to a stand-in of `home`; `kept` or `failed` follows. */
  readonly asked: (home: RingMember) => void;
  readonly failed: (home: RingMember, outcome: Outcome) => void;
  /** Whether copies count from the beginning. */
  readonly counts: boolean;
  readonly timeoutMs: number;
  /** Whether the client has its answer. */
  readonly isSettled: () => boolean;
  /** Tells the tally that a stand-in keeps the write for a home. */
  readonly kept: (home: RingMember, standIn: RingMember) => void;
  /** Called when the tally has changed. */
  readonly changed: () => void;
  /** Called with a broken invariant. */
  readonly broken: (error: unknown) => void;
};

/** A home that missed the write, and who keeps it meanwhile: sent to, or known to have it. */
type Missed = {
  readonly home: RingMember;
  member: RingMember | undefined;
  /** Whether `member` was asked for a copy that counts. */
  counts: boolean;
  /** Whether it came to this node, which keeps what nobody else does. */
  isHere: boolean;
};

/** The hand-offs of one write; made when the first home misses it. */
export class HandOffs {
  readonly #parts: HandOffParts;
  readonly #options: HandOffOptions;
  readonly #standIns: StandIns;
  readonly #missed: Missed[] = [];
  #counts: boolean;

  constructor(parts: HandOffParts, options: HandOffOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#standIns = new StandIns(options.walk, parts.isUp);
    this.#counts = options.counts;
  }

  /** Takes a member out of the choice: it holds the write already, or failed to stamp it. */
  exclude(member: RingMember): void {
    this.#standIns.exclude(member);
  }

  /** A home is down, refused, or is late. */
  add(home: RingMember): void {
    const missed: Missed = { home, member: undefined, counts: false, isHere: false };
    this.#missed.push(missed);
    this.#place(missed);
  }

  /** Whether copies count. */
  get isCounting(): boolean {
    return this.#counts;
  }

  /** The homes alone will not do: from here on copies count, those too that were sent as surplus. */
  count(): void {
    if (this.#counts) return;
    this.#counts = true;
    for (const missed of this.#missed) this.#place(missed);
  }

  #place(missed: Missed): void {
    if (this.#options.isSettled()) return this.#keepHere(missed);
    missed.member ??= this.#standIns.take(missed.home.zone, this.#awaited(missed));
    if (missed.member === undefined) return this.#keepHere(missed);
    this.#send(missed, missed.member, this.#counts);
  }

  /** Zones of the other homes that are down, and that nobody stands in for yet: only one of their own zone keeps the copies spread. */
  #awaited(missed: Missed): string[] {
    const { homes } = this.#options;
    if (homes.length === 0) return [];
    const served = new Set(this.#missed.filter(({ member }) => member !== undefined).map(({ home }) => home.name));
    return homes
      .filter(({ name }) => name !== missed.home.name && !served.has(name) && !this.#parts.isUp(name))
      .map(({ zone }) => zone);
  }

  #send(missed: Missed, member: RingMember, counts: boolean): void {
    const { asked, failed, partition, timeoutMs, changed } = this.#options;
    if (missed.counts) return;
    missed.counts = counts;
    if (counts) asked(missed.home);
    this.#merge(member.name, this.#requestFor(missed.home, counts), { partition, timeoutMs }, (error) => {
      if (error === undefined) {
        if (counts) this.#options.kept(missed.home, member);
      } else {
        // It may have been sent there twice, as surplus and as a copy that counts: the first failure ends both.
        if (missed.member === member) {
          missed.member = undefined;
          missed.counts = false;
          this.#place(missed);
        }
        if (counts) failed(missed.home, error.outcome);
      }
      if (counts) changed();
    });
  }

  /** One more copy beside those that W needs; that it is lost if this node is, anti-entropy makes good. */
  #keepHere(missed: Missed): void {
    const { replicas, telemetry } = this.#parts;
    const { partition, timeoutMs } = this.#options;
    if (missed.isHere) return;
    missed.isHere = true;
    if (missed.home.name === replicas.self) return telemetry.count("annulus.hints.dropped");
    this.#merge(replicas.self, this.#requestFor(missed.home, false), { partition, timeoutMs }, (error) => {
      if (error !== undefined) telemetry.count("annulus.hints.dropped");
    });
  }

  #requestFor(home: RingMember, counts: boolean): MergeRequest {
    return { ...this.#options.request, hint: { target: home.name, counts } };
  }

  #merge(
    member: string,
    request: MergeRequest,
    { partition, timeoutMs }: { readonly partition: number; readonly timeoutMs: number },
    done: (error?: KvError) => void,
  ): void {
    this.#parts.replicas.merge(member, partition, request, timeoutMs).then(
      () => done(),
      (error: unknown) => {
        if (error instanceof KvError) done(error);
        else this.#options.broken(error);
      },
    );
  }
}
