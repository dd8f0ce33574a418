/**
 * A list, then a watch from there on, then again: for ever.
 *
 *   list ──► watch ──► ended by the server, its answer too old (410), silent, broken, or time to list anew ──► list
 *     ▲                                                                                                         │
 *     └────────────────────────── at once, or after a back-off where it failed ◄────────────────────────────────┘
 *
 * A watch can go silent without an end: a connection that a balancer forgot. So bookmarks are asked for, which come
 * about once a minute, and a watch that is silent for longer is given up. Everything is listed anew now and then all the
 * same: what a watch missed for whatever reason is found then.
 */
import type { Response } from "undici";
import type { KubeObject } from "../core/objects.ts";
import { KubeError, type Random, type Resource, type Telemetry, type Time, type Timer } from "../ports.ts";
import { reasonOf } from "./kube-http.ts";

export type ListWatchSource = {
  list(): Promise<{ readonly items: readonly KubeObject[]; readonly resourceVersion: string }>;
  open(resourceVersion: string, timeoutSeconds: number, signal: AbortSignal): Promise<Response>;
};

/** The API server sends a bookmark about every minute. */
const SILENCE_MS_MAX = 150_000;
const WATCH_SECONDS = 240;
/** A connection that tells nothing and ends so soon is a failure: to open the next one at once would run in circles. */
const SHORT_MS = 1_000;
const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 30_000;

type Ports = { readonly time: Time; readonly random: Random; readonly telemetry: Telemetry };

/** Makes one, which begins at once. `heardAtMs`: when the server was last heard of, by the monotonic clock. */
export function createListWatch(
  source: ListWatchSource,
  { time, random, telemetry }: Ports,
  options: { readonly resource: Resource; readonly resyncMs: number },
  tell: (object: KubeObject) => void,
): { end(): void; heardAtMs(): number } {
  const { kind } = options.resource;
  let isOver = false;
  let heardAtMs = time.monotonicMs();
  let timer: Timer | undefined;
  let abort = new AbortController();
  let failures = 0;

  const heard = () => {
    heardAtMs = time.monotonicMs();
  };

  async function round(): Promise<void> {
    try {
      const { items, resourceVersion } = await source.list();
      heard();
      telemetry.count("annulus.operator.lists");
      const listedAtMs = time.monotonicMs();
      for (const item of items) if (!isOver) tell(item);
      let version: string | undefined = resourceVersion;
      while (!isOver && version !== undefined && time.monotonicMs() - listedAtMs < options.resyncMs) {
        version = await follow(version);
        failures = 0;
      }
      next(0);
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (isOver) return;
      const pauseMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures, 20));
      failures += 1;
      telemetry.count("annulus.operator.watches_broken");
      telemetry.log("warn", "operator.watch_broken", { kind, why: error.message, againMs: pauseMs });
      next(pauseMs * (1 - random.uint32() / 2 ** 33));
    }
  }

  function next(delayMs: number): void {
    if (!isOver) timer = time.after(delayMs, () => void round());
  }

  /** One connection. Returns where to go on, or undefined when that is no longer to be had. */
  async function follow(from: string): Promise<string | undefined> {
    abort = new AbortController();
    let version: string | undefined = from;
    const openedAtMs = time.monotonicMs();
    let lines = 0;
    const guard = guardSilence({ time, telemetry }, kind, () => heardAtMs, abort);
    try {
      const response = await source.open(from, WATCH_SECONDS, abort.signal);
      heard();
      if (response.body === null) return version;
      for await (const line of linesOf(response.body)) {
        heard();
        lines += 1;
        if (isOver) continue;
        const event = JSON.parse(line) as { readonly type: string; readonly object: KubeObject & { code?: number } };
        if (event.type === "ERROR") {
          // 410: what is asked for is no longer kept. Anything else: the same remedy.
          telemetry.log("debug", "operator.watch_expired", { kind, code: event.object.code });
          version = undefined;
          break;
        }
        version = event.object.metadata.resourceVersion ?? version;
        if (event.type !== "BOOKMARK") tell(event.object);
      }
    } catch (error) {
      if (isOver) return undefined;
      if (error instanceof KubeError) throw error;
      // The stream broke. That is ordinary: it goes on from where it was.
      if (error instanceof SyntaxError) version = undefined;
      telemetry.log("debug", "operator.watch_ended", { kind, why: reasonOf(error) });
    } finally {
      guard.cancel();
      abort.abort();
    }
    if (!isOver && lines === 0 && time.monotonicMs() - openedAtMs < SHORT_MS)
      throw new KubeError("unavailable", "the connection of a watch was ended at once");
    return version;
  }

  void round();
  return {
    heardAtMs: () => heardAtMs,
    end() {
      isOver = true;
      timer?.cancel();
      abort.abort();
    },
  };
}

/** Gives a connection up when nothing has been heard on it for too long. */
function guardSilence(
  { time, telemetry }: Pick<Ports, "time" | "telemetry">,
  kind: string,
  heardAtMs: () => number,
  connection: AbortController,
): Timer {
  const watch = () => time.after(SILENCE_MS_MAX / 5, check);
  const check = () => {
    const silentMs = time.monotonicMs() - heardAtMs();
    if (silentMs < SILENCE_MS_MAX) {
      pending = watch();
      return;
    }
    telemetry.count("annulus.operator.watches_silent");
    telemetry.log("warn", "operator.watch_silent", { kind, silentMs });
    connection.abort();
  };
  let pending = watch();
  return { cancel: () => pending.cancel() };
}

/** The lines of a stream, without their ends. An unfinished last one is no line: the stream broke off in it. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts.filter((line) => line !== "");
  }
}
