/**
 * Keeps the ring document that this node goes by.
 *
 * On start it is the one on disk; a node without one looks for it (ring-search.ts). What is adopted is on disk before
 * it is used. A directory under whose name the peers knew another one lacks what that had acknowledged: this is marked on
 * the disk together with the ring (completeness.ts). The keeper decides nothing about the ring: it holds the newest that
 * it was given.
 */

import { KvError } from "../core/errors.ts";
import { parseRing, type RingDocument, type RingMember, serializeRing } from "../core/ring/document.ts";
import { createRing, type Ring } from "../core/ring/ring.ts";
import type { Telemetry, Time, Transport } from "../ports.ts";
import type { Identity } from "./identity.ts";
import { createRingSearch, type FoundRing, type RingSearchOptions } from "./ring-search.ts";

export type RingKeeper = {
  /** The ring in force, or undefined before there is one. */
  current(): Ring | undefined;
  /** The ring in force. Throws NOT_READY before there is one. */
  required(): Ring;
  /** Whether this directory ever held a ring. */
  hadRing(): boolean;
  /** Reads the ring from disk, or begins to look for it. */
  open(): Promise<void>;
  /** Calls `listener` with every ring that comes into force, and at once with the present one if there is one. */
  onAdopted(listener: (ring: Ring) => void): void;
  /** Stops looking. */
  close(): void;
};

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
  const search = createRingSearch({ ...parts, hadRing: () => identity.hadRing() }, options);
  let ring: Ring | undefined;
  let listeners: readonly ((ring: Ring) => void)[] = [];

  function enter(document: RingDocument, origin: string): void {
    ring = createRing(document);
    transport.setPeers(document.members.map(({ name, address }) => ({ name, address })));
    telemetry.log("info", "ring.adopted", { epoch: document.epoch, members: document.members.length, origin });
    for (const listener of listeners) listener(ring);
  }

  async function adopt({ document, origin, isRebuilding }: FoundRing): Promise<void> {
    await identity.saveRing(serializeRing(document), { isRebuilding });
    enter(document, origin);
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

    async open() {
      const stored = await identity.loadRing();
      if (stored !== undefined) {
        const document = parseRing(stored);
        if (options.firstRing !== undefined) reportDifferences(document, options.firstRing, telemetry);
        return enter(document, "disk");
      }
      const { firstRing } = options;
      if (firstRing?.members.length === 1 && !identity.hadRing()) {
        return adopt({ document: firstRing, origin: "first members", isRebuilding: false });
      }
      search.begin((found) => void adopt(found));
    },

    onAdopted(listener) {
      listeners = [...listeners, listener];
      if (ring !== undefined) listener(ring);
    },

    close: () => search.end(),
  };
}

/** Settings that made the first ring and differ from it now are not used: the ring document's hold. */
function reportDifferences(document: RingDocument, configured: RingDocument, telemetry: Telemetry): void {
  for (const name of ["partitions", "replicationFactor", "readQuorum", "writeQuorum", "mode"] as const) {
    if (document[name] === configured[name]) continue;
    telemetry.log("warn", "ring.setting_ignored", { name, ring: document[name], setting: configured[name] });
  }
  const describe = (member: RingMember) => `${member.name}=${member.address}@${member.zone}*${member.weight}`;
  const [held, wanted] = [document, configured].map((ring) => ring.members.map(describe).join(","));
  if (held !== wanted) telemetry.log("warn", "ring.setting_ignored", { name: "members", ring: held, setting: wanted });
}
