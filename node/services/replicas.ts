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
import type { Telemetry, Time, Transport } from "../ports.ts";
import type { Admission } from "./admission.ts";
import type { Completeness } from "./completeness.ts";
import type { Doubts } from "./doubts.ts";
import { guardReplica } from "./guarded-replica.ts";
import type { Hints } from "./hints.ts";
import type { MergeOutcome, Replica, StampResult } from "./replica.ts";

export type Replicas = {
  /** Name of this node. */
  readonly self: MemberId;
  /** Has `member` stamp a write; see `Replica.stamp`, and `Transport.request` for errors on the way. */
  stamp(member: MemberId, partition: number, request: StampRequest, timeoutMs: number): Promise<StampResult>;
  /** Has `member` join a record; resolves once it is durable there, or known to be forgotten. */
  merge(member: MemberId, partition: number, request: MergeRequest, timeoutMs: number): Promise<MergeOutcome>;
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
 * What a member keeps, told apart by what the request says: its own records, or hints. Every request passes the
 * admission, whether it came from a peer or from this node's own coordinator.
 *
 * @param own Where this node's records and hints are, and who is let in.
 */
export function createOwnReplica({
  replica,
  hints,
  completeness,
  doubts,
  admission,
}: {
  readonly replica: Replica;
  readonly hints: Hints;
  readonly completeness: Completeness;
  readonly doubts: Doubts;
  readonly admission: Admission;
}) {
  const guarded = guardReplica(replica, { completeness, doubts });
  return {
    async stamp(partition: number, request: StampRequest, deadlineMs: number): Promise<StampResult> {
      const { epoch, hintFor } = request;
      const ticket =
        hintFor === undefined ? admission.write(epoch, partition) : admission.hint(epoch, partition, hintFor, true);
      try {
        return hintFor === undefined
          ? await guarded.stamp(partition, request, deadlineMs)
          : await hints.stamp(partition, hintFor, request, deadlineMs);
      } finally {
        ticket.end();
      }
    },
    async merge(partition: number, { epoch, key, record, hint }: MergeRequest): Promise<MergeOutcome> {
      const ticket =
        hint === undefined
          ? admission.write(epoch, partition)
          : admission.hint(epoch, partition, hint.target, hint.counts);
      try {
        if (hint === undefined) return await replica.merge(partition, key, record);
        await hints.store({ partition, target: hint.target, key }, record, hint.counts);
        return "kept";
      } finally {
        ticket.end();
      }
    },
    async read(partition: number, { epoch, key, asStandIn, forRepair }: ReadRequest): Promise<Uint8Array | undefined> {
      if (asStandIn === true) {
        admission.standInRead(epoch, partition);
        return hints.read(partition, key);
      }
      if (forRepair === true) {
        admission.keep(partition);
        return replica.read(partition, key);
      }
      admission.read(epoch, partition);
      return guarded.read(partition, key);
    },
    async scan(request: ScanRequest): Promise<ScannedReply> {
      admission.read(request.epoch, request.partition);
      return guarded.scan(request);
    },
  };
}

export type OwnReplica = ReturnType<typeof createOwnReplica>;

/** @param self This node's name; what it keeps itself is reached without the transport. */
export function createReplicas(
  self: MemberId,
  own: OwnReplica,
  { transport, time, telemetry }: { readonly transport: Transport; readonly time: Time; readonly telemetry: Telemetry },
): Replicas {
  /** Asks another replica for a client's sake, and keeps how long that took. */
  async function ask(member: MemberId, request: StampRequest | MergeRequest | ReadRequest, timeoutMs: number) {
    const startedMs = time.monotonicMs();
    const names = LATENCY[request.kind];
    try {
      const reply = await transport.request(member, request, timeoutMs);
      telemetry.observe(names.answered, time.monotonicMs() - startedMs);
      return reply;
    } catch (error) {
      telemetry.observe(names.failed(error instanceof KvError ? error.code : "BUG"), time.monotonicMs() - startedMs);
      throw error;
    }
  }

  /** As asked, with a span of its own for the replica that is asked. */
  async function traced<R extends StampRequest | MergeRequest | ReadRequest, T>(
    member: MemberId,
    request: R,
    run: (request: R) => Promise<T>,
  ): Promise<T> {
    const { tracer } = telemetry;
    if (tracer === undefined || request.trace === undefined) return run(request);
    const span = tracer.begin("client", request.kind, request.trace, member);
    try {
      const result = await run({ ...request, trace: span.context });
      span.end();
      return result;
    } catch (error) {
      span.end({ "error.type": error instanceof KvError ? error.code : "BUG" });
      throw error;
    }
  }

  const plain: Pick<Replicas, "stamp" | "merge" | "read"> = {
    async stamp(member, partition, request, timeoutMs) {
      if (member === self) return own.stamp(partition, request, time.monotonicMs() + timeoutMs);
      const reply = await ask(member, request, timeoutMs);
      return reply.kind === "stamped" ? reply : unexpected(member, reply);
    },
    async merge(member, partition, request, timeoutMs) {
      if (member === self) return own.merge(partition, request);
      const reply = await ask(member, request, timeoutMs);
      if (reply.kind !== "merged") return unexpected(member, reply);
      return reply.isCovered ? "covered" : "kept";
    },
    async read(member, partition, request, timeoutMs) {
      if (member === self) return own.read(partition, request);
      const reply = await ask(member, request, timeoutMs);
      return reply.kind === "record" ? reply.record : unexpected(member, reply);
    },
  };

  return {
    self,
    stamp(member, partition, request, timeoutMs) {
      if (request.trace === undefined) return plain.stamp(member, partition, request, timeoutMs);
      return traced(member, request, (asked) => plain.stamp(member, partition, asked, timeoutMs));
    },
    merge(member, partition, request, timeoutMs) {
      if (request.trace === undefined) return plain.merge(member, partition, request, timeoutMs);
      return traced(member, request, (asked) => plain.merge(member, partition, asked, timeoutMs));
    },
    read(member, partition, request, timeoutMs) {
      if (request.trace === undefined) return plain.read(member, partition, request, timeoutMs);
      return traced(member, request, (asked) => plain.read(member, partition, asked, timeoutMs));
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

/** The names of the figures of each request, ready to be used. */
function latencyNames(operation: string) {
  const name = `db.client.operation.duration{db.operation.name=${operation}`;
  return { answered: `${name}}`, failed: (code: string) => `${name},error.type=${code.toLowerCase()}}` };
}

const LATENCY = { stamp: latencyNames("stamp"), merge: latencyNames("merge"), read: latencyNames("read") } as const;

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
