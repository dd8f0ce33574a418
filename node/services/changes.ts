/**
 * Changes of the ring as people and the operator ask for them: planned, proposed, taken back, reported on.
 *
 * Any member may be asked. It makes the document that would begin the change and has the members choose it; who drives it
 * from there on is the driver's affair. Of two that are asked for at once the members choose one, and the other is
 * refused by its name.
 */
import { KvError } from "../core/errors.ts";
import { beginChange, type ChangeRequest } from "../core/ring/change.ts";
import type { MemberId, RingDocument, RingMember, Transition } from "../core/ring/document.ts";
import { movement } from "../core/ring/movement.ts";
import { cancelledDocument, declaredDocument, waitsFor } from "../core/ring/transition.ts";
import type { ProgressReply } from "../messages.ts";
import type { Random, Telemetry, Time, Transport } from "../ports.ts";
import type { Agreement } from "./agreement.ts";
import type { Driver } from "./driver.ts";
import type { PartitionSizes } from "./partition-sizes.ts";
import type { Progress } from "./progress.ts";
import type { RingKeeper } from "./ring-keeper.ts";

/** A change that was begun, or would be: with the bytes that a replica of each partition holds. */
export type BegunChange = {
  readonly before: RingDocument;
  readonly after: RingDocument;
  readonly partitionSizesBytes: readonly number[];
};

export type ChangeState = {
  readonly id: string;
  readonly state: "prepare" | "switch" | "cleaning" | "done" | "cancelled";
  readonly document: RingDocument;
  readonly members: ReadonlyMap<MemberId, ProgressReply>;
  /** What it waits for, in words. */
  readonly waitsFor: string | undefined;
};

export type Changes = {
  /**
   * Begins a change, or with `dryRun` only plans it. While another one runs it is refused; but members that go by it with
   * `force` and cannot be reached are declared destroyed at once, so that the one that runs need not wait for them.
   *
   * @throws {KvError} INVALID_REQUEST; CHANGE_REFUSED; QUORUM_UNAVAILABLE and TIMED_OUT when the members cannot agree now;
   *   NOT_READY before there is a ring.
   */
  begin(request: ChangeRequest, options: { readonly dryRun: boolean }): Promise<BegunChange>;
  /** Takes a change back. Throws NOT_FOUND; CHANGE_REFUSED once it has switched; and as `begin`. */
  cancel(id: string): Promise<void>;
  /** Throws NOT_FOUND for a change that is not remembered. */
  state(id: string): Promise<ChangeState>;
};

const ASK_TIMEOUT_MS = 1_000;
const SIZES_TIMEOUT_MS = 10_000;
const ID_BYTES = 8;
const NOBODY: ReadonlySet<MemberId> = new Set();
/** Of one change: the ring may change between planning and choosing. */
const TRIES_MAX = 3;

/** @param parts `driver` is told to hurry once a change has begun. */
export function createChanges(parts: {
  readonly self: MemberId;
  readonly rings: RingKeeper;
  readonly agreement: Agreement;
  readonly driver: Driver;
  readonly progress: Progress;
  readonly sizes: PartitionSizes;
  readonly transport: Transport;
  readonly isUp: (member: MemberId) => boolean;
  /** The data directory that a member was first met with. */
  readonly metActorOf: (member: MemberId) => string | undefined;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
}): Changes {
  const { self, rings, agreement, driver, progress, sizes, transport, isUp, metActorOf, time, random, telemetry } =
    parts;

  /** Looks for those who join at the addresses that were given: their data directories, if they answer. */
  async function findJoining(join: ChangeRequest["join"]): Promise<ReadonlyMap<MemberId, string>> {
    const found = await Promise.all(
      join.map(async ({ name, address }) => {
        try {
          const reply = await transport.ask(address, { kind: "ring" }, ASK_TIMEOUT_MS);
          return reply.kind === "ring" ? [[name, reply.actor] as const] : [];
        } catch (error) {
          if (!(error instanceof KvError)) throw error;
          telemetry.log("info", "change.not_reached", { name, address, reason: error.message });
          return [];
        }
      }),
    );
    return new Map(found.flat());
  }

  async function sizesOf(member: MemberId, partitions: readonly number[]): Promise<readonly number[]> {
    if (member === self) return sizes.ofAll(partitions);
    try {
      const reply = await transport.request(member, { kind: "sizes", partitions }, SIZES_TIMEOUT_MS);
      return reply.kind === "sizes" ? reply.bytes : [];
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      telemetry.log("debug", "change.no_sizes", { member, reason: error.message });
      return [];
    }
  }

  /** What one replica of each partition that moves holds, asked of a home that is up. */
  async function estimate(before: RingDocument, after: RingDocument): Promise<readonly number[]> {
    const bytes = new Array<number>(before.partitions).fill(0);
    const asked = new Map<MemberId, number[]>();
    const moved = new Set(
      movement({ from: before, to: { members: after.members, homes: after.transition?.homes ?? after.homes } }).map(
        ({ partition }) => partition,
      ),
    );
    for (const partition of moved) {
      const homes = before.homes[partition]?.map((home) => before.members[home]?.name ?? "") ?? [];
      const member = homes.find((name) => isUp(name));
      if (member !== undefined) asked.set(member, [...(asked.get(member) ?? []), partition]);
    }
    const answers = [...asked].map(async ([member, partitions]) => {
      const found = await sizesOf(member, partitions);
      for (const [index, partition] of partitions.entries()) bytes[partition] = found[index] ?? 0;
    });
    await Promise.all(answers);
    return bytes;
  }

  /**
   * As `Agreement.propose`; a proposal of unknown outcome that turns out to be chosen has won, and one for an epoch that
   * came meanwhile has lost.
   *
   * @param isChosen Whether a document can only be if this one was chosen.
   */
  async function propose(after: RingDocument, isChosen: (now: RingDocument) => boolean): Promise<boolean> {
    try {
      return await agreement.propose(after);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      if (error.code === "STALE_RING") return false;
      if (error.outcome === "unknown" && isChosen(rings.required().document)) return true;
      throw error;
    }
  }

  /** Whose disks were lost and are not filled again yet, of those who answer. */
  async function rebuilding(document: RingDocument): Promise<ReadonlySet<MemberId>> {
    const facts = await progress.of(document);
    return new Set([...facts].flatMap(([name, { isRebuilding }]) => (isRebuilding === true ? [name] : [])));
  }

  /** Who is given up although a change runs, so that it need not wait for them. */
  async function declareDestroyed(document: RingDocument, { leave, replace, force }: ChangeRequest): Promise<void> {
    if (document.transition === undefined || !force) return;
    const silent = document.members.filter(
      ({ name, isDestroyed }) => isDestroyed !== true && [...leave, ...replace].includes(name) && !isUp(name),
    );
    if (silent.length === 0) return;
    const names = new Set(silent.map(({ name }) => name));
    const isDeclared = ({ name, isDestroyed }: RingMember) => isDestroyed === true || !names.has(name);
    const after = declaredDocument(document, names, { rebuilding: await rebuilding(document), metActorOf });
    await propose(after, ({ members }) => members.every(isDeclared));
    driver.hurry();
  }

  /** Gives undefined when the members chose another document meanwhile. */
  async function tryToBegin(
    request: ChangeRequest,
    { dryRun }: { readonly dryRun: boolean },
  ): Promise<BegunChange | undefined> {
    if (!dryRun) await declareDestroyed(rings.required().document, request);
    const joining = await findJoining(request.join);
    const before = rings.required().document;
    const isGivingUp = [...request.leave, ...request.replace].some((name) => !isUp(name));
    const lost = isGivingUp ? await rebuilding(before) : NOBODY;
    const after = beginChange(before, request, {
      id: Buffer.from(random.bytes(ID_BYTES)).toString("hex"),
      nowMs: time.wallMs(),
      isReachable: (name) => joining.has(name) || isUp(name),
      actorOf: (name) => joining.get(name) ?? transport.identityOf(name)?.actor,
      metActorOf,
      isRebuilding: (name) => lost.has(name),
    });
    const partitionSizesBytes = await estimate(before, after);
    const { id } = after.transition as Transition;
    const isBegun = ({ transition, past }: RingDocument) =>
      transition?.id === id || past?.some((change) => change.id === id) === true;
    if (!dryRun && !(await propose(after, isBegun))) return undefined;
    if (!dryRun) driver.hurry();
    return { before, after, partitionSizesBytes };
  }

  return {
    async begin(request, options) {
      // Where another change won, the next try is refused by its name; what only lists a directory is no reason to refuse.
      for (let tries = 0; tries < TRIES_MAX; tries++) {
        const begun = await tryToBegin(request, options);
        if (begun !== undefined) return begun;
      }
      throw new KvError("CHANGE_REFUSED", "Cannot change the ring: it was changed meanwhile. Ask again.");
    },
    async cancel(id) {
      const { document } = rings.required();
      const { transition, past } = document;
      if (transition?.id === id) {
        if (transition.phase !== "prepare") {
          throw new KvError(
            "CHANGE_REFUSED",
            `Cannot cancel the change ${id}: it has switched. Ask for its opposite after it ended.`,
          );
        }
        const isCancelled = (now: RingDocument) =>
          now.past?.find((change) => change.id === id)?.outcome === "cancelled";
        if (await propose(cancelledDocument(document), isCancelled)) return;
        throw new KvError("CHANGE_REFUSED", `Cannot cancel the change ${id}: it went on meanwhile. Ask again.`);
      }
      const ended = past?.find((change) => change.id === id);
      if (ended?.outcome === "cancelled") return;
      if (ended !== undefined) throw new KvError("CHANGE_REFUSED", `Cannot cancel the change ${id}: it has ended.`);
      throw unknown(id);
    },
    async state(id) {
      const { document } = rings.required();
      const { transition, past, members } = document;
      const ended = past?.find((change) => change.id === id);
      if (transition?.id !== id && ended === undefined) throw unknown(id);
      const facts = await progress.of(document);
      if (transition?.id === id) {
        const waits = waitsFor(document, (name) => facts.get(name));
        return { id, state: transition.phase, document, members: facts, waitsFor: waits };
      }
      const cleaning = members.filter(({ state, name }) => state !== "left" && facts.get(name)?.isEmptied !== true);
      const isLast = past?.at(-1)?.id === id;
      const isCleaning = transition === undefined && isLast && cleaning.some(({ state }) => state === "leaving");
      return {
        id,
        state: isCleaning ? "cleaning" : (ended?.outcome ?? "done"),
        document,
        members: facts,
        waitsFor: isCleaning ? `${cleaning.map(({ name }) => name).join(", ")} to give up what was moved` : undefined,
      };
    },
  };
}

function unknown(id: string): KvError {
  return new KvError("NOT_FOUND", `Cannot find the change ${id}: none of the last ones had this id.`);
}
