/**
 * Brings one cluster a step nearer to its spec: observe, plan, carry out, say so.
 *
 * It is given a name, never an event. Nothing is kept between runs but the nodes' last refusal, which is only told and waited out, when
 * the last change was seen to have ended, the sizes that the load called for, of which only a recommendation is made, and the newest
 * ring, which does not age. A run that fails, or is cut off anywhere, is begun again: each action is safe to do twice.
 */
import { type Cluster, type Presets, parseCluster } from "../api/kvcluster.ts";
import { adminTarget } from "../core/admin-target.ts";
import { condition } from "../core/conditions.ts";
import { CLUSTERS, kindOf, STATEFUL_SETS } from "../core/kinds.ts";
import { inPlaceOf, isEqual, type KubeObject, plain, statusOf } from "../core/objects.ts";
import { plan } from "../core/plan.ts";
import { Recent } from "../core/recent.ts";
import type { Action, World } from "../core/world.ts";
import {
  type CertificateMaker,
  type Kube,
  KubeError,
  type NodeAdmin,
  NodeSilentError,
  type Random,
  type Telemetry,
  type Time,
} from "../ports.ts";
import type { Events } from "./events.ts";
import { issueCertificates } from "./issuer.ts";
import { askOnceMore, lookForOwner, lookForPod, lookOnceMore } from "./last-look.ts";
import type { Observer } from "./observe.ts";
import { makeTokens } from "./token-maker.ts";

export type Reconciler = {
  /**
   * One run.
   *
   * @returns How long to wait before the next, if nothing is heard of until then; undefined when the cluster is gone.
   * @throws {KubeError} What the API server would not do.
   */
  reconcile(place: { readonly namespace: string; readonly name: string }): Promise<number | undefined>;
};

/** How long what is remembered of a cluster that is no longer looked at is kept. */
const KEPT_MS = 600_000;

/** @param parts `mayAct`: whether this process still leads; asked before every action. */
export function createReconciler(parts: {
  readonly kube: Kube;
  readonly admin: NodeAdmin;
  readonly certificates: CertificateMaker;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly events: Events;
  readonly observe: Observer;
  readonly presets: Presets;
  readonly mayAct: () => boolean;
}): Reconciler {
  const { kube, admin, time, telemetry, events, observe, presets } = parts;
  const refusals = new Recent<World["refusal"]>(time, KEPT_MS);
  const ends = new Recent<World["ended"]>(time, KEPT_MS);
  const sizesWanted = new Recent<World["sizesWanted"]>(time, KEPT_MS);

  async function read(place: { namespace: string; name: string }): Promise<Cluster | undefined> {
    const object = await kube.read(CLUSTERS, place);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return undefined;
    const parsed = parseCluster(object, presets);
    if (!parsed.ok) throw new KubeError("refused", `cannot read the KVCluster: ${parsed.problems.join("; ")}`);
    return parsed.cluster;
  }

  /** Looks at what the action takes away once more. */
  async function lookAgain(world: World, action: Action): Promise<void> {
    if (action.kind === "apply" && action.proof !== undefined) await askOnceMore(parts, world, action.proof);
    if (action.kind === "apply" && isClaimToOwn(action.object)) await lookForOwner(kube, world.cluster.metadata);
    if (action.kind === "remove" && action.proof !== undefined)
      await lookOnceMore(parts, world.cluster.metadata.namespace, action.proof);
    if (action.kind === "remove" && action.ring !== undefined) await askOnceMore(parts, world, action.ring);
    if (action.kind === "remove" && action.vacant !== undefined)
      await lookForPod(parts, world.cluster.metadata, action.vacant);
  }

  async function carryOut(world: World, action: Action): Promise<void> {
    const { namespace } = world.cluster.metadata;
    await lookAgain(world, action);
    if (!parts.mayAct()) throw new KubeError("unavailable", "this operator does not lead any more");
    telemetry.count(`annulus.operator.actions.${action.kind.toLowerCase()}`);
    switch (action.kind) {
      case "apply":
        if (action.isFirst === true) return void (await kube.create(kindOf(action.object.kind), action.object));
        return kube.apply(kindOf(action.object.kind), asSeen(world, action.object));
      case "issue": {
        const pods = action.certificates.map(({ pod }) => pod).join(", ") || "the authority";
        telemetry.log("info", "operator.issues_certificates", { pods, why: action.why });
        await issueCertificates(parts, world, action);
        const message = `${pods}: ${action.why}`;
        return events.tell(world.cluster, { type: "Normal", reason: "CertificatesIssued", message });
      }
      case "makeTokens": {
        const { why } = action;
        telemetry.log("info", "operator.makes_tokens", { cluster: world.cluster.metadata.name, why });
        await makeTokens(parts, world);
        return events.tell(world.cluster, { type: "Normal", reason: "TokenMade", message: why });
      }
      case "remove": {
        const { objectKind, name, uid, graceSeconds, proof, why } = action;
        telemetry.log("info", "operator.removes", { kind: objectKind, name, why });
        const resourceVersion = objectKind === "Pod" ? proof?.pod.resourceVersion : undefined;
        await kube.remove(kindOf(objectKind), { namespace, name }, { uid, resourceVersion, graceSeconds });
        return events.tell(world.cluster, {
          type: "Normal",
          reason: `Removed${objectKind}`,
          message: `${name}: ${why}`,
        });
      }
      case "askChange":
      case "cancelChange":
        return askNode(world, action);
    }
  }

  /**
   * In their order, for one may rest on the one before: up to the first that fails, but for those at the side. Where it is refused for
   * good, what is lost is given up all the same: that rests on a look of its own, and would wait for as long as it stands.
   */
  async function carryOutAll(world: World, actions: readonly Action[]) {
    const asides: string[] = [];
    let failure: unknown;
    for (const action of actions) {
      if (failure !== undefined && !isRecovery(action)) continue;
      try {
        await carryOut(world, action);
      } catch (error) {
        const isEnd = !(error instanceof KubeError) || !isFinal(error);
        if (!isEnd && action.kind === "apply" && action.isAside === true) {
          telemetry.log("error", "operator.refused", { cluster: world.cluster.metadata.name, why: error.message });
          asides.push(error.message);
          continue;
        }
        failure ??= error;
        // A pod does not go without its volume.
        if (isEnd || isRecovery(action)) break;
      }
    }
    return { failure, asides };
  }

  async function askNode(world: World, action: Extract<Action, { through: string }>): Promise<void> {
    const { cluster, pods } = world;
    const pod = pods.find(({ name }) => name === action.through);
    if (pod?.ip === undefined) return;
    const target = adminTarget(world, pod, pod.ip);
    const answer = await (action.kind === "askChange"
      ? admin.change(target, action.request)
      : admin.cancel(target, action.id));
    const reason = action.kind === "askChange" ? "ChangeAsked" : "ChangeCancelled";
    if (answer.kind === "accepted") {
      refusals.set(cluster.metadata.uid, undefined);
      telemetry.log("info", "operator.change_accepted", {
        cluster: cluster.metadata.name,
        id: answer.id,
        why: action.why,
      });
      return events.tell(cluster, { type: "Normal", reason, message: action.why });
    }
    refusals.set(cluster.metadata.uid, { atMs: time.wallMs(), why: answer.why });
    telemetry.log("warn", "operator.change_refused", { cluster: cluster.metadata.name, why: answer.why });
    return events.tell(cluster, { type: "Warning", reason: "ChangeRefused", message: `${action.why}: ${answer.why}` });
  }

  /** A change is seen to end once, also where that cannot be written down. */
  function rememberEnd(
    { metadata, status: before }: Cluster,
    { lastChangeAt, ringEpoch = 0 }: Cluster["status"],
  ): void {
    if (lastChangeAt === before.lastChangeAt || ends.get(metadata.uid)?.epoch === ringEpoch) return;
    ends.set(metadata.uid, { epoch: ringEpoch, atMs: time.wallMs() });
  }

  async function writeStatus(cluster: Cluster, status: Cluster["status"]): Promise<void> {
    const wanted = plain(status);
    if (isEqual(cluster.status, wanted) || !parts.mayAct()) return;
    await kube.apply(CLUSTERS, statusOf(cluster, wanted), { subresource: "status" });
  }

  /** Events tell what a condition newly says; the condition itself stays to be read. */
  async function tellChanges(cluster: Cluster, status: Cluster["status"]): Promise<void> {
    for (const { type, status: now, reason, message } of status.conditions ?? []) {
      const before = cluster.status.conditions?.find((other) => other.type === type);
      if (before?.status === now && before.reason === reason) continue;
      const isBad = (type === "Degraded" && now === "True") || (type === "Available" && now === "False");
      await events.tell(cluster, { type: isBad ? "Warning" : "Normal", reason, message: `${type}=${now}: ${message}` });
    }
    const { replicas, reason, held } = status.recommendation ?? {};
    if (replicas === undefined || replicas === cluster.status.recommendation?.replicas) return;
    const but = held === undefined ? "" : `; held: ${held}`;
    await events.tell(cluster, {
      type: "Normal",
      reason: "SizeRecommended",
      message: `${replicas} members: ${reason}${but}`,
    });
  }

  return {
    async reconcile(place) {
      const cluster = await read(place);
      if (cluster === undefined) return undefined;
      const { uid } = cluster.metadata;
      const remembered = { refusal: refusals.get(uid), ended: ends.get(uid), sizesWanted: sizesWanted.get(uid) ?? [] };
      const world = await observe(cluster, remembered);
      const decided = plan(world);
      sizesWanted.set(uid, decided.sizesWanted);
      rememberEnd(cluster, decided.status);
      const { failure, asides } = await carryOutAll(world, decided.actions);
      const told = withAsides(decided.status, asides, world);
      const status = failure === undefined ? told : withFailure(told, failure, world);
      await writeStatus(cluster, status);
      await tellChanges(cluster, status);
      if (failure !== undefined && !(failure instanceof NodeSilentError)) throw failure;
      return decided.againMs;
    },
  };
}

/**
 * A StatefulSet is changed only as it was seen: another operator may have raised its number since, for members that this
 * one knows nothing of and would take the pods of.
 */
function asSeen({ objects }: World, object: KubeObject): KubeObject {
  if (object.kind !== STATEFUL_SETS.kind) return object;
  return inPlaceOf(objects.get(`${object.kind}/${object.metadata.name}`), object);
}

/** Whether it gives up what is lost. */
function isRecovery(action: Action): boolean {
  return action.kind === "remove" && action.proof !== undefined;
}

/** Whether asking again will not help. */
function isFinal({ failure }: KubeError): boolean {
  return failure === "refused" || failure === "not-found";
}

/** What could not be done is said as a condition, so that `kubectl describe` shows it. */
function withFailure(status: Cluster["status"], failure: unknown, world: World): Cluster["status"] {
  const isRefused = failure instanceof KubeError && failure.failure === "refused";
  const message = failure instanceof Error ? failure.message : String(failure);
  return isRefused ? withRefusal(status, message, world) : withTrue(status, "Progressing", "Retrying", message, world);
}

/** What is refused at the side stands behind what is worse. */
function withAsides(status: Cluster["status"], asides: readonly string[], world: World): Cluster["status"] {
  if (asides.length === 0) return status;
  const worse = status.conditions?.find(({ type, status: now }) => type === "Degraded" && now === "True");
  if (worse === undefined) return withRefusal(status, asides.join("; "), world);
  return withTrue(status, worse.type, worse.reason, `${worse.message} Refused: ${asides.join("; ")}`, world);
}

function withRefusal(status: Cluster["status"], message: string, world: World): Cluster["status"] {
  return withTrue(status, "Degraded", "ApplyRefused", message, world);
}

/** The status with a condition that is made True. */
function withTrue(
  status: Cluster["status"],
  type: string,
  reason: string,
  text: string,
  { cluster, nowMs }: World,
): Cluster["status"] {
  const occasion = { before: cluster.status.conditions, generation: cluster.metadata.generation, nowMs };
  const verdict = { status: "True", reason, message: text.slice(0, 1000) } as const;
  const conditions = (status.conditions ?? []).map((one) =>
    one.type === type ? condition(occasion, type, verdict) : one,
  );
  return { ...status, conditions };
}

/** What else is owned holds no data. */
function isClaimToOwn({ kind, metadata }: KubeObject): boolean {
  return kind === "PersistentVolumeClaim" && metadata.ownerReferences !== undefined;
}
