/**
 * Keeps the ring document that this node goes by.
 *
 * On start it is the one on disk; without one, the first ring of the configuration; and a node that is not among the
 * first members asks its seeds until one of them knows a ring. What is adopted is on disk before it is used. The
 * keeper decides nothing about the ring: it holds the newest that it was given.
 */

import { KvError } from "../core/errors.ts";
import { parseRing, type RingDocument, type RingMember, serializeRing } from "../core/ring/document.ts";
import { createRing, type Ring } from "../core/ring/ring.ts";
import type { Telemetry, Time, Timer, Transport } from "../ports.ts";
import type { Identity } from "./identity.ts";

export type RingKeeper = {
  /** The ring in force, or undefined before there is one. */
  current(): Ring | undefined;
  /** The ring in force. Throws NOT_READY before there is one. */
  required(): Ring;
  /** Reads the ring from disk, makes the first one, or begins to ask the seeds. */
  open(): Promise<void>;
  /** Stops asking. */
  close(): void;
};

export type RingKeeperOptions = {
  /** What this node's settings make of the first ring; undefined when it is not among the first members. */
  readonly firstRing: RingDocument | undefined;
  /** `host:port` of peers to ask for the ring. */
  readonly seeds: readonly string[];
};

const ASK_TIMEOUT_MS = 1_000;
const ASK_AGAIN_MS = 500;

/** @param parts `identity` stores the document; `transport` is told who the peers are. */
export function createRingKeeper(
  parts: {
    readonly identity: Identity;
    readonly transport: Transport;
    readonly time: Time;
    readonly telemetry: Telemetry;
  },
  options: RingKeeperOptions,
): RingKeeper {
  const { identity, transport, time, telemetry } = parts;
  let ring: Ring | undefined;
  let timer: Timer | undefined;
  let closed = false;

  async function adopt(document: RingDocument, origin: string, persist: boolean): Promise<void> {
    if (ring !== undefined && ring.document.epoch >= document.epoch) return;
    if (persist) await identity.saveRing(serializeRing(document));
    ring = createRing(document);
    transport.setPeers(document.members.map(({ name, address }) => ({ name, address })));
    telemetry.log("info", "ring.adopted", { epoch: document.epoch, members: document.members.length, origin });
  }

  /** Asks one seed after the other, round after round. */
  async function askSeeds(round: number): Promise<void> {
    const address = options.seeds[round % options.seeds.length];
    if (address === undefined || closed) return;
    try {
      const reply = await transport.ask(address, { kind: "ring" }, ASK_TIMEOUT_MS);
      if (reply.kind === "ring" && reply.document !== undefined) {
        return await adopt(parseRing(reply.document), `seed ${address}`, true);
      }
      telemetry.log("info", "ring.seed_has_none", { address });
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("warn", "ring.seed_unreachable", { address, reason: error.message });
    }
    if (!closed) timer = time.after(ASK_AGAIN_MS, () => void askSeeds(round + 1));
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

    async open() {
      const stored = await identity.loadRing();
      if (stored !== undefined) {
        const document = parseRing(stored);
        if (options.firstRing !== undefined) reportDifferences(document, options.firstRing, telemetry);
        return adopt(document, "disk", false);
      }
      if (options.firstRing !== undefined) return adopt(options.firstRing, "first members", true);
      void askSeeds(0);
    },

    close() {
      closed = true;
      timer?.cancel();
    },
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
