/** Events for `kubectl describe`: one object for each distinct message, counted when it is told again. */
import { formatInstant } from "../core/instant.ts";
import { EVENTS } from "../core/kinds.ts";
import { MANAGER } from "../core/names.ts";
import type { KubeObject } from "../core/objects.ts";
import { type Kube, KubeError, type Random, type Telemetry, type Time } from "../ports.ts";

export type Event = {
  readonly type: "Normal" | "Warning";
  /** A constant in UpperCamelCase. */
  readonly reason: string;
  readonly message: string;
};

/** Whom an event is about. */
export type Regarded = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
};

export type Events = {
  /** Tells it, unless it was told a moment ago. Never fails: an event that is lost is only counted. */
  tell(object: Regarded, event: Event): Promise<void>;
};

/** How long the same words about the same object are not told again. */
const QUIET_MS = 600_000;
/** Distinct events that are remembered for that. */
const REMEMBERED_MAX = 1_000;
const MESSAGE_LENGTH_MAX = 1_000;

/** @param options `instance`: this operator's name, for `reportingInstance`. */
export function createEvents(
  ports: { readonly kube: Kube; readonly time: Time; readonly random: Random; readonly telemetry: Telemetry },
  options: { readonly instance: string },
): Events {
  const { kube, time, random, telemetry } = ports;
  const toldMs = new Map<string, number>();

  function wasTold(key: string): boolean {
    const nowMs = time.monotonicMs();
    const before = toldMs.get(key);
    if (before !== undefined && nowMs - before < QUIET_MS) return true;
    toldMs.delete(key);
    toldMs.set(key, nowMs);
    for (const oldest of toldMs.keys()) {
      if (toldMs.size <= REMEMBERED_MAX) break;
      toldMs.delete(oldest);
    }
    return false;
  }

  return {
    async tell(regarded, { type, reason, message }) {
      const { name, namespace, uid } = regarded.metadata;
      if (wasTold(`${uid} ${reason} ${message}`)) return;
      const suffix = `${random.uint32().toString(16)}${random.uint32().toString(16)}`;
      const object: KubeObject = {
        apiVersion: EVENTS.apiVersion,
        kind: EVENTS.kind,
        metadata: { name: `${name}.${suffix}`, namespace },
        regarding: { apiVersion: regarded.apiVersion, kind: regarded.kind, name, namespace, uid },
        eventTime: formatInstant(time.wallMs()).replace("Z", ".000000Z"),
        reportingController: `annulus.dev/${MANAGER}`,
        reportingInstance: options.instance,
        action: "Reconcile",
        type,
        reason,
        note: message.slice(0, MESSAGE_LENGTH_MAX),
      };
      try {
        await kube.create(EVENTS, object);
      } catch (error) {
        if (!(error instanceof KubeError)) throw error;
        telemetry.count("annulus.operator.events_lost");
        telemetry.log("debug", "operator.event_lost", { reason, why: error.message });
      }
    },
  };
}
