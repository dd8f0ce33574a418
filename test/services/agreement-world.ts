/**
 * Members that do nothing but agree on rings, in virtual time: the shipped agreement and identity on simulated disks,
 * over a network that delays, loses, doubles and cuts. Messages pass through their codec.
 */
import assert from "node:assert/strict";
import { KvError } from "../../node/core/errors.ts";
import { type MemberId, type RingDocument, serializeRing } from "../../node/core/ring/document.ts";
import { firstRing } from "../../node/core/ring/first-members.ts";
import { parseRing } from "../../node/core/ring/parse-document.ts";
import { createRing, type Ring } from "../../node/core/ring/ring.ts";
import type { AgreementRequest, Reply, Request } from "../../node/messages.ts";
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from "../../node/messages-codec.ts";
import type { Engine, Time } from "../../node/ports.ts";
import { type Agreement, createAgreement } from "../../node/services/agreement.ts";
import { type Identity, openIdentity } from "../../node/services/identity.ts";
import { createRecordedTelemetry } from "../contract/recorded-telemetry.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../sim/disk.ts";
import { createSeededRandom, type SeededRandom } from "../sim/random.ts";
import { drawMonotonicMs, type Process, Simulator } from "../sim/simulator.ts";

export type WorldMember = {
  readonly name: MemberId;
  readonly disk: SimulatedDisk;
  bootId: string;
  running: Running | undefined;
};

type Running = {
  readonly process: Process;
  readonly engine: Engine;
  readonly identity: Identity;
  readonly agreement: Agreement;
  readonly rings: { current(): Ring | undefined; adopt(document: RingDocument, origin: string): Promise<void> };
};

/** What came of a proposal. */
export type Outcome = {
  readonly by: MemberId;
  readonly document: string;
  /** Undefined while it is under way, and for good when its process died. */
  result: boolean | KvError | undefined;
};

type Travelling = { readonly from: MemberId; readonly to: MemberId; readonly message: Request | Reply };

export class AgreementWorld {
  readonly simulator = new Simulator();
  readonly random: SeededRandom;
  readonly members: readonly WorldMember[];
  readonly first: RingDocument;
  /** Every document that was ever in force anywhere, as text, by its epoch. */
  readonly inForce = new Map<number, Set<string>>();
  readonly outcomes: Outcome[] = [];
  /** Of a hundred messages, how many are lost, and how many come twice. */
  loss = 0;
  doubling = 0;
  /** Whether a message gets through; asked when it is sent and when it arrives. */
  passes: (travelling: Travelling) => boolean = () => true;
  #actors = 0;

  constructor(seed: number, count: number) {
    this.random = createSeededRandom(seed).stream("agreement");
    this.members = Array.from({ length: count }, (_, index) => this.#createMember(`n${index + 1}`));
    this.first = firstRing({
      members: this.members.map(({ name }) => ({
        name,
        address: `${name}:7402`,
        zone: "z",
        weight: 100,
        state: "active" as const,
      })),
      partitions: 4,
      replicationFactor: Math.min(3, count),
      readQuorum: Math.min(2, count),
      writeQuorum: Math.min(2, count),
      mode: "strict",
    });
  }

  #createMember(name: MemberId): WorldMember {
    const time = this.simulator.timeOf(this.simulator.createProcess(`disk of ${name}`));
    const disk = createSimulatedDisk({ time, random: this.random.stream(`disk of ${name}`) });
    return { name, disk, bootId: `${name} boot 1`, running: undefined };
  }

  named(name: MemberId): WorldMember {
    const found = this.members.find((member) => member.name === name);
    assert(found !== undefined, `no member ${name}`);
    return found;
  }

  /** Starts a member with the ring on its disk, or with the one given. */
  async start(name: MemberId, given?: RingDocument, options?: { readonly isRebuilding: boolean }): Promise<Running> {
    const member = this.named(name);
    const process = this.simulator.createProcess(name);
    let running: Running | undefined;
    const open = async (): Promise<void> => {
      running = await this.#open(member, process, { given, isRebuilding: options?.isRebuilding === true });
    };
    void open();
    await this.simulator.runWhile(() => running === undefined, 1_000);
    assert(running !== undefined, "a healthy member starts");
    member.running = running;
    return running;
  }

  async startAll(): Promise<void> {
    for (const { name } of this.members) await this.start(name, this.first);
  }

  async #open(
    member: WorldMember,
    process: Process,
    start: { readonly given: RingDocument | undefined; readonly isRebuilding: boolean },
  ): Promise<Running> {
    const { name, bootId } = member;
    this.#actors += 1;
    const random = this.random.stream(`${name} ${this.#actors}`);
    const time = this.simulator.timeOf(process, undefined, drawMonotonicMs(random.stream("monotonic clock")));
    const telemetry = createRecordedTelemetry();
    const engine = member.disk.open(this.simulator.arrivalsOf(process));
    const identity = await openIdentity({ engine, random, telemetry }, { clusterId: "c", member: name, bootId });
    const stored = await identity.loadRing();
    if (stored === undefined) {
      assert(start.given !== undefined, "an empty directory is given a ring");
      await identity.saveRing(serializeRing(start.given), start);
    }
    const rings = this.#ringsOf(identity, stored === undefined ? start.given : parseRing(stored));
    const transport = {
      request: (to: MemberId, request: Request, timeoutMs: number) =>
        this.#request(process, to, request, timeoutMs, time),
      isLinked: (to: MemberId) => this.named(to).running !== undefined,
    };
    const agreement = createAgreement(
      { rings, identity, engine, transport, time, random, telemetry },
      { member: name },
    );
    await agreement.open();
    return { process, engine, identity, agreement, rings };
  }

  #ringsOf(identity: Identity, start: RingDocument | undefined): Running["rings"] {
    let ring: Ring | undefined;
    const enter = (document: RingDocument): void => {
      ring = createRing(document);
      const texts = this.inForce.get(document.epoch) ?? new Set();
      this.inForce.set(document.epoch, texts.add(serializeRing(document)));
    };
    if (start !== undefined) enter(start);
    let last: Promise<void> = Promise.resolve();
    return {
      current: () => ring,
      adopt(document) {
        const adopted = last.then(async () => {
          if (ring !== undefined && ring.epoch >= document.epoch) return;
          await identity.saveRing(serializeRing(document));
          enter(document);
        });
        // The one who asked is told.
        last = adopted.then(undefined, () => {});
        return adopted;
      },
    };
  }

  /** Ends a member's process; with "machine" its disk loses what was not synced, also of one that had ended before. */
  crash(name: MemberId, kind: "process" | "machine"): void {
    const member = this.named(name);
    if (member.running === undefined && kind === "process") return;
    if (member.running !== undefined) member.running.process.alive = false;
    member.running = undefined;
    member.disk.crash(kind);
    if (kind === "machine") member.bootId = `${name} booted at ${this.simulator.nowMs}`;
  }

  /** The document after what is in force at `name`, different from anybody else's. */
  next(name: MemberId): RingDocument {
    const document = this.named(name).running?.rings.current()?.document;
    assert(document !== undefined, "a running member has a ring");
    const epoch = document.epoch + 1;
    const id = Buffer.from(this.random.bytes(8)).toString("hex");
    return { ...document, epoch, past: [{ id, outcome: "done", epoch }] };
  }

  /** Has a member propose; the outcome fills itself in. */
  propose(name: MemberId, document: RingDocument = this.next(name)): Outcome {
    const outcome: Outcome = { by: name, document: serializeRing(document), result: undefined };
    this.outcomes.push(outcome);
    const { running } = this.named(name);
    assert(running !== undefined, "a running member proposes");
    running.agreement.propose(document).then(
      (result) => {
        outcome.result = result;
      },
      (error: unknown) => {
        if (!(error instanceof KvError)) throw error;
        outcome.result = error;
      },
    );
    return outcome;
  }

  async settle(...outcomes: readonly Outcome[]): Promise<void> {
    await this.simulator.runWhile(() => outcomes.some(({ result }) => result === undefined), 60_000);
    await this.simulator.runUntil(this.simulator.nowMs + 3_000);
  }

  /** The documents in force at the members that run. */
  documents(): (string | undefined)[] {
    return this.members.map(({ running }) => {
      const document = running?.rings.current()?.document;
      return document === undefined ? undefined : serializeRing(document);
    });
  }

  #request(from: Process, to: MemberId, request: Request, timeoutMs: number, time: Time): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const timer = time.after(timeoutMs, () =>
        reject(new KvError("TIMED_OUT", "no reply came in time", { outcome: "unknown" })),
      );
      this.#travel({ from: from.name, to, message: request }, () => {
        const { running } = this.named(to);
        if (running === undefined) return;
        this.#answer(running, from.name, decodeRequest(encodeRequest(request))).then(
          (reply) =>
            this.#travel({ from: to, to: from.name, message: reply }, () => {
              if (!from.alive || !running.process.alive) return;
              timer.cancel();
              const decoded = decodeReply(encodeReply(reply));
              if (decoded.kind === "failure") reject(new KvError(decoded.code, decoded.message));
              else resolve(decoded);
            }),
          (error: unknown) => {
            throw error;
          },
        );
      });
    });
  }

  #travel(travelling: Travelling, arrive: () => void): void {
    const times = this.random.chance([this.doubling, 100]) ? 2 : 1;
    for (let count = 0; count < times; count++) {
      if (this.random.chance([this.loss, 100]) || !this.passes(travelling)) continue;
      this.simulator.after(this.random.between(1, 20), () => {
        if (this.passes(travelling)) arrive();
      });
    }
  }

  async #answer(running: Running, from: MemberId, request: Request): Promise<Reply> {
    try {
      switch (request.kind) {
        case "promise":
        case "accept":
          return await running.agreement.answer(request);
        case "ring": {
          const document = running.rings.current()?.document;
          const text = document === undefined ? undefined : serializeRing(document);
          return { kind: "ring", document: text, hadRing: true, knowsAnother: false, actor: running.identity.actor };
        }
        case "gossip": {
          const epoch = running.rings.current()?.epoch ?? 0;
          if (request.epoch > epoch) this.#fetch(running, from);
          return { kind: "gossiped", news: [], epoch };
        }
        default:
          throw new Error(`nobody answers ${request.kind} here`);
      }
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      return { kind: "failure", code: error.code, message: error.message, outcome: error.outcome };
    }
  }

  /** What a member does when gossip shows a newer epoch. */
  #fetch(running: Running, from: MemberId): void {
    const { process, rings } = running;
    const time = this.simulator.timeOf(process);
    this.#request(process, from, { kind: "ring" }, 1_000, time).then(
      async (reply) => {
        if (reply.kind !== "ring" || reply.document === undefined || !process.alive) return;
        await rings.adopt(parseRing(reply.document), from).catch((error: unknown) => {
          if (!(error instanceof KvError)) throw error;
        });
      },
      (error: unknown) => {
        if (!(error instanceof KvError)) throw error;
      },
    );
  }
}

/** The word of one voter. */
export async function ask(members: AgreementWorld, name: string, request: AgreementRequest) {
  const { running } = members.named(name);
  assert(running !== undefined);
  let reply: unknown;
  running.agreement.answer(request).then(
    (word) => {
      reply = word;
    },
    (error: unknown) => {
      reply = error;
    },
  );
  await members.simulator.runWhile(() => reply === undefined, 5_000);
  return reply as { vote?: string; newer?: string; code?: string; accepted?: { document: string } };
}
