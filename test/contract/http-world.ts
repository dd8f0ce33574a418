/** Runs the data API's handler in its two mounts, over a Coordinator in memory and a clock that tests turn. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import express, { type NextFunction } from "express";
import {
  createDataServer,
  type DataServerOptions,
  type DataServerPorts,
} from "../../node/adapters/http/data-server.ts";
import { createKvHandler, isKvPath } from "../../node/adapters/http/kv-handler.ts";
import { KvError } from "../../node/core/errors.ts";
import type { GaugeReading, Telemetry, Time, Timer } from "../../node/ports.ts";
import { createHttpModel, type HttpModel, MODEL_BOUNDS, MODEL_CLIENT_RING } from "./http-model.ts";

/** Durations stand still until `advance`. */
export type TestTime = Time & {
  advance(durationMs: number): void;
  /** Calls that wait. */
  readonly waiting: number;
};

export function createTestTime(): TestTime {
  let nowMs = 0;
  const timers = new Map<Timer, { dueMs: number; run: () => void }>();
  return {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    after(delayMs, run) {
      const timer: Timer = { cancel: () => timers.delete(timer) };
      timers.set(timer, { dueMs: nowMs + delayMs, run });
      return timer;
    },
    get waiting() {
      return timers.size;
    },
    advance(durationMs) {
      nowMs += durationMs;
      for (const [timer, { dueMs, run }] of [...timers]) {
        if (dueMs <= nowMs && timers.delete(timer)) run();
      }
    },
  };
}

/** Counts what is counted. */
export function createTestTelemetry(): Telemetry & {
  readonly counts: Map<string, number>;
  gauges: Map<string, () => GaugeReading>;
} {
  const counts = new Map<string, number>();
  const gauges = new Map<string, () => GaugeReading>();
  return {
    counts,
    gauges,
    count: (name, amount = 1) => counts.set(name, (counts.get(name) ?? 0) + amount),
    observe: (name) => counts.set(name, (counts.get(name) ?? 0) + 1),
    gauge: (name, read) => gauges.set(name, read),
    log: () => {},
  };
}

export const WORLD_OPTIONS: DataServerOptions = {
  member: "n1",
  durability: "os",
  pairBytesMax: 10_240,
  inFlightMax: 8,
  bodyTimeoutMs: 5_000,
  host: "127.0.0.1",
  port: 0,
  connectionsMax: 1_000,
  requestsPerConnectionMax: 10_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  keepAliveTimeoutMs: 10_000,
};

export type HttpWorld = {
  readonly port: number;
  readonly model: HttpModel;
  readonly time: TestTime;
  readonly telemetry: ReturnType<typeof createTestTelemetry>;
  /** Says from now on whether the process is waking up. */
  setWaking(isWaking: boolean): void;
  /** From now on `GET /v1/ring` finds none. */
  loseRing(): void;
  /** What `onBug` was told. */
  readonly bugs: unknown[];
  /** Requests in work. */
  inFlight(): number;
  stop(graceMs?: number): Promise<void>;
};

type Mounted = { readonly start: () => Promise<number>; readonly stop: (graceMs: number) => Promise<void> };
export type Mount = (ports: DataServerPorts, options: DataServerOptions) => Mounted;

/** As in production: the handler before Express on one server. */
export const inFront: Mount = (ports, options) => createDataServer(ports, options);

/** The same handler as a middleware of Express. */
export const insideExpress: Mount = (ports, options) => {
  const handler = createKvHandler({ ...ports, draining: () => false }, options);
  const app = express();
  app.disable("x-powered-by");
  app.use((request: IncomingMessage, response: ServerResponse, next: NextFunction) => {
    if (isKvPath(request.url ?? "")) handler(request, response);
    else next();
  });
  const server = createServer(app);
  server.on("checkContinue", app);
  return {
    start: () =>
      new Promise((resolve) => {
        server.listen(options.port, options.host, () => resolve((server.address() as AddressInfo).port));
      }),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

/** Starts one world; the options override `WORLD_OPTIONS`. Without a gate everybody may do everything. */
export async function startWorld(
  mount: Mount,
  options: Partial<DataServerOptions> = {},
  { gate }: Pick<DataServerPorts, "gate"> = {},
): Promise<HttpWorld> {
  const model = createHttpModel();
  const time = createTestTime();
  const telemetry = createTestTelemetry();
  const bugs: unknown[] = [];
  const ports = {
    coordinator: model,
    telemetry,
    time,
    bounds: () => MODEL_BOUNDS,
    ring: () => {
      if (world.hasRing) return MODEL_CLIENT_RING;
      throw new KvError("NOT_READY", "Cannot serve yet: this node has no ring.");
    },
    isWaking: () => world.isWaking,
    onBug: (error: unknown) => bugs.push(error),
    gate,
  };
  const world = { isWaking: false, hasRing: true };
  const mounted = mount(ports, { ...WORLD_OPTIONS, ...options });
  return {
    port: await mounted.start(),
    model,
    time,
    telemetry,
    setWaking(isWaking) {
      world.isWaking = isWaking;
    },
    loseRing() {
      world.hasRing = false;
    },
    bugs,
    inFlight: () => {
      const active = [...telemetry.gauges].filter(([name]) => name.startsWith("http.server.active_requests{"));
      return active.reduce((sum, [, read]) => sum + Number(read()), 0);
    },
    stop: (graceMs = 0) => mounted.stop(graceMs),
  };
}
