/**
 * How far this node is with what the ring asks of it, and how far the others say that they are: what a change of the
 * ring waits for, and what people are shown of it.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId, RingDocument } from "../core/ring/document.ts";
import type { ProgressReply } from "../messages.ts";
import type { Telemetry, Transport } from "../ports.ts";
import type { Admission } from "./admission.ts";
import type { Completeness } from "./completeness.ts";
import type { Identity } from "./identity.ts";
import type { Leftovers } from "./leftovers.ts";
import type { Transfer } from "./transfer.ts";

export type Progress = {
  /** This node's own. */
  own(): ProgressReply;
  /** That of each member of a ring which has not left it and answers in time. */
  of(document: RingDocument): Promise<ReadonlyMap<MemberId, ProgressReply>>;
};

const TIMEOUT_MS = 1_000;

/** @param self This node's name. */
export function createProgress(
  self: MemberId,
  parts: {
    readonly identity: Identity;
    readonly admission: Admission;
    readonly completeness: Completeness;
    readonly transfer: Transfer;
    readonly leftovers: Leftovers;
    readonly transport: Transport;
    readonly telemetry: Telemetry;
  },
): Progress {
  const { identity, admission, completeness, transfer, leftovers, transport, telemetry } = parts;

  function own(): ProgressReply {
    const epoch = admission.adoptedEpoch();
    return {
      kind: "progress",
      actor: identity.actor,
      epoch,
      completeFor: completeness.completeFor(),
      isEmptied: leftovers.isEmptied(epoch),
      ...transfer.figures(),
      ...(completeness.isRebuilding() ? { isRebuilding: true as const } : {}),
    };
  }

  async function ask(member: MemberId): Promise<ProgressReply | undefined> {
    if (member === self) return own();
    try {
      const reply = await transport.request(member, { kind: "progress" }, TIMEOUT_MS);
      return reply.kind === "progress" ? reply : undefined;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "progress.not_told", { member, reason: error.message });
      return undefined;
    }
  }

  return {
    own,
    async of(document) {
      const members = document.members.filter(({ state }) => state !== "left").map(({ name }) => name);
      const replies = await Promise.all(members.map(ask));
      return new Map(
        members.flatMap((name, index) => {
          const reply = replies[index];
          return reply === undefined ? [] : [[name, reply] as const];
        }),
      );
    },
  };
}
