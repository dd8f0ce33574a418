/**
 * Answers what peers ask of this node.
 *
 * Whether a request is let in by its epoch is decided in admission.ts. One of a later epoch than this node's makes it
 * fetch the ring first; a refusal makes the one who asked fetch this node's (design §3).
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import { serializeRing } from "../core/ring/document.ts";
import type { MergeRequest, ReadRequest, Reply, Request, StampRequest, TraceContext } from "../messages.ts";
import type { PeerIdentity, RequestHandler, Telemetry, Time, Tracer } from "../ports.ts";
import type { Admission } from "./admission.ts";
import type { Agreement } from "./agreement.ts";
import type { Completeness } from "./completeness.ts";
import type { Gossiper } from "./gossiper.ts";
import type { Identity } from "./identity.ts";
import type { KnownActors } from "./known-actors.ts";
import type { PartitionSizes } from "./partition-sizes.ts";
import type { Progress } from "./progress.ts";
import type { Repair } from "./repair.ts";
import type { OwnReplica } from "./replicas.ts";
import type { RingKeeper } from "./ring-keeper.ts";
import { boundStoring } from "./storing-bound.ts";
import type { Tombstones } from "./tombstones.ts";

const KEPT: Reply = { kind: "merged", isCovered: false };
const COVERED: Reply = { kind: "merged", isCovered: true };

export type PeerRequestParts = {
  readonly own: OwnReplica;
  readonly rings: RingKeeper;
  readonly admission: Admission;
  readonly agreement: Agreement;
  readonly identity: Identity;
  readonly repair: Repair;
  readonly gossiper: Gossiper;
  readonly actors: KnownActors;
  readonly completeness: Completeness;
  readonly progress: Progress;
  readonly sizes: PartitionSizes;
  readonly tombstones: Tombstones;
  readonly time: Time;
  readonly telemetry: Telemetry;
};

/** Makes the handler that the transport gives every request to. */
export function createPeerRequests(parts: PeerRequestParts): RequestHandler {
  const { own, rings, admission, agreement, identity, repair, gossiper, actors, completeness, progress, time } = parts;

  /** A directory that was exchanged itself has forgotten whom it met: the asker may as well have been another. */
  function knowsAnother(from: PeerIdentity): boolean {
    return actors.isAnother(from) || completeness.isRebuilding();
  }

  /**
   * A directory that was declared destroyed and came back takes part in nothing: what it sends (hints, repairs) may be
   * older than what was deleted since. It is told of the ring that says so.
   */
  function refuseDestroyed({ name, actor }: PeerIdentity): void {
    const member = rings.current()?.member(name);
    if (member?.isDestroyed !== true || (member.actor !== undefined && member.actor !== actor)) return;
    throw new KvError(
      "STALE_RING",
      `Cannot serve ${name}: its data directory was declared destroyed. Start it with an empty one, or read it with annulus salvage.`,
    );
  }

  /**
   * A directory in whose place the ring lists another takes part in nothing either: what it counts as acknowledged goes
   * with it. Its successor, until it is listed, is not the one that is listed either; it was never listed, and goes by the
   * newest ring.
   */
  function refuseSuperseded({ name, actor }: PeerIdentity, request: Request): void {
    const ring = rings.current();
    const listed = ring?.member(name)?.actor;
    if (ring === undefined || listed === undefined || listed === actor) return;
    const isOlder = "epoch" in request && typeof request.epoch === "number" && request.epoch < ring.epoch;
    if (!isOlder && !rings.hasListed(name, actor)) return;
    throw new KvError(
      "STALE_RING",
      `Cannot serve ${name}: another data directory took the place of its own. Start it with an empty one, or read it with annulus salvage.`,
    );
  }

  /** Makes sure that this node does not go by an earlier epoch than the request, if it can be. */
  function catchUp(from: MemberId, epoch: number): Promise<unknown> | undefined {
    const ring = rings.current();
    return ring === undefined || epoch <= ring.epoch ? undefined : rings.catchUp(from, epoch);
  }

  async function answer(from: PeerIdentity, request: Request, budgetMs: number): Promise<Reply> {
    // Who asks for the ring is not linked yet, and must not become known by asking.
    if (request.kind !== "ring") actors.note(from);
    if (request.kind !== "ring" && request.kind !== "gossip") {
      refuseDestroyed(from);
      refuseSuperseded(from, request);
      if (identity.isSuperseded())
        throw new KvError("STALE_RING", "Cannot serve: another data directory took the place of this one.");
    }
    switch (request.kind) {
      case "merge": {
        const behind = catchUp(from.name, request.epoch);
        if (behind !== undefined) await behind;
        const outcome = await own.merge(rings.required().partitionOf(request.key), request);
        return outcome === "covered" ? COVERED : KEPT;
      }
      case "read": {
        const behind = catchUp(from.name, request.epoch);
        if (behind !== undefined) await behind;
        return { kind: "record", record: await own.read(rings.required().partitionOf(request.key), request) };
      }
      case "stamp": {
        const deadlineMs = time.monotonicMs() + budgetMs;
        const behind = catchUp(from.name, request.epoch);
        if (behind !== undefined) await behind;
        const result = await own.stamp(rings.required().partitionOf(request.key), request, deadlineMs);
        return { kind: "stamped", record: result.record, context: result.context };
      }
      case "scan":
        await catchUp(from.name, request.epoch);
        return own.scan(request);
      case "branches":
      case "leaves":
        admission.keep(request.partition);
        return repair.answer(request);
      case "roots":
      case "horizons":
        await catchUp(from.name, request.epoch);
        return repair.answer(request);
      case "gossip":
        void rings.catchUp(from.name, request.epoch);
        return { kind: "gossiped", news: gossiper.exchange(request.news), epoch: rings.current()?.epoch ?? 0 };
      case "promise":
      case "accept":
        await catchUp(from.name, request.epoch - 1);
        return agreement.answer(request);
      case "progress":
        return progress.own();
      case "clearance":
        await catchUp(from.name, request.epoch);
        return parts.tombstones.clearance(request);
      case "sizes":
        return { kind: "sizes", bytes: await parts.sizes.ofAll(request.partitions) };
      case "ring": {
        const ring = rings.current();
        const document = ring === undefined ? undefined : serializeRing(ring.document);
        const { actor } = identity;
        return { kind: "ring", document, hadRing: rings.hadRing(), knowsAnother: knowsAnother(from), actor };
      }
    }
  }

  /** As `answer`, with a span under that of the one who asks. */
  async function answerTraced(tracer: Tracer, from: PeerIdentity, request: Traced, budgetMs: number): Promise<Reply> {
    const span = tracer.begin("server", request.kind, request.trace, from.name);
    try {
      const reply = await answer(from, request, budgetMs);
      span.end();
      return reply;
    } catch (error) {
      span.end({ "error.type": error instanceof KvError ? error.code : "BUG" });
      throw error;
    }
  }

  const { tracer } = parts.telemetry;
  if (tracer === undefined) return boundStoring(answer, parts.telemetry);
  const traced: RequestHandler = (from, request, budgetMs) =>
    isTraced(request) ? answerTraced(tracer, from, request, budgetMs) : answer(from, request, budgetMs);
  return boundStoring(traced, parts.telemetry);
}

type Traced = (StampRequest | MergeRequest | ReadRequest) & { readonly trace: TraceContext };

function isTraced(request: Request): request is Traced {
  return "trace" in request && request.trace !== undefined;
}
