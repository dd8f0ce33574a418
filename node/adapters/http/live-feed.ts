/**
 * What a node knows of its cluster, told to whoever watches: one look an interval, made once for all viewers and not at
 * all while nobody watches.
 *
 *   GET /v1/events ──> viewer ──┐
 *   GET /v1/events ──> viewer ──┴── one timer ──> cluster, metrics, ring ──> one text, written to each
 *
 * Each viewer costs the text that its socket has not taken yet, and no more: one that is behind misses looks. A viewer's
 * right is asked for again with each look, so that a token that was taken away ends its stream. What a look throws that
 * is an answer (there is no ring yet) is told to the viewers; anything else is a bug.
 */
import type { ServerResponse } from "node:http";
import type { Request } from "express";
import { KvError } from "../../core/errors.ts";
import { type ConsoleLook, consoleLook, type Known } from "../../core/watch/console-look.ts";
import { parseMetrics } from "../../core/watch/metrics-text.ts";
import type { Telemetry, Time, Timer } from "../../ports.ts";
import type { Admin, ClusterView } from "./admin-api.ts";
import { clusterJson } from "./cluster-json.ts";
import type { Route } from "./express-parts.ts";
import { parseInteger, parseQuery, queryOf } from "./parse-query.ts";
import { formatInstant } from "./respond.ts";

/** Streams at once; the next one gets 429. */
export const VIEWERS_MAX = 16;
/** Between the end of one look and the beginning of the next. */
export const LOOK_INTERVAL_MS = 1_000;
/** A viewer with more than this unread misses looks until it has read some. */
const UNREAD_BYTES_MAX = 262_144;
const LOOKS_MAX = 1_000_000;

export type LiveFeed = {
  /**
   * Streams looks to a client until it leaves, or `looks` are sent, or the feed is closed.
   *
   * @param options `stillMay` throws the `KvError` for which the stream ends; `isStream` is false for HEAD.
   * @throws {KvError} OVERLOADED: as many watch as may.
   */
  watch(
    response: ServerResponse,
    options: { readonly looks: number; readonly stillMay: () => void; readonly isStream: boolean },
  ): void;
  /** Ends every stream, saying so. Those that come later are ended at once. */
  close(): void;
};

export type LiveFeedPorts = {
  readonly admin: Pick<Admin, "cluster" | "ring" | "readiness" | "metricsText">;
  readonly time: Time;
  readonly telemetry: Telemetry;
  readonly onBug: (error: unknown) => void;
};

type Viewer = { readonly response: ServerResponse; readonly stillMay: () => void; looksLeft: number };

/** Makes the feed of one node. It does nothing until somebody watches. */
export function createLiveFeed({ admin, time, telemetry, onBug }: LiveFeedPorts): LiveFeed {
  const viewers = new Set<Viewer>();
  let timer: Timer | undefined;
  let isLooking = false;
  let isClosed = false;
  let before: Known | undefined;
  /** The event of this interval, for who comes within it. */
  let newest: string | undefined;
  telemetry.gauge("annulus.console.viewers", () => viewers.size);

  async function know(): Promise<Known> {
    const [cluster, text] = await Promise.all([admin.cluster(), admin.metricsText()]);
    const readiness = admin.readiness();
    return {
      atMs: time.wallMs(),
      monotonicMs: time.monotonicMs(),
      cluster: withoutPartitions(cluster),
      metrics: parseMetrics(text),
      notReady: readiness.ready ? undefined : readiness.reason,
      ring: cluster.ringEpoch === 0 ? undefined : admin.ring(),
    };
  }

  async function event(): Promise<string> {
    try {
      const now = await know();
      const look = consoleLook(before, now, { at: formatInstant(now.atMs), intervalMs: LOOK_INTERVAL_MS });
      before = now;
      return eventText("look", look);
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      return eventText("unavailable", { detail: error.message });
    }
  }

  async function lookOnce(): Promise<void> {
    timer = undefined;
    newest = undefined;
    if (viewers.size === 0) {
      before = undefined;
      return;
    }
    isLooking = true;
    try {
      newest = await event();
      for (const viewer of [...viewers]) tell(viewer, newest);
    } catch (error) {
      onBug(error);
    }
    isLooking = false;
    if (!isClosed) timer = time.after(LOOK_INTERVAL_MS, () => void lookOnce());
  }

  function tell(viewer: Viewer, text: string): void {
    const { response } = viewer;
    try {
      viewer.stillMay();
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      return end(viewer, eventText("refused", { detail: error.message }));
    }
    if (response.writableLength > UNREAD_BYTES_MAX) return;
    viewer.looksLeft -= 1;
    if (viewer.looksLeft > 0) response.write(text);
    else end(viewer, text);
  }

  function end(viewer: Viewer, text: string): void {
    viewers.delete(viewer);
    viewer.response.end(text);
  }

  return {
    watch(response, { looks, stillMay, isStream }) {
      if (viewers.size >= VIEWERS_MAX) {
        throw new KvError("OVERLOADED", `Cannot show more: ${VIEWERS_MAX} watch this node, as many as may at once.`);
      }
      response.setHeader("Content-Type", "text/event-stream");
      response.setHeader("Cache-Control", "no-store");
      if (!isStream) return void response.end();
      if (isClosed) return void response.end(STOPPING);
      const viewer: Viewer = { response, stillMay, looksLeft: looks };
      viewers.add(viewer);
      response.once("close", () => viewers.delete(viewer));
      response.flushHeaders();
      // However often clients come, there is one look an interval.
      if (newest !== undefined) tell(viewer, newest);
      else if (!isLooking) void lookOnce();
    },
    close() {
      isClosed = true;
      timer?.cancel();
      timer = undefined;
      for (const viewer of [...viewers]) end(viewer, STOPPING);
    },
  };
}

/** `GET /v1/events`. */
export function eventsRoute(feed: LiveFeed): Route {
  return {
    template: "/v1/events",
    need: "monitor",
    answer(request, response, stillMay) {
      feed.watch(response, { looks: looksOf(request), stillMay, isStream: request.method === "GET" });
    },
  };
}

/** How many looks a stream is to have: as many as the client stays for, unless it says so. */
function looksOf(request: Request): number {
  const looks = parseQuery(queryOf(request), (name) => name === "looks").get("looks");
  return looks === undefined ? Number.POSITIVE_INFINITY : parseInteger("looks", looks, { min: 1, max: LOOKS_MAX });
}

function eventText(name: "look" | "unavailable" | "refused" | "stopping", data: ConsoleLook | object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

const STOPPING = eventText("stopping", { detail: "This node is being stopped." });

/** The list of partitions is the one large part of the cluster's view, and the page shows none of it. */
function withoutPartitions(view: ClusterView): Known["cluster"] {
  const { repair, transition, ...cluster } = clusterJson(view);
  const { partitions: _, ...summary } = repair;
  const startedAtMs = view.transition?.startedAtMs ?? 0;
  return { ...cluster, repair: summary, transition: transition === null ? null : { ...transition, startedAtMs } };
}
