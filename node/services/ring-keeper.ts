/**
 * Keeps the ring document that this node goes by.
 *
 * On start it is the one on disk; a node without one looks for it (ring-search.ts). Later ones are chosen by the members
 * (agreement.ts) and spread: whoever meets a later epoch, in gossip, in a request or in a refusal, asks for its document.
 * What is adopted is on disk before it is used, and only a later one is adopted. A directory under whose name the peers knew another one lacks what that had acknowledged: this is marked on
 * the disk together with the ring (completeness.ts). The keeper decides nothing about the ring: it holds the newest that
 * it was given.
 */

import { KvError } from "../core/errors.ts";
import { type MemberId, type RingDocument, serializeRing } from "../core/ring/document.ts";
import { ignoredSettings } from "../core/ring/first-members.ts";
import { keyHash } from "../core/ring/hash.ts";
import { parseRing } from "../core/ring/parse-document.ts";
import { createRing, type Ring } from "../core/ring/ring.ts";
import { type ZoneFigures, zoneFigures } from "../core/ring/zone-figures.ts";
import type { Telemetry, Time, Transport } from "../ports.ts";
import type { Identity } from "./identity.ts";
import { isListed } from "./listing.ts";
import { createRingSearch, type FoundRing, type RingSearchOptions } from "./ring-search.ts";

export type RingKeeper = {
  /** The ring in force, or undefined before there is one. */
  current(): Ring | undefined;
  /** The ring in force. Throws NOT_READY before there is one. */
  required(): Ring;
  /** Whether this directory ever held a ring. */
  hadRing(): boolean;
  /**
   * One of the last rings that this node went by, this one included; undefined where it knows none of that epoch. Of
   * those before its start it knows only the last.
   */
  ringOf(epoch: number): Ring | undefined;
  /** Whether a recent ring lists a member with this data directory. */
  hasListed(member: MemberId, actor: string): boolean;
  /** Reads the ring from disk, or begins to look for it. */
  open(): Promise<void>;
  /**
   * Takes a document that the members chose; does nothing with one that is not later than what it has.
   *
   * @param origin For the log.
   */
  adopt(document: RingDocument, origin: string): Promise<void>;
  /**
   * Asks a member that goes by a later epoch for its document. Resolves when this node has it, or could not get it.
   *
   * @returns The ring in force then.
   */
  catchUp(member: MemberId, epoch: number): Promise<Ring | undefined>;
  /** Calls `listener` with every ring that comes into force, and at once with the present one if there is one. */
  onAdopted(listener: (ring: Ring) => void): void;
  /** Stops looking. */
  close(): void;
};

/** Rings that are kept to tell whether an earlier request means the same replicas. */
const RINGS_KEPT = 8;
const ASK_TIMEOUT_MS = 1_000;

/** @param parts `identity` stores the document; `transport` is told who the peers are. */
export function createRingKeeper(
  parts: {
    readonly identity: Identity;
    readonly transport: Transport;
    readonly time: Time;
    readonly telemetry: Telemetry;
  },
  options: RingSearchOptions,
): RingKeeper {
  const { identity, transport, telemetry } = parts;
  const search = createRingSearch({ ...parts, hadRing: () => identity.hadRing(), actor: identity.actor }, options);
  let ring: Ring | undefined;
  let listeners: readonly ((ring: Ring) => void)[] = [];
  /** The rings so far, the newest last. */
  let rings: readonly Ring[] = [];
  let adopting: Promise<void> = Promise.resolve();
  const asking = new Map<MemberId, Promise<void>>();
  /** Of the ring in force: counted when it is asked for first. */
  let zones: ZoneFigures | undefined;
  const zonesNow = (): ZoneFigures => {
    zones ??= ring === undefined ? { homes: new Map(), crowded: 0 } : zoneFigures(ring.document);
    return zones;
  };
  telemetry.gauge("annulus.ring.epoch", () => ring?.epoch ?? 0);
  telemetry.gauge("annulus.ring.transition", () => (ring?.document.transition === undefined ? 0 : 1));
  telemetry.gauge("annulus.ring.homes", () => zonesNow().homes);
  telemetry.gauge("annulus.ring.partitions_crowded", () => zonesNow().crowded);

  function enter(document: RingDocument, origin: string): void {
    ring = createRing(document);
    zones = undefined;
    rings = [...rings, ring].slice(-RINGS_KEPT);
    const peers = document.members.filter(({ state }) => state !== "left");
    transport.setPeers(peers.map(({ name, address }) => ({ name, address })));
    const { epoch, transition } = document;
    const digest = digestOf(document);
    telemetry.log("info", "ring.adopted", { epoch, digest, members: peers.length, phase: transition?.phase, origin });
    for (const listener of listeners) listener(ring);
  }

  const listed = (document: RingDocument) => document.members.find(({ name }) => name === options.member)?.actor;

  /** Whether the ring in force lists this directory. One of before members were known by their directories lists the first. */
  const wasListed = (): boolean => isListed(ring?.member(options.member), identity);

  function isAnother(document: RingDocument): boolean {
    const actor = listed(document);
    return actor !== undefined && actor !== identity.actor;
  }

  function adopt({ document, origin, isRebuilding }: FoundRing): Promise<void> {
    const adopted = adopting.then(async () => {
      if (ring !== undefined && document.epoch <= ring.epoch) return;
      const isSuperseded = wasListed() && isAnother(document);
      await identity.saveRing(serializeRing(document), { isRebuilding, isSuperseded });
      if (isSuperseded)
        telemetry.log("error", "directory.superseded", { actor: identity.actor, epoch: document.epoch });
      enter(document, origin);
    });
    // Whoever asked is told of a disk that fails; the next document is tried all the same.
    adopting = adopted.then(toldAlready, toldAlready);
    return adopted;
  }

  async function askForRing(member: MemberId, address: string | undefined): Promise<void> {
    try {
      // Not over the link if it can be: a handler waits for this, and the answer could stand behind what that has still
      // to answer.
      const request = { kind: "ring" } as const;
      const reply =
        address === undefined
          ? await transport.request(member, request, ASK_TIMEOUT_MS)
          : await transport.ask(address, request, ASK_TIMEOUT_MS);
      if (reply.kind !== "ring" || reply.document === undefined) return;
      await adopt({ document: parseRing(reply.document), origin: member, isRebuilding: false });
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "ring.not_told", { member, reason: error.message });
    }
  }

  return {
    current: () => ring,

    required() {
      if (ring === undefined) {
        throw new KvError("NOT_READY", "Cannot serve: this node has no ring yet. Try another node, or wait.", {
          details: { retryAfterS: 1 },
        });
      }
      return ring;
    },

    hadRing: () => identity.hadRing(),
    hasListed: (name, actor) => rings.some((one) => one.member(name)?.actor === actor),
    ringOf: (epoch) => rings.find((one) => one.epoch === epoch),
    adopt: (document, origin) => adopt({ document, origin, isRebuilding: false }),

    async catchUp(member, epoch) {
      if (ring === undefined || ring.epoch >= epoch) return ring;
      const address = ring.member(member)?.address;
      let asked = asking.get(member);
      if (asked === undefined) {
        asked = askForRing(member, address).finally(() => asking.delete(member));
        asking.set(member, asked);
      }
      // Of one that joins by a ring that this node does not have yet, only the link is known; that may not be waited for.
      if (address !== undefined) await asked;
      return ring;
    },

    async open() {
      const stored = await identity.loadRing();
      if (stored !== undefined) {
        const document = parseRing(stored);
        for (const { isExpected, ...ignored } of ignoredSettings(document, options.firstRing)) {
          telemetry.log(isExpected ? "info" : "warn", "ring.setting_ignored", ignored);
        }
        return enter(document, "disk");
      }
      const { firstRing, seeds } = options;
      if (firstRing?.members.length === 1 && seeds.length === 0 && !identity.hadRing()) {
        return adopt({ document: firstRing, origin: "first members", isRebuilding: false });
      }
      search.begin(adopt);
    },

    onAdopted(listener) {
      listeners = [...listeners, listener];
      if (ring !== undefined) listener(ring);
    },

    close: () => search.end(),
  };
}

/** For errors that the one who asked was told. */
function toldAlready(): void {}

/** A few digits by which people see whether two nodes go by the same document. */
function digestOf(document: RingDocument): string {
  return keyHash(Buffer.from(serializeRing(document)))
    .toString(16)
    .padStart(16, "0");
}
