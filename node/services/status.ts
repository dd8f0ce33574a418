/**
 * What a node says of itself and of the cluster on its admin port. Everything is answered from memory.
 */
import type { Health } from "../core/membership/view.ts";
import { type ClientRing, clientRing } from "../core/ring/client-ring.ts";
import type { MemberId, MemberState, PastChange, Phase, RingMember } from "../core/ring/document.ts";
import { type RingView, ringView } from "../core/ring/document.ts";
import { keyHash } from "../core/ring/hash.ts";
import type { Ring } from "../core/ring/ring.ts";
import type { Time, Transport } from "../ports.ts";
import type { RepairProgress } from "./anti-entropy.ts";
import type { Completeness } from "./completeness.ts";
import type { Membership } from "./gossiper.ts";
import type { WaitingHints } from "./hint-accounts.ts";
import type { HintLedger } from "./hint-ledger.ts";
import type { Identity } from "./identity.ts";
import type { RingKeeper } from "./ring-keeper.ts";

export type MemberStatus = {
  readonly name: MemberId;
  /** Id of its data directory, 32 hex digits; undefined until it has been heard of. */
  readonly actor: string | undefined;
  readonly address: string;
  readonly zone: string;
  readonly weight: number;
  readonly state: MemberState;
  readonly health: Health;
  /** How worrying its silence is, rounded to tenths; 0 for this node itself. */
  readonly phi: number;
};

export type ClusterStatus = {
  readonly id: string;
  /** This node's name. */
  readonly node: MemberId;
  /** 0 before there is a ring. */
  readonly ringEpoch: number;
  readonly members: readonly MemberStatus[];
  /** Hints that this node keeps for others. */
  readonly hints: {
    /** Whether all on the disk are counted: soon after a start. Until then the figures are too low. */
    readonly complete: boolean;
    readonly waiting: readonly WaitingHints[];
  };
  /** The change of the ring under way, as this node's document has it. */
  readonly transition: { readonly id: string; readonly phase: Phase; readonly startedAtMs: number } | null;
  readonly repair: RepairProgress;
};

/** Where a key lives. */
export type KeyPlace = {
  readonly epoch: number;
  readonly partition: number;
  /** The key's hash, 16 hex digits. */
  readonly token: string;
  /** Home replicas in order. */
  readonly homes: readonly { readonly name: MemberId; readonly zone: string; readonly address: string }[];
};

export type Readiness = { readonly ready: true } | { readonly ready: false; readonly reason: string };

export type Status = {
  readiness(): Readiness;
  cluster(): ClusterStatus;
  /** Throws NOT_READY before there is a ring. */
  ring(): RingView;
  /** What clients may know of the ring. Throws NOT_READY before there is one. */
  clientRing(): ClientRing;
  /** The last changes of the ring, the newest last. */
  past(): readonly PastChange[];
  /** Throws NOT_READY before there is a ring. */
  locate(key: Uint8Array): KeyPlace;
  /** The node is shutting down: it is not ready any more. */
  drain(): void;
};

/** How long after its start a node waits for the connections to its peers before it calls itself ready. */
const LINK_PATIENCE_MS = 3_000;

/** @param options `clusterId` and `member` as configured. */
export function createStatus(
  parts: {
    readonly rings: RingKeeper;
    readonly completeness: Completeness;
    readonly membership: Membership;
    readonly transport: Transport;
    readonly identity: Identity;
    readonly repair: { progress(): RepairProgress };
    readonly hints: HintLedger;
    readonly time: Time;
  },
  options: { readonly clusterId: string; readonly member: MemberId },
): Status {
  const { rings, completeness, membership, transport, identity, hints, repair, time } = parts;
  const startedMs = time.monotonicMs();
  let draining = false;
  let everReady = false;

  function describe(member: RingMember): MemberStatus {
    const { name, address, zone, weight } = member;
    // Of itself a node knows more than the ring says.
    const isRebuilding = name === options.member && completeness.isRebuilding();
    const state = isRebuilding ? "rebuilding" : member.state;
    const actor = name === options.member ? identity.actor : transport.identityOf(name)?.actor;
    const phi = Math.round(membership.phi(name) * 10) / 10;
    return { name, actor, address, zone, weight, state, health: membership.health(name), phi };
  }

  /** A node that answers before its links stand would refuse writes that a moment later it could take. */
  function linksStand(ring: Ring): boolean {
    everReady ||=
      time.monotonicMs() - startedMs >= LINK_PATIENCE_MS ||
      ring.document.members.every(({ name }) => membership.isUp(name));
    return everReady;
  }

  return {
    readiness() {
      const ring = rings.current();
      const own = ring?.member(options.member);
      if (own?.state === "left") return { ready: false, reason: "this member has left the ring" };
      if (own?.isDestroyed === true) return { ready: false, reason: "this member's disk was declared destroyed" };
      if (identity.isSuperseded()) return { ready: false, reason: "another data directory took the place of this one" };
      if (draining) return { ready: false, reason: "the node is shutting down" };
      if (ring === undefined) return { ready: false, reason: "the node has no ring yet" };
      if (!linksStand(ring)) return { ready: false, reason: "the node is connecting to its peers" };
      return { ready: true };
    },
    cluster() {
      const ring = rings.current();
      const members = ring === undefined ? [] : ring.document.members.map(describe);
      return {
        id: options.clusterId,
        node: options.member,
        ringEpoch: ring?.epoch ?? 0,
        members,
        hints: { complete: hints.isComplete(), waiting: hints.waiting() },
        transition: transitionOf(ring),
        repair: repair.progress(),
      };
    },
    ring: () => ringView(rings.required().document),
    clientRing: () => clientRing(options.clusterId, rings.required()),
    past: () => rings.current()?.document.past ?? [],
    locate(key) {
      const ring = rings.required();
      const partition = ring.partitionOf(key);
      return {
        epoch: ring.epoch,
        partition,
        token: keyHash(key).toString(16).padStart(16, "0"),
        homes: ring.homes(partition).map(({ name, zone, address }) => ({ name, zone, address })),
      };
    },
    drain() {
      draining = true;
    },
  };
}

function transitionOf(ring: Ring | undefined): ClusterStatus["transition"] {
  const transition = ring?.document.transition;
  if (transition === undefined) return null;
  const { id, phase, startedAtMs } = transition;
  return { id, phase, startedAtMs };
}
