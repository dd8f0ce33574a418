/** The operator that ships, several times over: each a process that may be killed, held up and started again. */
import { nodeAdminOver } from "../../../operator/adapters/node-admin.ts";
import { createOperator, type Operator } from "../../../operator/operator.ts";
import type { Time } from "../../../operator/ports.ts";
import { NO_CERTIFICATES } from "../../operator/no-certificates.ts";
import type { SimulatedCluster } from "../cluster.ts";
import type { SeededRandom } from "../random.ts";
import { drawMonotonicMs, type Process } from "../simulator.ts";
import type { AdminPorts } from "./admin-ports.ts";
import type { SimulatedApiServer } from "./api-server.ts";

/** As in production, and shorter, so that a run sees several spells of leadership. */
const LEASE_MS = 6_000;
const RENEW_DEADLINE_MS = 4_000;
const RETRY_MS = 800;

type Running = { readonly process: Process; readonly operator: Operator };

type Parts = {
  readonly cluster: SimulatedCluster;
  readonly server: SimulatedApiServer;
  readonly admin: AdminPorts;
  readonly random: SeededRandom;
};

export class Operators {
  /** How often one was started. */
  starts = 0;
  readonly #parts: Parts;
  readonly #running: (Running | undefined)[];
  readonly #isSharedLease: boolean;

  /** @param options `isSharedLease`: as it should be; else each has a lease of its own, and all lead at once. */
  constructor(parts: Parts, options: { readonly count: number; readonly isSharedLease: boolean }) {
    this.#parts = parts;
    this.#isSharedLease = options.isSharedLease;
    this.#running = Array.from({ length: options.count }, () => undefined);
  }

  get count(): number {
    return this.#running.length;
  }

  /** The processes that run. */
  get processes(): readonly Process[] {
    return this.#running.flatMap((running) => running?.process ?? []);
  }

  startAll(): void {
    this.#running.forEach((running, index) => {
      if (running === undefined) this.start(index);
    });
  }

  /** Starts one, unless it runs. */
  start(index: number): void {
    if (this.#running[index] !== undefined) return;
    const { cluster, server, admin, random } = this.#parts;
    const { simulator } = cluster;
    this.starts += 1;
    const identity = `operator-${index}-${this.starts}`;
    const process = simulator.createProcess(identity);
    const own = random.stream(identity);
    const clock = { wallSkewMs: own.between(-1_000, 1_000), driftPpm: own.between(-200, 200) };
    const exact = simulator.timeOf(process, clock, drawMonotonicMs(own.stream("monotonic clock")));
    // As timers of Node.js: whole ms. One that is due in a trillionth of a ms would be due at this very instant, for ever.
    const time: Time = { ...exact, after: (delayMs, run) => exact.after(Math.ceil(delayMs), run) };
    const telemetry = {
      count: (metric: string, amount = 1) => cluster.counters.set(metric, (cluster.counters.get(metric) ?? 0) + amount),
      observe() {},
      gauge() {},
      log: (_level: string, event: string, fields?: Record<string, unknown>) => {
        simulator.tell(`${identity} ${event} ${JSON.stringify(fields ?? {})}`);
        // It goes on with other clusters; the run is over.
        if (event === "operator.bug") cluster.bug ??= fields?.cause;
      },
    };
    const operator = createOperator(
      {
        kube: server.of(process),
        admin: nodeAdminOver(admin.of(process), time),
        certificates: NO_CERTIFICATES,
        time,
        random: own,
        telemetry,
      },
      {
        policy: { nodeImage: "annulus:good", operatorNamespace: "annulus-system", adminTls: false },
        watchNamespace: "",
        lease: {
          identity,
          namespace: "annulus-system",
          name: this.#isSharedLease ? "annulus-operator" : `annulus-operator-${index}`,
          durationMs: LEASE_MS,
          renewDeadlineMs: RENEW_DEADLINE_MS,
          retryMs: RETRY_MS,
        },
      },
    );
    this.#running[index] = { process, operator };
    simulator.tell(`start ${identity}`);
    // In an event of its own: what goes wrong while it starts is the process's.
    simulator.after(0, () => operator.start(), process);
  }

  /** Ends one at once; returns its number. */
  kill(process: Process): number | undefined {
    const index = this.#running.findIndex((running) => running?.process === process);
    if (index < 0) return undefined;
    process.alive = false;
    this.#running[index] = undefined;
    this.#parts.cluster.simulator.tell(`kill ${process.name}`);
    return index;
  }
}
