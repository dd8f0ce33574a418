/**
 * Remembers which data directory each member first came with.
 *
 * A member whose disk was lost comes back with an empty directory, which is another actor under the same name, and knows
 * nothing of its past. Its peers do: who asks for the ring is told whether another directory was known under its name.
 * The first one is remembered for good, from its first request or its first answer on; on the disk as soon as that takes it.
 */
import { KvError } from "../core/errors.ts";
import { metaKey } from "../core/keyspace.ts";
import type { MemberId } from "../core/ring/document.ts";
import { seal, unseal } from "../core/seal.ts";
import type { Engine, PeerIdentity, Telemetry, Time, Transport } from "../ports.ts";

export type KnownActors = {
  open(): Promise<void>;
  /** Takes note of a member that is linked. Constant time where there is nothing new. */
  note(peer: PeerIdentity): void;
  /** The directory that a member was first met with; undefined of one that never was. */
  metActorOf(name: MemberId): string | undefined;
  /** Whether the peer's name was first met with another data directory. */
  isAnother(peer: PeerIdentity): boolean;
};

const NAME = "actors";

/** How long a disk that did not store them is left alone. */
const PAUSE_MS = 1_000;

/** @param ports The node's store. */
export function createKnownActors(ports: {
  readonly engine: Engine;
  readonly time: Time;
  readonly telemetry: Telemetry;
}): KnownActors {
  const { engine, time, telemetry } = ports;
  const actors = new Map<MemberId, string>();
  let isStored = true;
  let isStoring = false;
  let notBeforeMs = Number.NEGATIVE_INFINITY;

  /** One after the other, each with all that is known. */
  async function store(): Promise<void> {
    isStoring = true;
    isStored = true;
    const value = seal(NAME, JSON.stringify([...actors]));
    try {
      await engine.batch([{ kind: "put", key: metaKey(NAME), value }], { sync: true });
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      isStored = false;
      notBeforeMs = time.monotonicMs() + PAUSE_MS;
      telemetry.log("warn", "actors.not_stored", { members: actors.size, cause: error });
    }
    isStoring = false;
    storeIfDue();
  }

  function storeIfDue(): void {
    // A broken invariant stops the node through the unhandled rejection.
    if (!isStored && !isStoring && time.monotonicMs() >= notBeforeMs) void store();
  }

  return {
    async open() {
      const sealed = await engine.get(metaKey(NAME));
      if (sealed === undefined) return;
      const text = unseal(NAME, sealed);
      if (text === undefined) telemetry.log("error", "actors.damaged");
      else for (const [name, actor] of JSON.parse(text) as [MemberId, string][]) actors.set(name, actor);
    },
    note({ name, actor }) {
      if (!actors.has(name)) {
        actors.set(name, actor);
        isStored = false;
      }
      storeIfDue();
    },
    metActorOf: (name) => actors.get(name),
    isAnother({ name, actor }) {
      const known = actors.get(name);
      return known !== undefined && known !== actor;
    },
  };
}

/**
 * The transport of a node that remembers whoever answers, before it goes by the answer: of what a directory acknowledged
 * its successor knows nothing, however soon that comes.
 */
export function rememberingWhoAnswers(transport: Transport, actors: Pick<KnownActors, "note">): Transport {
  return {
    start: (handler) => transport.start(handler),
    setPeers: (peers) => transport.setPeers(peers),
    async request(to, request, timeoutMs) {
      const reply = await transport.request(to, request, timeoutMs);
      const peer = transport.identityOf(to);
      if (peer !== undefined) actors.note(peer);
      return reply;
    },
    ask: (address, request, timeoutMs) => transport.ask(address, request, timeoutMs),
    isLinked: (to) => transport.isLinked(to),
    identityOf: (member) => transport.identityOf(member),
    stop: () => transport.stop(),
  };
}
