/**
 * A Coordinator in memory: what the HTTP contract is tested against.
 *
 * One copy of each key with siblings named by a counter, so that contexts, blind writes, conditions, retries and
 * deletions mean what they mean in a cluster. `available` stands for the replicas that answer; `failNext` and `hold`
 * bring about what a healthy copy in memory never does. It is a model of the answers, not of how they come about.
 */
import { KvError, type Receipt } from "../../node/core/errors.ts";
import type { ClientRing } from "../../node/core/ring/client-ring.ts";
import type { Sibling } from "../../node/core/version/record.ts";
import type {
  Coordinator,
  DeleteCommand,
  PutCommand,
  ReadAnswer,
  RequestOptions,
  WriteAnswer,
} from "../../node/services/coordinator.ts";

export const MODEL_BOUNDS = { replicationFactor: 3, zoneCount: 3, epoch: 7 };
export const MODEL_CLIENT_RING: ClientRing = {
  cluster: "c",
  epoch: 7,
  partitions: 2,
  n: 1,
  members: [{ name: "n1", host: "127.0.0.1", zone: "a" }],
  preferenceLists: [["n1"], ["n1"]],
};
const SIBLINGS_MAX = 5;

type Held = { siblings: Sibling[]; ids: Map<string, number> };

export type HttpModel = Coordinator & {
  /** Replicas that answer, 0 .. 3. */
  available: number;
  /** The kind of request that it has too many of. */
  full: "read" | "write" | undefined;
  /** Wall clock of all replicas, ms. */
  nowMs: number;
  /** Options of every call, in order. */
  readonly asked: RequestOptions[];
  /** Lets the next call reject with this. */
  failNext(error: unknown): void;
  /** Stops all calls from answering until the returned function is called. */
  hold(): () => void;
};

export function createHttpModel(): HttpModel {
  const keys = new Map<string, Held>();
  let counter = 0;
  let failure: { readonly error: unknown } | undefined;
  let gate = Promise.resolve();

  const heldAt = (key: Uint8Array): Held => {
    const name = Buffer.from(key).toString("hex");
    const held = keys.get(name) ?? { siblings: [], ids: new Map() };
    keys.set(name, held);
    return held;
  };

  async function enter(options: RequestOptions, required: number): Promise<Receipt> {
    model.asked.push(options);
    await gate;
    if (failure !== undefined) {
      const { error } = failure;
      failure = undefined;
      throw error;
    }
    const acks = Math.min(required, model.available);
    const receipt: Receipt = { acks, asked: 3, zones: acks, hinted: 0, durability: "os" };
    if (acks >= required) return receipt;
    throw new KvError("QUORUM_UNAVAILABLE", `Cannot go on: expected ${required} replicas, found ${acks}.`, {
      details: { required, acknowledged: acks, receipt },
    });
  }

  /** Adds one sibling in place of those that `replaced` names. */
  function stamp(
    key: Uint8Array,
    replaced: (sibling: Sibling) => boolean,
    content: Omit<Sibling, "dot" | "writtenAtMs">,
    idempotencyKey: Uint8Array | undefined,
  ): number {
    const held = heldAt(key);
    const id = idempotencyKey === undefined ? undefined : Buffer.from(idempotencyKey).toString("hex");
    const known = id === undefined ? undefined : held.ids.get(id);
    if (known !== undefined) return known;
    const kept = held.siblings.filter((sibling) => !replaced(sibling));
    if (kept.length >= SIBLINGS_MAX) {
      const context = token(
        key,
        kept.map(({ dot }) => dot.counter),
      );
      throw new KvError("CONFLICT", `Cannot add a sibling: found ${kept.length}.`, { details: { context } });
    }
    counter += 1;
    const dot = { actor: "a".repeat(32), incarnation: 1, counter };
    held.siblings = [...kept, { ...content, dot, writtenAtMs: model.nowMs }];
    if (id !== undefined) held.ids.set(id, counter);
    return counter;
  }

  function visible(key: Uint8Array): Sibling[] {
    return heldAt(key).siblings.map((sibling) =>
      sibling.expiresAtMs !== undefined && sibling.expiresAtMs <= model.nowMs
        ? { ...sibling, value: undefined }
        : sibling,
    );
  }

  const model: HttpModel = {
    available: 3,
    full: undefined,
    nowMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    asked: [],
    failNext(error) {
      failure = { error };
    },
    hold() {
      let open = () => {};
      gate = new Promise<void>((resolve) => {
        open = resolve;
      });
      return open;
    },
    isFull: (kind) => model.full === kind,
    async get(key, options): Promise<ReadAnswer> {
      const receipt = await enter(options, options.readQuorum ?? 2);
      const siblings = visible(key);
      const context =
        siblings.length === 0
          ? undefined
          : token(
              key,
              siblings.map(({ dot }) => dot.counter),
            );
      return { siblings, context, receipt };
    },
    async put(command: PutCommand, options): Promise<WriteAnswer> {
      const receipt = await enter(options, options.writeQuorum ?? 2);
      const { key, base, value, contentType, ttlS } = command;
      const name = command.idempotencyKey === undefined ? "" : Buffer.from(command.idempotencyKey).toString("hex");
      const isRepeated = heldAt(key).ids.has(name);
      if (command.onlyIfAbsent === true && !isRepeated && visible(key).some((sibling) => sibling.value !== undefined)) {
        throw new KvError("PRECONDITION_FAILED", "Cannot write: expected no value, found one.", {
          details: { receipt },
        });
      }
      const seen = typeof base === "object" ? readToken(key, base.context) : [];
      const replaced = ({ dot }: Sibling) => base === "overwrite" || seen.includes(dot.counter);
      const expiresAtMs = ttlS === undefined ? undefined : model.nowMs + ttlS * 1_000;
      const id = stamp(key, replaced, { value, contentType, expiresAtMs }, command.idempotencyKey);
      return { context: token(key, [...seen, id]), receipt };
    },
    async delete(command: DeleteCommand, options): Promise<WriteAnswer> {
      const receipt = await enter(options, options.writeQuorum ?? 2);
      const { key, context, idempotencyKey } = command;
      const seen = context === undefined ? undefined : readToken(key, context);
      const replaced = ({ dot }: Sibling) => seen === undefined || seen.includes(dot.counter);
      const content = { value: undefined, contentType: "", expiresAtMs: undefined };
      return { context: token(key, [stamp(key, replaced, content, idempotencyKey)]), receipt };
    },
  };
  return model;
}

function token(key: Uint8Array, seen: readonly number[]): string {
  return Buffer.from(JSON.stringify({ key: Buffer.from(key).toString("hex"), seen })).toString("base64url");
}

function readToken(key: Uint8Array, text: string): readonly number[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    const { key: bound, seen } = parsed as { key: string; seen: number[] };
    if (bound === Buffer.from(key).toString("hex") && Array.isArray(seen)) return seen;
  } catch {
    // Falls through to the same answer: a token that cannot be read.
  }
  throw new KvError("INVALID_CONTEXT", "Cannot read the context: expected a token of this key.");
}
