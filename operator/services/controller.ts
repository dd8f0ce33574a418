/**
 * From what is heard of to what is looked at: watches tell of objects, each of which names a cluster, which is put on
 * the queue. Only the leader works; who becomes the leader looks at every cluster first.
 */
import { CLAIMS, CLUSTERS, MACHINES, OWNED_KINDS, PODS, SERVICE_MONITORS } from "../core/kinds.ts";
import { INSTANCE_LABEL, NAME_LABEL } from "../core/names.ts";
import type { KubeObject } from "../core/objects.ts";
import { Recent } from "../core/recent.ts";
import { type Kube, KubeError, type Random, type Telemetry, type Time, type Watching } from "../ports.ts";
import type { Reconciler } from "./reconciler.ts";
import { createWorkQueue, type WorkQueue } from "./work-queue.ts";

export type Controller = {
  /** Begins to watch and to work. */
  start(): void;
  /** Ends both; resolves when no run is under way. */
  stop(): Promise<void>;
};

/** How often everything is listed anew, whatever the watches said. */
const RESYNC_MS = 300_000;
/** What is there is heard of that often at least. */
const HEARD_MS = 3 * RESYNC_MS;
const QUEUE = { workersMax: 4, backoffMsMin: 500, backoffMsMax: 60_000 };

/** Makes the controller of one spell of leadership. */
export function createController(parts: {
  readonly kube: Kube;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly reconciler: Reconciler;
  /** The one namespace to see to; empty: all. */
  readonly watchNamespace: string;
}): Controller {
  const { kube, time, telemetry, reconciler } = parts;
  const watches: Watching[] = [];
  /** By key: what was last heard of it. */
  const clusters = new Map<string, string>();
  const queue: WorkQueue = createWorkQueue(parts, work, report, QUEUE);

  async function work(key: string): Promise<number | undefined> {
    const [namespace = "", name = ""] = key.split("/");
    const startedMs = time.monotonicMs();
    telemetry.count("annulus.operator.runs");
    const againMs = await reconciler.reconcile({ namespace, name });
    telemetry.observe("annulus.operator.run.duration", time.monotonicMs() - startedMs);
    if (againMs === undefined) clusters.delete(key);
    return againMs;
  }

  function report(key: string, error: unknown, againMs: number): void {
    telemetry.count("annulus.operator.runs_failed");
    // A bug. No run keeps anything that it could have spoilt, and what one stumbles over may be what somebody wrote into one
    // cluster's objects: a process that ended for it would do so again and again, and all other clusters wait.
    if (!(error instanceof KubeError))
      return telemetry.log("error", "operator.bug", { cluster: key, cause: error, againMs });
    const level = error.failure === "refused" ? "error" : "warn";
    telemetry.log(level, "operator.run_failed", { cluster: key, failure: error.failure, why: error.message, againMs });
  }

  /** What a cluster's status says is the operator's own word: to look for it again would never end. */
  function hearOfCluster({ metadata }: KubeObject): void {
    const { uid, generation, annotations, deletionTimestamp } = metadata;
    const key = `${metadata.namespace}/${metadata.name}`;
    const digest = JSON.stringify([uid, generation, annotations, deletionTimestamp]);
    if (clusters.get(key) === digest) return;
    clusters.set(key, digest);
    queue.add(key);
  }

  function hearOfPart({ metadata }: KubeObject): void {
    const name = metadata.labels?.[INSTANCE_LABEL];
    const key = `${metadata.namespace}/${name}`;
    if (clusters.has(key)) queue.add(key);
  }

  /** Machines beat every few seconds; what matters of one shows in the pods on it, or is old by the time it matters. */
  function hearOfMachine(): (machine: KubeObject) => void {
    const known = new Recent<string>(time, HEARD_MS);
    return ({ metadata, status }) => {
      const ready = (status as { conditions?: { type: string; status: string }[] } | undefined)?.conditions?.find(
        ({ type }) => type === "Ready",
      );
      const digest = `${metadata.deletionTimestamp} ${ready?.status} ${JSON.stringify(metadata.labels)}`;
      if (known.get(metadata.name) === digest) return;
      known.set(metadata.name, digest);
      for (const key of clusters.keys()) queue.add(key);
    };
  }

  return {
    start() {
      telemetry.gauge("annulus.operator.queue_depth", () => queue.depth());
      telemetry.gauge("annulus.operator.clusters", () => clusters.size);
      const selector = `${NAME_LABEL}=annulus`;
      const namespace = parts.watchNamespace;
      const own = { namespace, resyncMs: RESYNC_MS, selector };
      watches.push(kube.watch(CLUSTERS, { namespace, resyncMs: RESYNC_MS }, hearOfCluster));
      for (const kind of [PODS, CLAIMS, ...OWNED_KINDS])
        if (kind !== SERVICE_MONITORS) watches.push(kube.watch(kind, own, hearOfPart));
      watches.push(kube.watch(MACHINES, { resyncMs: RESYNC_MS }, hearOfMachine()));
    },
    async stop() {
      for (const watch of watches) watch.end();
      watches.length = 0;
      await queue.stop();
    },
  };
}
