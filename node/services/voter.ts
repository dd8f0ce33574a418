/**
 * This member's vote in choosing the next ring document: the rules of who may vote, around the acceptor of
 * core/paxos/acceptor.ts, and its memory on the disk.
 *
 * A vote is synced before it is told, whatever the durability of data, and votes are given one after the other. Who may
 * have forgotten what it promised gives none: a directory that took the place of a lost one, until the ring lists it,
 * and one whose stored vote is damaged, or whose store lost a part of its log, until the epoch for which that may have
 * been is past.
 */
import { KvError } from "../core/errors.ts";
import { VOTES_LOST_KEY } from "../core/identity.ts";
import { metaKey } from "../core/keyspace.ts";
import { accept, blankVote, parseVote, promise, serializeVote, type Vote } from "../core/paxos/acceptor.ts";
import { type MemberId, serializeRing } from "../core/ring/document.ts";
import { parseRing } from "../core/ring/parse-document.ts";
import type { Ring } from "../core/ring/ring.ts";
import { votersOf } from "../core/ring/transition.ts";
import { seal, unseal } from "../core/seal.ts";
import type { AgreementRequest, VotedReply } from "../messages.ts";
import type { Engine, EngineWrite, Telemetry } from "../ports.ts";
import type { Identity } from "./identity.ts";
import { isListed } from "./listing.ts";

export type Voter = {
  /** Reads the vote that was given last. To be called before `answer`. */
  open(): Promise<void>;
  /** Rejects with INVALID_REQUEST for a document that is none, and with the engine's error: no vote was given then. */
  answer(request: AgreementRequest): Promise<VotedReply>;
  /** The highest round that was promised for an epoch; 0 for none. */
  promisedRound(epoch: number): number;
};

const NAME = "vote";
const KEY = metaKey(NAME);

/** @param parts `rings` has the document in force; `engine` keeps the vote. */
export function createVoter(
  parts: {
    readonly rings: { current(): Ring | undefined };
    readonly identity: Pick<Identity, "actor" | "isSuccessor">;
    readonly engine: Engine;
    readonly telemetry: Telemetry;
  },
  member: MemberId,
): Voter {
  const { rings, identity, engine, telemetry } = parts;
  /** As it is on the disk, or newer there: what was not told binds nobody. */
  let stored: Vote | undefined;
  let isDamaged = false;
  /** Whether the disk says that votes may be lost. */
  let isMarkedLost = false;
  let mayHaveLost = false;
  /** No vote is given for epochs below: one may have been given that is forgotten. */
  let firstEpoch = 0;
  /** Ends, never with an error, when the last vote asked for is given. */
  let lastVote: Promise<unknown> = Promise.resolve();

  async function open(): Promise<void> {
    isMarkedLost = (await engine.get(VOTES_LOST_KEY)) !== undefined;
    mayHaveLost = isMarkedLost;
    if (isMarkedLost) telemetry.log("warn", "agreement.votes_lost");
    const sealed = await engine.get(KEY);
    if (sealed === undefined) return;
    stored = parseVote(unseal(NAME, sealed) ?? "");
    isDamaged = stored === undefined;
    if (isDamaged) telemetry.log("error", "agreement.vote_damaged");
  }

  function mayVote({ document }: Ring, epoch: number): boolean {
    const voters = votersOf(document);
    // Where it votes alone no other vote would ever pass that epoch, and none that it forgot was told to another voter.
    if (isDamaged || (mayHaveLost && voters.length > 1)) {
      // Votes were only ever given for the epoch after that of a ring that is on the disk as well, and in no log any more.
      firstEpoch = document.epoch + 2;
      isDamaged = false;
      mayHaveLost = false;
    }
    const listed = voters.find(({ name }) => name === member);
    if (listed === undefined || epoch < firstEpoch) return false;
    return isListed(listed, identity);
  }

  async function vote(request: AgreementRequest): Promise<VotedReply> {
    const ring = rings.current();
    const { epoch, ballot } = request;
    if (ring === undefined || ring.epoch + 1 < epoch) return without("behind");
    if (ring.epoch >= epoch) return { ...without("no"), newer: serializeRing(ring.document) };
    if (!mayVote(ring, epoch)) return without("not a voter");
    const before = stored !== undefined && stored.epoch >= epoch ? stored : blankVote(epoch);
    // The ring on the disk never goes back, so this is a disk of which a part is older than the rest.
    if (before.epoch > epoch) return without("behind");
    const after = request.kind === "promise" ? promise(before, ballot) : accept(before, proposed(request));
    if (after !== undefined) {
      const writes: EngineWrite[] = [{ kind: "put", key: KEY, value: seal(NAME, serializeVote(after)) }];
      if (isMarkedLost) writes.push({ kind: "delete", key: VOTES_LOST_KEY });
      await engine.batch(writes, { sync: true });
      stored = after;
      isMarkedLost = false;
      mayHaveLost = false;
      telemetry.count("annulus.agreement.votes");
    }
    const { promised, accepted } = after ?? before;
    // What was accepted matters to who gathers promises, and is as large as a ring.
    const told = after !== undefined && request.kind === "promise" ? accepted : undefined;
    return { kind: "voted", vote: after === undefined ? "no" : "yes", promised, accepted: told, newer: undefined };
  }

  return {
    open,
    answer(request) {
      const given = lastVote.then(() => vote(request));
      lastVote = given.catch(toldAlready);
      return given;
    },
    promisedRound: (epoch) => (stored?.epoch === epoch ? (stored.promised?.round ?? 0) : 0),
  };
}

/** For errors that the one who asked was told. */
function toldAlready(): void {}

function without(vote: VotedReply["vote"]): VotedReply {
  return { kind: "voted", vote, promised: undefined, accepted: undefined, newer: undefined };
}

/** What is accepted may be in force everywhere soon: it is a document of its epoch, written the one way. */
function proposed({ epoch, ballot, document }: Extract<AgreementRequest, { kind: "accept" }>) {
  const parsed = parseRing(document);
  if (parsed.epoch === epoch && serializeRing(parsed) === document) return { ballot, document };
  throw new KvError(
    "INVALID_REQUEST",
    `Cannot accept the ring document: expected one of epoch ${epoch} as it is written, found one of ${parsed.epoch}.`,
  );
}
