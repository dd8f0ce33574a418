/**
 * Who a data directory is in version vectors, and when it must become somebody else (design §4).
 *
 * The actor lives and dies with the directory. Its incarnation goes up whenever the directory may have lost something
 * that was stamped, since its counters then no longer tell what it has seen. A process that died under the same boot
 * of the machine lost nothing, because its log was with the operating system; a machine that went down may have:
 *
 *                     same boot id   another boot id
 *   stopped cleanly   keeps it       keeps it
 *   did not           keeps it       takes a new one
 *
 * Where the store says that a part of its log is lost, that was synced or not, the directory takes a new one whatever
 * else is stored: the part may have held what is stored of the identity itself.
 *
 * A counter is never given out twice, whatever the incarnation: blocks of counters are reserved on disk before the
 * first of a block is used, and a restart begins behind all that was reserved.
 */
import assert from "node:assert/strict";
import { KvError } from "./errors.ts";
import { metaKey } from "./keyspace.ts";
import type { MemberId } from "./ring/document.ts";
import { seal, unseal } from "./seal.ts";
import type { ActorId } from "./version/record.ts";

/** Raised with every change of what the directory holds that an older release could not read. */
export const DIRECTORY_FORMAT_VERSION = 2;

/** Counters in a block: at 10,000 writes a second one small synced write in 100 s, and 2^33 restarts until they end. */
export const COUNTER_BLOCK = 1_048_576;

/**
 * Where an engine says, synced, that a part of its log is lost. It stays until the next incarnation is on the disk, and in no
 * log any more.
 */
export const LOSS_KEY = metaKey("log-lost");

/** What was said there last: for the engine, which is told of a loss twice. */
export const LOSS_KNOWN_KEY = metaKey("log-lost-known");

/** Set with that incarnation: votes may be lost as well. It stays until the next vote is on the disk (services/voter.ts). */
export const VOTES_LOST_KEY = metaKey("votes-lost");

/**
 * By how much the incarnation goes up after such a loss: raises by 1 may be lost with the log, and none of them may be
 * taken again. No log holds so many.
 */
const LOSS_STEP = 1_048_576;

const NAME = "identity";

/** What the directory says of itself. */
export type IdentityDocument = {
  readonly formatVersion: number;
  readonly clusterId: string;
  readonly member: MemberId;
  readonly actor: ActorId;
  /** From 1. */
  readonly incarnation: number;
  /** Names the boot of the machine under which the directory was last open. */
  readonly bootId: string;
  /** Set by the last act of an orderly stop, cleared by the first act of a start. */
  readonly stoppedCleanly: boolean;
  /** The highest counter that may have been given out. */
  readonly counterLimit: number;
};

/** Who opens the directory. */
export type Opener = { readonly clusterId: string; readonly member: MemberId; readonly bootId: string };

/**
 * The identity of an empty directory, with its first block of counters.
 *
 * @param actor 32 hex digits out of 16 random bytes.
 */
export function createIdentity({ clusterId, member, bootId }: Opener, actor: ActorId): IdentityDocument {
  assert(/^[0-9a-f]{32}$/.test(actor), "an actor is 32 hex digits");
  return {
    formatVersion: DIRECTORY_FORMAT_VERSION,
    clusterId,
    member,
    actor,
    incarnation: 1,
    bootId,
    stoppedCleanly: false,
    counterLimit: COUNTER_BLOCK,
  };
}

/**
 * The identity with which a directory that was used before goes on, with a fresh block of counters.
 *
 * @param hasLost Whether a part of the log is lost, and perhaps later states of the identity with it.
 * @throws {KvError} STORAGE_FAILED: the directory belongs to another cluster or member.
 */
export function resumeIdentity(stored: IdentityDocument, opener: Opener, hasLost: boolean): IdentityDocument {
  refuseUnlessSame("cluster", stored.clusterId, opener.clusterId);
  refuseUnlessSame("member", stored.member, opener.member);
  const mayHaveLost = !stored.stoppedCleanly && stored.bootId !== opener.bootId;
  const raise = mayHaveLost ? 1 : 0;
  return reserveCounters({
    ...stored,
    incarnation: stored.incarnation + (hasLost ? LOSS_STEP : raise),
    bootId: opener.bootId,
    stoppedCleanly: false,
  });
}

/** The same with one more block of counters. */
export function reserveCounters(document: IdentityDocument): IdentityDocument {
  const counterLimit = document.counterLimit + COUNTER_BLOCK;
  assert(Number.isSafeInteger(counterLimit), "an actor's counters stay exact integers");
  return { ...document, counterLimit };
}

/** As it lies on disk: JSON under a checksum. */
export function encodeIdentity(document: IdentityDocument): Uint8Array {
  return seal(NAME, JSON.stringify(document));
}

/** @throws {KvError} STORAGE_FAILED: damaged, or written by a newer release, or before the first one. */
export function parseIdentity(sealed: Uint8Array): IdentityDocument {
  const text = unseal(NAME, sealed);
  if (text === undefined) {
    const advice = "Move the data directory aside and let the member be rebuilt by its peers.";
    throw new KvError("STORAGE_FAILED", `Cannot read the identity of the data directory: it is damaged. ${advice}`);
  }
  // The checksum held, so the text is what this program wrote; only its version may be another.
  const document = JSON.parse(text) as IdentityDocument;
  if (document.formatVersion > DIRECTORY_FORMAT_VERSION) {
    throw new KvError(
      "STORAGE_FAILED",
      `Cannot open the data directory: it has format ${document.formatVersion}, this release reads up to ` +
        `${DIRECTORY_FORMAT_VERSION}. Start a newer release.`,
    );
  }
  // Format 1 was never released: it had the records of a partition in the order of their keys.
  if (document.formatVersion < DIRECTORY_FORMAT_VERSION) {
    throw new KvError(
      "STORAGE_FAILED",
      `Cannot open the data directory: it has format ${document.formatVersion}, of before the first release; this ` +
        `release reads ${DIRECTORY_FORMAT_VERSION}. Export it with the program that wrote it and import it anew.`,
    );
  }
  return document;
}

function refuseUnlessSame(what: "cluster" | "member", stored: string, asked: string): void {
  if (stored === asked) return;
  throw new KvError(
    "STORAGE_FAILED",
    `Cannot open the data directory: it belongs to ${what} "${stored}", this node is of ${what} "${asked}". ` +
      `Correct the ${what}'s name or choose another directory.`,
  );
}
