/**
 * The node's identity at work: gives out dots, and keeps on disk what makes them unique (design §4).
 *
 * The rules are in `core/identity.ts`; here is the order of things. Whatever a dot relies on (actor, incarnation,
 * block of counters) is on the disk, synced, before the dot is made. Giving out a dot itself touches no disk: the next
 * block is reserved in the background once half of the present one is used. Changes of the stored identity are made
 * one after the other, so that none overwrites another.
 */
import { compareBytes } from "../core/bytes.ts";
import { KvError } from "../core/errors.ts";
import {
  COUNTER_BLOCK,
  createIdentity,
  encodeIdentity,
  type IdentityDocument,
  LOSS_KEY,
  LOSS_KNOWN_KEY,
  type Opener,
  parseIdentity,
  reserveCounters,
  resumeIdentity,
  VOTES_LOST_KEY,
} from "../core/identity.ts";
import { metaKey, wholeRange } from "../core/keyspace.ts";
import type { MemberId } from "../core/ring/document.ts";
import { seal, unseal } from "../core/seal.ts";
import type { ActorId, Dot } from "../core/version/record.ts";
import type { Engine, EngineWrite, Random, Telemetry } from "../ports.ts";

const IDENTITY_KEY = metaKey("identity");
const RING_KEY = metaKey("ring");
const HAD_RING_KEY = metaKey("had-ring");
const REBUILDING_KEY = metaKey("rebuilding");
const GIVEN_UP_NAME = "given-up";
const GIVEN_UP_KEY = metaKey(GIVEN_UP_NAME);
const SUCCESSOR_KEY = metaKey("successor");
const RING_NAME = "ring";
/** The value of a key that only has to be there. */
const MARK = Uint8Array.of(1);
/** The value of the successor's key in a directory that has a successor itself. */
const SUPERSEDED = 2;

export type Identity = {
  readonly clusterId: string;
  readonly member: MemberId;
  readonly actor: ActorId;
  /** Whether this directory was in use before, its last stop was an orderly one, and nothing is lost since. */
  readonly wasStoppedCleanly: boolean;
  /** The present incarnation, from 1. */
  incarnation(): number;
  /**
   * A dot that was never given out before. Needs no `this`.
   *
   * @throws {KvError} OVERLOADED: the next counters, or a new incarnation, are not on the disk yet, or cannot be;
   *   NOT_READY: the node has stopped. Nothing was stamped.
   */
  nextDot(): Dot;
  /** Resolves when at least half a block of counters is left; rejects with the engine's error. */
  ensureReserve(): Promise<void>;
  /**
   * Goes on under a new incarnation because something that was stamped may be lost. No dot is given out meanwhile.
   * Resolves when the new one is on the disk; when it rejects, no dot is given out until a later call succeeds.
   *
   * @param reason For the log.
   */
  newIncarnation(reason: string): Promise<void>;
  /**
   * Goes on under a new incarnation although nothing is lost; dots of the present one are given out until the new one
   * is on the disk. For who must not stamp again under the present one (see hints.ts). Those who ask at the same time get one.
   */
  renewIncarnation(reason: string): Promise<void>;
  /**
   * Marks the stop as clean: everything written so far is made durable, then the mark. To be called when nothing
   * writes any more; no dot is given out from here on.
   */
  stopClean(): Promise<void>;
  /**
   * Marks that records are given up which may hold dots of the present incarnation; resolves when the mark would survive
   * the loss of power. To be called before the first is removed.
   */
  markGivingUp(): Promise<void>;
  /** Whether records were given up which may hold dots of the present incarnation. */
  hasGivenUp(): boolean;
  /** Whether this directory ever held a ring. */
  hadRing(): boolean;
  /**
   * Stores the newest ring document; resolves when it would survive the loss of power, and of any part of the log.
   *
   * @param options `isRebuilding`: the ring is older than this directory, which from now on lacks data until
   *   `endRebuilding`. `isSuperseded`: the ring lists another directory in the place of this one. One batch with the ring: a
   *   node that knows the ring knows this too.
   */
  saveRing(
    document: string,
    options?: { readonly isRebuilding?: boolean; readonly isSuperseded?: boolean },
  ): Promise<void>;
  /** Whether another directory took the place of this one under its name, which is set aside from then on. */
  isSuperseded(): boolean;
  /** Whether this directory may lack what its predecessor under the same name had acknowledged. */
  isRebuilding(): boolean;
  /**
   * Whether this directory took the place of another one under its name, be it long ago: what that one promised its
   * peers is not known here.
   */
  isSuccessor(): boolean;
  /** The directory lacks nothing any more; resolves when that would survive the loss of power. */
  endRebuilding(): Promise<void>;
  /** The ring document last stored, or undefined; rejects with STORAGE_FAILED when it is damaged. */
  loadRing(): Promise<string | undefined>;
};

/**
 * Loads the identity of a data directory, or gives an empty one its own.
 *
 * @param opener Cluster and member that this process was configured as, and the boot id of its machine.
 * @throws {KvError} STORAGE_FAILED: the directory belongs to somebody else or is damaged; or the engine's error.
 */
export async function openIdentity(
  ports: { readonly engine: Engine; readonly random: Random; readonly telemetry: Telemetry },
  opener: Opener,
): Promise<Identity> {
  const { engine, telemetry } = ports;
  const stored = await engine.get(IDENTITY_KEY);
  const previous = stored === undefined ? undefined : parseIdentity(stored);
  const hasLost = (await engine.get(LOSS_KEY)) !== undefined;
  if (previous === undefined) await refuseUnlessEmpty(engine);
  const document =
    previous === undefined
      ? createIdentity(opener, Buffer.from(ports.random.bytes(16)).toString("hex"))
      : resumeIdentity(previous, opener, hasLost);
  const writes: EngineWrite[] = [{ kind: "put", key: IDENTITY_KEY, value: encodeIdentity(document) }];
  if (hasLost) writes.push({ kind: "put", key: VOTES_LOST_KEY, value: MARK });
  await engine.batch(writes, { sync: true });
  if (hasLost) await endLoss(engine);
  const { actor, incarnation } = document;
  telemetry.log("info", "identity.opened", {
    actor,
    incarnation,
    created: previous === undefined,
    afterLoss: previous !== undefined && previous.incarnation !== incarnation,
  });
  const hadRing = (await engine.get(HAD_RING_KEY)) !== undefined;
  const isRebuilding = (await engine.get(REBUILDING_KEY)) !== undefined;
  const givenUp = await readGivenUp(engine, document.incarnation);
  const succession = await engine.get(SUCCESSOR_KEY);
  const firstCounter = (previous?.counterLimit ?? 0) + 1;
  return new StoredIdentity(engine, telemetry, {
    document,
    hadRing,
    isRebuilding,
    givenUp,
    isSuccessor: succession !== undefined,
    isSuperseded: succession?.[0] === SUPERSEDED,
    firstCounter,
    wasStoppedCleanly: previous?.stoppedCleanly === true && !hasLost,
  });
}

/**
 * Takes the mark of a loss away once it is made good where no later loss reaches. In the log alone the new incarnation
 * could go as what it stands for went: then the next start would find what this one found, and take the same once more.
 */
async function endLoss(engine: Engine): Promise<void> {
  await engine.flush();
  await engine.batch([{ kind: "delete", key: LOSS_KEY }], { sync: true });
}

/** For errors that the one who asked was told, or that were counted and logged; the next attempt comes by itself. */
function toldAlready(): void {}

/** A mark that cannot be read says at least that there was one. */
async function readGivenUp(engine: Engine, incarnation: number): Promise<number> {
  const sealed = await engine.get(GIVEN_UP_KEY);
  if (sealed === undefined) return 0;
  const text = unseal(GIVEN_UP_NAME, sealed);
  return text === undefined ? incarnation : Number(text);
}

async function refuseUnlessEmpty(engine: Engine): Promise<void> {
  const entries = await engine.scan({ ...wholeRange(), limit: 3 });
  // That everything is lost is no data: such a directory begins as one on a new disk.
  if (entries.every(({ key }) => [LOSS_KEY, LOSS_KNOWN_KEY].some((own) => compareBytes(key, own) === 0))) return;
  throw new KvError(
    "STORAGE_FAILED",
    "Cannot open the data directory: it holds data but no identity. Move it aside and let the member be rebuilt.",
  );
}

class StoredIdentity implements Identity {
  readonly clusterId: string;
  readonly member: MemberId;
  readonly actor: ActorId;
  readonly wasStoppedCleanly: boolean;
  readonly #engine: Engine;
  readonly #telemetry: Telemetry;
  /** As it is on the disk. */
  #document: IdentityDocument;
  #nextCounter: number;
  #hadRing: boolean;
  #isRebuilding: boolean;
  #isSuperseded: boolean;
  #isSuccessor: boolean;
  #reserving: Promise<void> | undefined;
  /** Whether the present incarnation may stamp. */
  #stamping: "yes" | "changing" | "stopped" = "yes";
  /** The last incarnation of which something was given up; 0 for none. */
  #givenUp: number;
  /** New incarnations asked for so far: only the end of the latest change allows stamping again. */
  #incarnationsAsked = 0;
  #renewing: Promise<void> | undefined;
  /** Ends, never with an error, when the last change asked for has. */
  #lastChange: Promise<void> = Promise.resolve();

  constructor(
    engine: Engine,
    telemetry: Telemetry,
    start: {
      readonly document: IdentityDocument;
      readonly firstCounter: number;
      readonly hadRing: boolean;
      readonly isRebuilding: boolean;
      readonly givenUp: number;
      readonly isSuccessor: boolean;
      readonly isSuperseded: boolean;
      readonly wasStoppedCleanly: boolean;
    },
  ) {
    this.#engine = engine;
    this.#telemetry = telemetry;
    this.#document = start.document;
    this.#nextCounter = start.firstCounter;
    this.#hadRing = start.hadRing;
    this.#isRebuilding = start.isRebuilding;
    this.#givenUp = start.givenUp;
    this.#isSuccessor = start.isSuccessor;
    this.#isSuperseded = start.isSuperseded;
    this.wasStoppedCleanly = start.wasStoppedCleanly;
    this.clusterId = start.document.clusterId;
    this.member = start.document.member;
    this.actor = start.document.actor;
  }

  incarnation(): number {
    return this.#document.incarnation;
  }

  readonly nextDot = (): Dot => {
    if (this.#stamping !== "yes") throw this.#notStamping();
    const left = this.#document.counterLimit - this.#nextCounter + 1;
    if (left <= COUNTER_BLOCK / 2) this.#reserve().catch(toldAlready);
    if (left <= 0) throw new KvError("OVERLOADED", "Cannot stamp the write: no counters are reserved on the disk yet.");
    const counter = this.#nextCounter;
    this.#nextCounter = counter + 1;
    return { actor: this.actor, incarnation: this.#document.incarnation, counter };
  };

  async ensureReserve(): Promise<void> {
    while (this.#document.counterLimit - this.#nextCounter + 1 <= COUNTER_BLOCK / 2) await this.#reserve();
  }

  async newIncarnation(reason: string): Promise<void> {
    if (this.#stamping === "stopped") throw this.#notStamping();
    this.#stamping = "changing";
    this.#incarnationsAsked++;
    const asked = this.#incarnationsAsked;
    await this.#nextIncarnation(reason, "warn");
    if (this.#stamping === "changing" && asked === this.#incarnationsAsked) this.#stamping = "yes";
  }

  async renewIncarnation(reason: string): Promise<void> {
    if (this.#stamping === "stopped") throw this.#notStamping();
    this.#renewing ??= this.#nextIncarnation(reason, "info").finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  async markGivingUp(): Promise<void> {
    const { incarnation } = this.#document;
    if (this.#givenUp >= incarnation) return;
    const value = seal(GIVEN_UP_NAME, String(incarnation));
    await this.#engine.batch([{ kind: "put", key: GIVEN_UP_KEY, value }], { sync: true });
    this.#givenUp = Math.max(this.#givenUp, incarnation);
  }

  hasGivenUp(): boolean {
    return this.#givenUp >= this.#document.incarnation;
  }

  async #nextIncarnation(reason: string, level: "info" | "warn"): Promise<void> {
    await this.#change((document) => ({ ...document, incarnation: document.incarnation + 1 }));
    this.#telemetry.count("annulus.identity.incarnations");
    this.#telemetry.log(level, "identity.new_incarnation", { incarnation: this.#document.incarnation, reason });
  }

  async stopClean(): Promise<void> {
    this.#stamping = "stopped";
    await this.#engine.flush();
    // No dot is given out any more, so the rest of the block need not be wasted.
    await this.#change((document) => ({ ...document, stoppedCleanly: true, counterLimit: this.#nextCounter - 1 }));
  }

  hadRing(): boolean {
    return this.#hadRing;
  }

  async saveRing(document: string, options: Parameters<Identity["saveRing"]>[1] = {}): Promise<void> {
    const writes: EngineWrite[] = [
      { kind: "put", key: RING_KEY, value: seal(RING_NAME, document) },
      { kind: "put", key: HAD_RING_KEY, value: MARK },
    ];
    if (options.isRebuilding === true) {
      for (const key of [REBUILDING_KEY, SUCCESSOR_KEY]) writes.push({ kind: "put", key, value: MARK });
    }
    if (options.isSuperseded === true) {
      writes.push({ kind: "put", key: SUCCESSOR_KEY, value: Uint8Array.of(SUPERSEDED) });
    }
    await this.#engine.batch(writes, { sync: true });
    this.#hadRing = true;
    this.#isRebuilding ||= options.isRebuilding === true;
    this.#isSuccessor ||= options.isRebuilding === true;
    this.#isSuperseded ||= options.isSuperseded === true;
    // A vote is given by the ring before its epoch. Where a part of the log is lost that holds both, a ring that is left from
    // earlier would not tell for which epoch a vote may be forgotten.
    await this.#engine.flush();
  }

  isRebuilding(): boolean {
    return this.#isRebuilding;
  }

  isSuccessor(): boolean {
    return this.#isSuccessor;
  }

  isSuperseded(): boolean {
    return this.#isSuperseded;
  }

  async endRebuilding(): Promise<void> {
    await this.#engine.batch([{ kind: "delete", key: REBUILDING_KEY }], { sync: true });
    this.#isRebuilding = false;
  }

  async loadRing(): Promise<string | undefined> {
    const sealed = await this.#engine.get(RING_KEY);
    if (sealed === undefined) return undefined;
    const document = unseal(RING_NAME, sealed);
    if (document !== undefined) return document;
    throw new KvError("STORAGE_FAILED", "Cannot read the stored ring: it is damaged. The peers hold it too.");
  }

  /** Reserves one more block; callers that come meanwhile share the attempt. */
  #reserve(): Promise<void> {
    this.#reserving ??= this.#change(reserveCounters)
      .catch((error: unknown) => {
        this.#telemetry.count("annulus.identity.reserve_failures");
        this.#telemetry.log("error", "identity.reserve_failed", { cause: error });
        throw error;
      })
      .finally(() => {
        this.#reserving = undefined;
      });
    return this.#reserving;
  }

  /** Stores the next identity when the changes before it have ended, and takes it on once it is on the disk. */
  #change(step: (document: IdentityDocument) => IdentityDocument): Promise<void> {
    const change = this.#lastChange.then(async () => {
      const next = step(this.#document);
      await this.#engine.batch([{ kind: "put", key: IDENTITY_KEY, value: encodeIdentity(next) }], { sync: true });
      this.#document = next;
    });
    this.#lastChange = change.catch(toldAlready);
    return change;
  }

  #notStamping(): KvError {
    if (this.#stamping === "stopped") return new KvError("NOT_READY", "Cannot stamp the write: this node is stopping.");
    return new KvError("OVERLOADED", "Cannot stamp the write: a new incarnation is on its way to the disk.", {
      details: { retryAfterS: 1 },
    });
  }
}
