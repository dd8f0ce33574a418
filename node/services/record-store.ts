/**
 * Values of one space on their way to the disk and back, each key's work in order without a lock.
 *
 * What is known of a key is, newest first: the write that is on its way to the disk (`pending`), the newest durable
 * value (a bounded cache), or the disk. Once it is in memory, reading it, computing the next value and queueing that
 * happen in one turn of the event loop, so that two writes of one key always see each other:
 *
 *     newest ── or else ── await load ── newest again ── compute ── put        nothing awaited from `newest` to `put`
 *
 * The replica keeps records this way, the hints theirs. Not here: what a value means, and how two are merged.
 */
import { LRUCache } from "lru-cache";
import { RecordCorruptError } from "../core/version/record-codec.ts";
import type { Engine, EngineWrite } from "../ports.ts";
import type { GroupCommit } from "./group-commit.ts";

/** A value as it lies on disk, decoded when somebody needs to look inside. */
export type Held<Decoded> = { readonly bytes: Uint8Array; decoded: Decoded | undefined };

/** A value on its way to the disk. */
type Pending<Decoded> = { bytes: Uint8Array; decoded: Decoded | undefined; durable: Promise<void> };

/** Stands for a value that is being removed; no value is empty. */
const REMOVED = new Uint8Array(0);

/** `name` is a key as a map key, `at` its storage key; the two always go together. */
export type RecordStore<Decoded> = {
  /**
   * The newest value that memory knows of, durable or not; of a value that is being removed `isRemoved` holds.
   * Undefined says nothing: only the disk may know it.
   */
  newest(name: string): Held<Decoded> | undefined;
  /**
   * Reads a key from the disk into the cache; callers that come meanwhile share the read. Whoever waited for the same
   * read may have gone first, so ask `newest` again before building on it.
   *
   * Rejects with `RecordCorruptError` when what is there is damaged; it was set aside then.
   */
  load(name: string, at: Uint8Array): Promise<Held<Decoded> | undefined>;
  /** The durable value if memory has it. */
  cached(name: string): Uint8Array | undefined;
  /** The durable value, from the disk where it has to be. Rejects as `load`. */
  read(name: string, at: Uint8Array): Promise<Uint8Array | undefined>;
  /** Decodes it once, until it is released. */
  decoded(held: Held<Decoded>): Decoded;
  /**
   * Lets go of the decoded form, when nobody is going to look inside again soon. A value that was cached for long is old
   * to the garbage collector, and whatever hangs on it grows old with it, even when the value itself is dropped
   * a moment later: half of what writes left to the large collections were decoded records.
   */
  release(held: Held<Decoded>): void;
  /**
   * Queues the next value of a key: from here on it is what later writes of the key build upon. Resolves once durable.
   *
   * @param also Written with it, all or none.
   * @param watcher Is told once how it ended, before anybody else.
   * @throws {KvError} OVERLOADED, at once: nothing was queued, and nobody sees the value.
   */
  put(
    name: string,
    at: Uint8Array,
    next: Held<Decoded>,
    also?: readonly EngineWrite[],
    watcher?: Watcher,
  ): Promise<void>;
  /** Queues the removal of a key, as `put`. */
  remove(name: string, at: Uint8Array, also?: readonly EngineWrite[], watcher?: Watcher): Promise<void>;
  /** Resolves when what is on its way for a key is durable; undefined when nothing is. */
  settled(name: string): Promise<void> | undefined;
  /** Whether a write of the key is on its way. */
  isPending(name: string): boolean;
  /** Forgets the durable value in memory, so that the next one who asks sees the disk's. */
  forget(name: string): void;
};

/** Somebody who keeps account of what is durable. */
export type Watcher = {
  /** In the turn in which memory takes the write for durable. */
  durable(): void;
  /** Instead, when the write failed: it may surface. */
  failed(): void;
  /** Instead, when it was refused at once: nothing of it ever will be there. */
  refused(): void;
};

export type RecordStoreOptions<Decoded> = {
  /** Memory for durable values, in bytes. */
  readonly cacheBytes: number;
  /** Throws `RecordCorruptError` for bytes that are no value. */
  readonly decode: (bytes: Uint8Array) => Decoded;
  /** Keeps a damaged value for a person to look at; awaited before the one who asked is told. */
  readonly setAside: (at: Uint8Array, bytes: Uint8Array, cause: RecordCorruptError) => Promise<void>;
};

/** What the cache counts for an entry besides its bytes: key string, objects, list links. */
const CACHE_ENTRY_OVERHEAD_BYTES = 512;

/** @param parts The engine is read directly and written only through `commit`. */
export function createRecordStore<Decoded>(
  parts: { readonly engine: Engine; readonly commit: GroupCommit },
  options: RecordStoreOptions<Decoded>,
): RecordStore<Decoded> {
  const { engine, commit } = parts;
  const { decode, setAside } = options;
  const pending = new Map<string, Pending<Decoded>>();
  const loads = new Map<string, Promise<Held<Decoded> | undefined>>();
  const durable = new LRUCache<string, Held<Decoded>>({
    maxSize: Math.max(1, options.cacheBytes),
    sizeCalculation: (held, name) => held.bytes.length + name.length + CACHE_ENTRY_OVERHEAD_BYTES,
  });
  commit.onFailure(() => {
    // What failed may or may not be on the disk: only the disk knows, so everything is read anew.
    pending.clear();
    durable.clear();
  });
  /** Times that what failed may have surfaced: what was read before that says nothing of now. */
  let recoveries = 0;
  commit.onRecovery(() => {
    recoveries += 1;
    durable.clear();
  });

  function load(name: string, at: Uint8Array): Promise<Held<Decoded> | undefined> {
    const running = loads.get(name);
    if (running !== undefined) return running;
    const started = loadFromDisk(name, at).finally(() => loads.delete(name));
    loads.set(name, started);
    return started;
  }

  async function loadFromDisk(name: string, at: Uint8Array): Promise<Held<Decoded> | undefined> {
    let bytes: Uint8Array | undefined;
    let readAfter: number;
    do {
      readAfter = recoveries;
      bytes = await engine.get(at);
    } while (readAfter !== recoveries);
    if (bytes === undefined) return undefined;
    try {
      decode(bytes);
      const held: Held<Decoded> = { bytes, decoded: undefined };
      durable.set(name, held);
      return held;
    } catch (error) {
      if (!(error instanceof RecordCorruptError)) throw error;
      await setAside(at, bytes, error);
      throw error;
    }
  }

  /** A write that is refused at once was never pending: nobody may build upon it, not even in this turn. */
  function queue(writes: EngineWrite | readonly EngineWrite[], refused: (error: unknown) => never): Promise<void> {
    try {
      return commit.write(writes);
    } catch (error) {
      return refused(error);
    }
  }

  function submit(
    name: string,
    entry: Pending<Decoded>,
    writes: EngineWrite | readonly EngineWrite[],
    watcher: Watcher | undefined,
  ): Promise<void> {
    const written = () => {
      if (pending.get(name) === entry) pending.delete(name);
      watcher?.durable();
      if (entry.bytes === REMOVED) {
        durable.delete(name);
        return;
      }
      // Decoded, a record takes several times its bytes: the cache keeps bytes only.
      entry.decoded = undefined;
      entry.bytes = ownBytes(entry.bytes);
      durable.set(name, entry);
    };
    const failed = (error: unknown): never => {
      watcher?.failed();
      throw error;
    };
    const refused = (error: unknown): never => {
      watcher?.refused();
      throw error;
    };
    entry.durable = queue(writes, refused).then(written, failed);
    pending.set(name, entry);
    return entry.durable;
  }

  return {
    newest: (name) => pending.get(name) ?? durable.get(name),
    load,
    cached: (name) => durable.get(name)?.bytes,
    async read(name, at) {
      const known = durable.get(name);
      if (known !== undefined) return known.bytes;
      // While a write of the key is on its way the disk may be a step ahead of a shared read: ask it, keep nothing.
      if (pending.has(name)) return engine.get(at);
      return (await load(name, at))?.bytes;
    },
    decoded(held) {
      held.decoded ??= decode(held.bytes);
      return held.decoded;
    },
    release(held) {
      held.decoded = undefined;
    },
    put(name, at, next, also, watcher) {
      const write: EngineWrite = { kind: "put", key: at, value: next.bytes };
      return submit(name, next as Pending<Decoded>, also === undefined ? write : [write, ...also], watcher);
    },
    remove(name, at, also, watcher) {
      const write: EngineWrite = { kind: "delete", key: at };
      const entry = { bytes: REMOVED, decoded: undefined } as unknown as Pending<Decoded>;
      return submit(name, entry, also === undefined ? write : [write, ...also], watcher);
    },
    settled: (name) => pending.get(name)?.durable,
    isPending: (name) => pending.has(name),
    forget: (name) => durable.delete(name),
  };
}

/** Whether a key's newest value is that it has none any more. */
export function isRemoved(held: Held<unknown>): boolean {
  return held.bytes === REMOVED;
}

/**
 * Bytes in memory of their own. What was encoded or received is a view into a piece of 64 KiB that many share, and one
 * that is kept for long keeps all of it.
 */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

/** Keys as map keys: one character a byte. */
export function keyName(key: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(key, 0, key.length);
}
