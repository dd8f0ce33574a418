/** Takes and keeps the lease: the thin shell around `core/lease.ts`. */
import { formatInstant } from "../core/instant.ts";
import { LEASES } from "../core/kinds.ts";
import { type LeaseOptions, type LeaseRecord, leads, NO_LEASE, renewed, stepLease } from "../core/lease.ts";
import { type KubeObject, numberAt, textAt } from "../core/objects.ts";
import { type Kube, KubeError, type Telemetry, type Time, type Timer } from "../ports.ts";

export type Leadership = {
  /** Begins to ask for the lease. */
  start(): void;
  /** Whether this process may act at this moment. */
  leads(): boolean;
  /** Gives the lease up, if it is held, so that the next need not wait. */
  stop(): Promise<void>;
};

export type LeadershipOptions = LeaseOptions & {
  readonly namespace: string;
  readonly name: string;
  /** Pause between two looks. */
  readonly retryMs: number;
};

/** @param changed Is told when this process begins to lead, and when it does not any more. */
export function createLeadership(
  ports: { readonly kube: Kube; readonly time: Time; readonly telemetry: Telemetry },
  options: LeadershipOptions,
  changed: (isLeader: boolean) => void,
): Leadership {
  const { kube, time, telemetry } = ports;
  let state = NO_LEASE;
  let wasLeader = false;
  let timer: Timer | undefined;
  let expiry: Timer | undefined;
  let isStopped = false;
  let round: Promise<void> = Promise.resolve();

  const isLeader = () => !isStopped && leads(state, time.monotonicMs(), options);

  function announce(): void {
    expiry?.cancel();
    const now = isLeader();
    if (now && state.renewedAtMs !== undefined)
      expiry = time.after(state.renewedAtMs + options.renewDeadlineMs - time.monotonicMs(), announce);
    if (now === wasLeader) return;
    wasLeader = now;
    telemetry.log("info", now ? "operator.leads" : "operator.follows", { identity: options.identity });
    changed(now);
  }

  async function look(): Promise<void> {
    const found = await kube.read(LEASES, options);
    const startedMs = time.monotonicMs();
    const step = stepLease(state, found === undefined ? undefined : recordOf(found), startedMs, options);
    state = step.state;
    if (step.move === "none" || isStopped) return;
    const written = await write(found, step.move, options.identity);
    state = renewed(state, markOf(written), startedMs);
  }

  function write(
    found: KubeObject | undefined,
    move: "create" | "renew" | "take",
    holder: string,
  ): Promise<KubeObject> {
    const now = formatInstant(time.wallMs()).replace("Z", ".000000Z");
    const before = numberAt(found, "spec", "leaseTransitions") ?? 0;
    const spec = {
      holderIdentity: holder,
      leaseDurationSeconds: Math.ceil(options.durationMs / 1000),
      acquireTime: move === "renew" ? (textAt(found, "spec", "acquireTime") ?? now) : now,
      renewTime: now,
      leaseTransitions: move === "take" ? before + 1 : before,
    };
    const { namespace, name } = options;
    const { apiVersion, kind } = LEASES;
    if (found === undefined) return kube.create(LEASES, { apiVersion, kind, metadata: { namespace, name }, spec });
    return kube.replace(LEASES, { ...found, apiVersion, kind, spec });
  }

  async function turn(): Promise<void> {
    try {
      await look();
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      // Somebody was quicker, or the server is away: the next look tells.
      telemetry.log("debug", "operator.lease_not_written", { why: error.message });
    }
    announce();
    if (!isStopped) timer = time.after(options.retryMs, next);
  }

  function next(): void {
    round = turn();
  }

  return {
    start: next,
    leads: isLeader,
    async stop() {
      const held = isLeader();
      isStopped = true;
      timer?.cancel();
      expiry?.cancel();
      await round;
      if (!held) return;
      try {
        const found = await kube.read(LEASES, options);
        if (found !== undefined && recordOf(found).holder === options.identity) await write(found, "renew", "");
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        telemetry.log("warn", "operator.lease_not_given_up", { why: error.message });
      }
    },
  };
}

function recordOf(lease: KubeObject): LeaseRecord {
  return {
    holder: textAt(lease, "spec", "holderIdentity") ?? "",
    transitions: numberAt(lease, "spec", "leaseTransitions") ?? 0,
    mark: markOf(lease),
  };
}

function markOf(lease: KubeObject): string {
  return lease.metadata.resourceVersion ?? "";
}
