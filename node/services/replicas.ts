/**
 * Reaches any replica of the cluster, this node's own or another's, by the same calls: home replicas, and stand-ins
 * where a request says that it is about a hint.
 *
 * It is where messages are made and replies are read, so that a coordinator neither knows which replica is its own
 * nor what the wire looks like.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import type {
  MergeRequest,
  ReadRequest,
  RepairReply,
  RepairRequest,
  Reply,
  ScannedReply,
  ScanRequest,
  StampRequest,
} from "../messages.ts";
import type { Time, Transport } from "../ports.ts";
import type { Completeness } from "./completeness.ts";
import { guardReplica } from "./guarded-replica.ts";
import type { Hints } from "./hints.ts";
import type { Replica, StampResult } from "./replica.ts";

export type Replicas = {
  /** Name of this node. */
  readonly self: MemberId;
  /** Has `member` stamp a write; see `Replica.stamp`, and `Transport.request` for errors on the way. */
  stamp(member: MemberId, partition: number, request: StampRequest, timeoutMs: number): Promise<StampResult>;
  /** Has `member` join a record; resolves once it is durable there. */
  merge(member: MemberId, partition: number, request: MergeRequest, timeoutMs: number): Promise<void>;
  /** Asks `member` for its durable record of a key, encoded. */
  read(member: MemberId, partition: number, request: ReadRequest, timeoutMs: number): Promise<Uint8Array | undefined>;
  /** Asks `member` for a page of its own records of a partition. */
  scan(member: MemberId, request: ScanRequest, timeoutMs: number): Promise<ScannedReply>;
  /** Asks another member about its Merkle trees. */
  compare<Kind extends RepairRequest["kind"]>(
    member: MemberId,
    request: Extract<RepairRequest, { kind: Kind }>,
    timeoutMs: number,
  ): Promise<Extract<RepairReply, { kind: Kind }>>;
};

/**
 * What a member keeps, told apart by what the request says: its own records, or hints.
 *
 * @param own Where this node's records and hints are.
 */
export function createOwnReplica({
  replica,
  hints,
  completeness,
}: {
  readonly replica: Replica;
  readonly hints: Hints;
  readonly completeness: Completeness;
}) {
  const guarded = guardReplica(replica, completeness);
  return {
    stamp: (partition: number, request: StampRequest, deadlineMs: number) =>
      request.hintFor === undefined
        ? guarded.stamp(partition, request, deadlineMs)
        : hints.stamp(partition, request.hintFor, request, deadlineMs),
    merge(partition: number, { key, record, hint }: MergeRequest): Promise<void> {
      if (hint === undefined) return replica.merge(partition, key, record);
      return hints.store({ partition, target: hint.target, key }, record, hint.counts);
    },
    read(partition: number, { key, asStandIn, forRepair }: ReadRequest) {
      if (asStandIn === true) return hints.read(partition, key);
      return forRepair === true ? replica.read(partition, key) : guarded.read(partition, key);
    },
    scan: (request: ScanRequest) => guarded.scan(request),
  };
}

export type OwnReplica = ReturnType<typeof createOwnReplica>;

/** @param self This node's name; what it keeps itself is reached without the transport. */
export function createReplicas(self: MemberId, own: OwnReplica, transport: Transport, time: Time): Replicas {
  return {
    self,
    async stamp(member, partition, request, timeoutMs) {
      if (member === self) return own.stamp(partition, request, time.monotonicMs() + timeoutMs);
      const reply = await transport.request(member, request, timeoutMs);
      return reply.kind === "stamped" ? reply : unexpected(member, reply);
    },
    async merge(member, partition, request, timeoutMs) {
      if (member === self) return own.merge(partition, request);
      const reply = await transport.request(member, request, timeoutMs);
      if (reply.kind !== "merged") unexpected(member, reply);
    },
    async read(member, partition, request, timeoutMs) {
      if (member === self) return own.read(partition, request);
      const reply = await transport.request(member, request, timeoutMs);
      return reply.kind === "record" ? reply.record : unexpected(member, reply);
    },
    async scan(member, request, timeoutMs) {
      if (member === self) return own.scan(request);
      const reply = await transport.request(member, request, timeoutMs);
      return reply.kind === "scanned" ? reply : unexpected(member, reply);
    },
    async compare<Kind extends RepairRequest["kind"]>(
      member: MemberId,
      request: Extract<RepairRequest, { kind: Kind }>,
      timeoutMs: number,
    ) {
      const reply = await transport.request(member, request, timeoutMs);
      if (reply.kind !== request.kind) unexpected(member, reply);
      return reply as Extract<RepairReply, { kind: Kind }>;
    },
  };
}

/** A peer that answers another question than the one asked is told apart from one that is away, but treated alike. */
function unexpected(member: MemberId, reply: Reply): never {
  if (reply.kind === "failure") throw new KvError(reply.code, reply.message, { outcome: reply.outcome });
  throw new KvError(
    "PEER_UNREACHABLE",
    `Cannot use the reply of ${member}: it is a ${reply.kind}, which nobody asked for.`,
    {
      outcome: "unknown",
    },
  );
}
