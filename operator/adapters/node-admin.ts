/**
 * The NodeAdmin port over HTTP: what a node's admin port says, checked and brought into the operator's terms.
 *
 * Fields that are not known are ignored, for nodes may be newer than the operator. A field that is missing is missing:
 * it becomes undefined, never a zero.
 */
import { Agent, errors, fetch } from "undici";
import { z } from "zod";
import { ADMIN_PORT } from "../core/names.ts";
import { Recent } from "../core/recent.ts";
import type { ChangeRequest, Health, NodeAnswer, RingDocument } from "../core/world.ts";
import {
  type AdminTarget,
  type ChangeAnswer,
  type NodeAdmin,
  NodeSilentError,
  type Rings,
  type Time,
} from "../ports.ts";
import { reasonOf } from "./kube-http.ts";

const TIMEOUT_MS = 3_000;
/** The ring of 65536 partitions with long names is some 50 MiB. */
const ANSWER_BYTES_MAX = 64 * 2 ** 20;
/** How long the connections of a pod that is no longer asked are kept. */
const AGENT_KEPT_MS = 600_000;
const STATES = ["joining", "active", "rebuilding", "leaving", "left"] as const;

const Transition = z.object({
  id: z.union([z.string(), z.number()]).transform(String),
  phase: z.string().optional(),
  state: z.string().optional(),
  kind: z.string().optional(),
  movedBytes: z.number().optional(),
  totalBytes: z.number().optional(),
  startedAt: z.string().optional(),
});

const ClusterAnswer = z.object({
  id: z.string(),
  node: z.string(),
  access: z.string().optional(),
  ringEpoch: z.int(),
  members: z.array(
    z.object({
      name: z.string(),
      actor: z.string().optional(),
      state: z.enum(STATES),
      health: z.enum(["up", "suspect", "down"]),
    }),
  ),
  hints: z.object({ complete: z.boolean(), waiting: z.array(z.object({ target: z.string(), count: z.int() })) }),
  transition: Transition.nullish(),
  repair: z.object({ owned: z.int(), oldest: z.string().optional() }),
  actor: z.string().optional(),
});

const RingAnswer = z.object({
  epoch: z.int(),
  n: z.int(),
  r: z.int(),
  w: z.int(),
  mode: z.string(),
  members: z.array(
    z.object({
      name: z.string(),
      actor: z.string().optional(),
      zone: z.string(),
      weight: z.number(),
      state: z.enum(STATES),
    }),
  ),
  preferenceLists: z.array(z.array(z.string())),
});

/** Sends one request to a node's admin port. Rejects with a `NodeSilentError` when no answer comes. */
export type AdminCall = (
  target: AdminTarget,
  request: { readonly method: string; readonly path: string; readonly body?: unknown },
) => Promise<{ readonly status: number; readonly text: string }>;

/** @param time Stamps what a node says of the present. */
export function createNodeAdmin(time: Time, port: number = ADMIN_PORT): NodeAdmin {
  const agents = new Agents(time);
  const plain = new Agent({ maxResponseSize: ANSWER_BYTES_MAX });
  return nodeAdminOver(async (target, { method, path, body }) => {
    const host = target.ip.includes(":") ? `[${target.ip}]` : target.ip;
    try {
      const response = await fetch(`${target.tls === undefined ? "http" : "https"}://${host}:${port}${path}`, {
        method,
        // A token goes to whom it is meant for, and nowhere that one points to.
        redirect: "error",
        dispatcher: target.tls === undefined ? plain : agents.of(target.tls),
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          ...(target.token === undefined ? {} : { Authorization: `Bearer ${target.token}` }),
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, text: await response.text() };
    } catch (cause) {
      const isTooLong = cause instanceof Error && cause.cause instanceof errors.ResponseExceededMaxSizeError;
      throw new NodeSilentError(isTooLong ? "its answer is too long" : reasonOf(cause), { cause });
    }
  }, time);
}

/** A pool of connections for each name that is certified: a pod is reached by its address, and known by its name. */
class Agents {
  readonly #agents: Recent<{ readonly authorities: string; readonly agent: Agent }>;

  constructor(time: Time) {
    this.#agents = new Recent(time, AGENT_KEPT_MS, ({ agent }) => void agent.close());
  }

  of({ authorities, name }: NonNullable<AdminTarget["tls"]>): Agent {
    const known = this.#agents.get(name);
    if (known?.authorities === authorities) return known.agent;
    const connect = { ca: authorities, servername: name, minVersion: "TLSv1.3" } as const;
    const agent = new Agent({ connect, maxResponseSize: ANSWER_BYTES_MAX });
    this.#agents.set(name, { authorities, agent });
    return agent;
  }
}

/** The port over any way to a node: HTTP in production, virtual time in the simulation. */
export function nodeAdminOver(send: AdminCall, time: Time): NodeAdmin {
  const call = (target: AdminTarget, method: string, path: string, body?: unknown) =>
    send(target, { method, path, ...(body === undefined ? {} : { body }) });

  async function readAs<Schema extends z.ZodType>(target: AdminTarget, path: string, schema: Schema) {
    const { status, text } = await call(target, "GET", path);
    // "No ring yet" is an answer, and the only one besides a good one.
    if (status === 503) return undefined;
    if (status !== 200) throw new NodeSilentError(`${path} is answered ${status}`);
    return understood(schema, text, path);
  }

  async function diskOf(target: AdminTarget): Promise<NodeAnswer["disk"]> {
    const { status, text } = await call(target, "GET", "/metrics");
    if (status !== 200) return undefined;
    const used = figure(text, "annulus_store_table_bytes");
    const free = figure(text, "annulus_store_free_bytes");
    return used === undefined || free === undefined ? undefined : { usedBytes: used, freeBytes: free };
  }

  async function ringOf(target: AdminTarget): Promise<RingDocument | undefined> {
    const ring = await readAs(target, "/v1/ring", RingAnswer);
    return ring === undefined ? undefined : documentOf(ring);
  }

  async function ask(
    target: AdminTarget,
    rings?: Rings,
    { withoutDisk = false }: { readonly withoutDisk?: boolean } = {},
  ): Promise<NodeAnswer> {
    const [cluster, disk] = await Promise.all([
      readAs(target, "/v1/cluster", ClusterAnswer),
      withoutDisk ? undefined : diskOf(target),
    ]);
    if (cluster === undefined) throw new NodeSilentError("it does not tell its status yet");
    const read = () => ringOf(target);
    const ring = await (rings?.of({ id: cluster.id, epoch: cluster.ringEpoch }, read) ?? read());
    return { ...saidOf(cluster, ring, time.wallMs()), disk };
  }

  async function order(target: AdminTarget, method: string, path: string, body?: unknown): Promise<ChangeAnswer> {
    const { status, text } = await call(target, method, path, body);
    if (status === 204) return { kind: "accepted", id: decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)) };
    if (status >= 200 && status < 300) {
      const { id } = understood(z.object({ id: z.union([z.string(), z.number()]).transform(String) }), text, path);
      return { kind: "accepted", id };
    }
    // It has not heard of this token yet, or no more: nothing was said about the change itself.
    const isUnheard = status === 401 || status === 403;
    if (isUnheard || (status >= 500 && status !== 501))
      throw new NodeSilentError(`${path} is answered ${status}: ${detailOf(text)}`);
    return { kind: "refused", why: detailOf(text) };
  }

  return {
    ask,
    change: (target, request: ChangeRequest) => order(target, "POST", "/v1/cluster/changes", request),
    cancel: (target, id) => order(target, "DELETE", `/v1/cluster/changes/${encodeURIComponent(id)}`),
  };
}

/** What a node says of itself, in the operator's terms. */
function saidOf(
  cluster: z.output<typeof ClusterAnswer>,
  ring: RingDocument | undefined,
  nowMs: number,
): Omit<NodeAnswer, "disk"> {
  const self = cluster.members.find(({ name }) => name === cluster.node);
  const { hints, repair, transition } = cluster;
  // With nothing to compare, or nobody to compare it with, all is equal.
  const isAlone = repair.owned === 0 || ring?.n === 1;
  return {
    kind: "answer",
    clusterId: cluster.id,
    name: cluster.node,
    actor: cluster.actor ?? self?.actor,
    knowsTokens: cluster.access !== undefined,
    ringEpoch: cluster.ringEpoch,
    health: new Map<string, Health>(
      cluster.members.flatMap(({ name, state, health }) =>
        name === cluster.node || state === "left" ? [] : [[name, health]],
      ),
    ),
    ownState: self?.state,
    hints: hints.complete ? new Map(hints.waiting.map(({ target: waiting, count }) => [waiting, count])) : undefined,
    change:
      transition === null || transition === undefined
        ? undefined
        : {
            id: transition.id,
            phase: transition.phase ?? transition.state ?? "running",
            kind: transition.kind,
            movedBytes: transition.movedBytes,
            totalBytes: transition.totalBytes,
            startedAt: transition.startedAt,
          },
    equalSinceMs: isAlone ? nowMs : instant(repair.oldest),
    ring,
  };
}

function documentOf(ring: z.output<typeof RingAnswer>): RingDocument {
  const owned = new Map<string, number>();
  for (const homes of ring.preferenceLists) for (const name of homes) owned.set(name, (owned.get(name) ?? 0) + 1);
  const { epoch, n, r, w, mode } = ring;
  const members = ring.members.map(({ name, actor, zone, weight, state }) => ({
    name,
    actor,
    zone,
    weight,
    state,
    owned: owned.get(name) ?? 0,
  }));
  const zones = new Map(members.map(({ name, zone }) => [name, zone]));
  const isSpread = ring.preferenceLists.every(
    (homes) => new Set(homes.map((home) => zones.get(home))).size === homes.length,
  );
  return { epoch, n, r, w, mode, members, isSpread };
}

function understood<Schema extends z.ZodType>(schema: Schema, text: string, path: string): z.output<Schema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new NodeSilentError(`${path} is answered with what is not JSON`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new NodeSilentError(`${path} is not understood: ${issue?.path.join(".")}: ${issue?.message}`);
}

/** A problem document's detail, or the text itself, short. */
function detailOf(text: string): string {
  try {
    const { detail, title } = JSON.parse(text) as { detail?: unknown; title?: unknown };
    return String(detail ?? title ?? text).slice(0, 500);
  } catch {
    return text.slice(0, 500);
  }
}

function instant(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}

/** The first figure of a name in Prometheus' text, with labels or without. */
function figure(page: string, name: string): number | undefined {
  for (const line of page.split("\n")) {
    if (!line.startsWith(name)) continue;
    const rest = line.slice(name.length);
    const [gap, text] = rest.slice(rest.startsWith("{") ? rest.indexOf("}") + 1 : 0).split(" ");
    const value = Number(text);
    if (gap === "" && text !== undefined && text !== "" && Number.isFinite(value)) return value;
  }
  return undefined;
}
