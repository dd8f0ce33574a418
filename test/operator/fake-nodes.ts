/**
 * Nodes in memory that keep to the contract of the admin API: one ring for all, changes that run in phases, members
 * that join, leave, and come back with another disk. How data moves is not modelled; who may be believed is.
 */
import assert from "node:assert/strict";
import { parseTokens } from "../../node/adapters/http/token-file.ts";
import { grantOf } from "../../node/core/access.ts";
import type { RingDocument } from "../../node/core/ring/document.ts";
import { describeChange } from "../../node/core/ring/plan-report.ts";
import { certificatesIn } from "../../operator/core/certificates.ts";
import type { ChangeRequest, Health, MemberState, NodeAnswer, RingMember } from "../../operator/core/world.ts";
import { type AdminTarget, type ChangeAnswer, type NodeAdmin, NodeSilentError } from "../../operator/ports.ts";

export type Disk = { readonly actor: string; hadRing: boolean; epoch: number };
type Member = { name: string; actor: string; zone: string; weight: number; state: MemberState };
type Ring = { epoch: number; n: number; r: number; w: number; mode: string; members: Member[] };
type Running = {
  readonly id: string;
  readonly request: ChangeRequest;
  phase: "prepare" | "switch" | "finish";
  moved: number;
};
/** A process: a pod's container that runs, on a disk. */
export type Process = {
  readonly name: string;
  readonly disk: Disk;
  readonly zone: string;
  readonly startedMs: number;
  readonly settings: string;
  readonly knowsTokens: boolean;
  /** Whether its admin port speaks TLS, and then nothing else. */
  readonly isAdminSecure: boolean;
  /** The file of tokens as its kubelet has brought it by now; undefined where the node asks for none. */
  readonly tokens: () => string | undefined;
};

const TOTAL_BYTES = 1000;

/** What a change does, in the nodes' own words. */
function wordsOf({ r, w, mode, members }: Ring, request: ChangeRequest): string {
  const { r: readQuorum, w: writeQuorum, mode: modeToBe } = { r, w, mode, ...request.quorum };
  const leaving = members.flatMap(({ name, state }) => (state === "leaving" ? [name] : []));
  const weights = Object.entries(request.weights ?? {});
  const transition = { leaving, weights, readQuorum, writeQuorum, mode: modeToBe };
  const document = { members, readQuorum: r, writeQuorum: w, mode, transition };
  return describeChange(document as unknown as RingDocument);
}

export class FakeNodes implements NodeAdmin {
  readonly clusterId: string;
  readonly processes = new Map<string, Process>();
  ring: Ring | undefined;
  running: Running | undefined;
  /** Nodes that have not found all their partitions equal to the other homes. */
  readonly unequal = new Set<string>();
  /** How full they are, of those that are not almost empty. */
  readonly disks = new Map<string, NonNullable<NodeAnswer["disk"]>>();
  /** How far the nodes' own clocks are ahead. */
  clockSkewMs = 0;
  /** Requests with a token that the node did not know, or without one. */
  readonly turnedAway: string[] = [];
  /** Nodes that the operator cannot reach. */
  readonly unreachable = new Set<string>();
  readonly quorum: { n: number; r: number; w: number; mode: string };
  changes = 0;
  nowMs = 0;

  constructor(clusterId: string, quorum: { n: number; r: number; w: number; mode: string }) {
    this.clusterId = clusterId;
    this.quorum = quorum;
  }

  /** Whether the true ring still needs what is on a member's disk. */
  needs(name: string, disk: Disk | undefined): boolean {
    const member = this.ring?.members.find((other) => other.name === name);
    return member !== undefined && member.state !== "left" && (disk === undefined || member.actor === disk.actor);
  }

  isUp(name: string): boolean {
    return this.processes.has(name);
  }

  /** Members that are down besides one, and of all zones but its own where that is lost. */
  downBesides(name: string, isZoneLost = false): readonly string[] {
    const members = this.ring?.members.filter(({ state }) => state !== "left") ?? [];
    const zone = members.find((member) => member.name === name)?.zone;
    const others = members.filter((other) => other.name !== name && !(isZoneLost && other.zone === zone));
    return others.flatMap((other) => (this.isUp(other.name) ? [] : [other.name]));
  }

  /** One whose member left has nothing to serve. */
  isReady(name: string): boolean {
    return this.ring !== undefined && !this.ring.members.some((own) => own.name === name && own.state === "left");
  }

  /** Lets time pass: rings are made and found, changes move on. */
  tick(): void {
    this.#found();
    if (this.ring === undefined) return;
    for (const { disk } of this.processes.values()) {
      disk.epoch = this.ring.epoch;
      disk.hadRing = true;
    }
    this.#enrol(this.ring);
    this.#advance();
  }

  #found(): void {
    if (this.ring !== undefined) return;
    for (const { settings } of this.processes.values()) {
      const listed = /^ANNULUS_MEMBERS=(.*)$/m.exec(settings)?.[1]?.split(",");
      if (listed === undefined) continue;
      const members = listed.map((entry) => {
        const [, name = "", zone = "", weight = ""] = /^([^=]+)=[^@]+@([^*]+)\*(\d+)$/.exec(entry) ?? [];
        return { name, zone, weight: Number(weight) };
      });
      const present = members.flatMap(({ name }) => this.processes.get(name) ?? []);
      if (present.length < members.length) continue;
      this.ring = {
        ...this.quorum,
        epoch: 1,
        members: members.map((member) => ({
          ...member,
          actor: this.processes.get(member.name)?.disk.actor ?? "",
          state: "active",
        })),
      };
    }
  }

  /** Members list the new disk of one that lost its own, by themselves. */
  #enrol(ring: Ring): void {
    for (const member of ring.members) {
      const actor = this.processes.get(member.name)?.disk.actor;
      if (member.state === "left" || actor === undefined || actor === member.actor) continue;
      member.actor = actor;
      ring.epoch += 1;
    }
  }

  /** A change moves while all that it needs are up. */
  #advance(): void {
    const { ring, running } = this;
    if (ring === undefined || running === undefined) return;
    if (ring.members.some(({ name, state }) => state !== "left" && !this.isUp(name))) return;
    running.moved += TOTAL_BYTES / 4;
    if (running.moved < TOTAL_BYTES) return;
    running.moved = 0;
    ring.epoch += 1;
    if (running.phase === "prepare") running.phase = "switch";
    else if (running.phase === "switch") running.phase = "finish";
    else this.#finish(ring, running.request);
  }

  #finish(ring: Ring, request: ChangeRequest): void {
    for (const member of ring.members) {
      if (member.state === "leaving") member.state = "left";
      if (member.state === "joining") member.state = "active";
      member.weight = request.weights?.[member.name] ?? member.weight;
      // As real members do: who is replaced goes.
      if (request.replace?.includes(member.name)) member.state = "left";
    }
    Object.assign(ring, request.quorum);
    this.running = undefined;
  }

  async ask(target: AdminTarget): Promise<NodeAnswer> {
    const { pod } = target;
    const process = this.#reach(target);
    const { ring, running } = this;
    const health = new Map<string, Health>();
    for (const { name, state } of ring?.members ?? [])
      if (state !== "left" && name !== pod) health.set(name, this.isUp(name) ? "up" : "down");
    const self = ring?.members.find(({ name }) => name === pod);
    return {
      kind: "answer",
      clusterId: this.clusterId,
      name: pod,
      actor: process.disk.actor,
      knowsTokens: process.knowsTokens,
      ringEpoch: ring?.epoch ?? 0,
      health,
      ownState: self === undefined ? undefined : self.actor === process.disk.actor ? self.state : "rebuilding",
      hints: new Map(),
      change:
        running === undefined
          ? undefined
          : {
              id: running.id,
              phase: running.phase,
              kind: ring === undefined ? undefined : wordsOf(ring, running.request),
              movedBytes: running.moved,
              totalBytes: TOTAL_BYTES,
              startedAt: undefined,
            },
      equalSinceMs: this.unequal.has(pod) ? undefined : this.nowMs + this.clockSkewMs,
      disk: this.disks.get(pod) ?? { usedBytes: 1, freeBytes: 99 },
      ring: ring === undefined ? undefined : this.#document(ring),
    };
  }

  /** Tables are spread over zones as long as there are so many. */
  #document(ring: Ring) {
    const zones = new Set(ring.members.flatMap(({ state, zone }) => (state === "left" ? [] : [zone])));
    const members = ring.members.map((member) => this.#listed(ring, member));
    return { ...ring, members, isSpread: zones.size >= ring.n };
  }

  #listed(ring: Ring, member: Member): RingMember {
    const owners = ring.members.filter(({ state, weight }) => state !== "left" && weight > 0).length;
    const owned = member.state === "left" || member.weight === 0 ? 0 : Math.ceil(64 / owners);
    return { ...member, owned };
  }

  #reach({ pod, token, tls }: AdminTarget): Process {
    const process = this.processes.get(pod);
    if (process === undefined || this.unreachable.has(pod)) throw new NodeSilentError(`${pod} does not answer`);
    assert.equal(tls !== undefined, process.isAdminSecure, `${pod} is spoken to as its admin port does not speak`);
    if (tls !== undefined && certificatesIn(tls.authorities).length === 0)
      throw new NodeSilentError(`${pod} shows a certificate of nobody`);
    const table = process.tokens();
    assert.ok(table !== undefined || token === undefined, `${pod} is shown a token and asks for none`);
    if (table === undefined) return process;
    const grant = grantOf(parseTokens(table), token ?? "");
    if (grant?.cluster === "admin") return process;
    this.turnedAway.push(pod);
    throw new NodeSilentError(`${pod} does not know the token`);
  }

  async change(target: AdminTarget, request: ChangeRequest): Promise<ChangeAnswer> {
    this.#reach(target);
    const { ring } = this;
    if (ring === undefined) return { kind: "refused", why: "there is no ring" };
    // A node would refuse it. An operator that looked before it asked never does.
    assert.equal(this.running, undefined, "a change is asked for while another runs");
    const staying = ring.members.filter(({ name, state }) => state !== "left" && !request.leave?.includes(name));
    if (staying.length + (request.join?.length ?? 0) < ring.n) return { kind: "refused", why: "too few would be left" };
    this.changes += 1;
    this.running = { id: `change-${this.changes}`, request, phase: "prepare", moved: 0 };
    ring.epoch += 1;
    for (const { name, zone, weight } of request.join ?? []) {
      const process = this.processes.get(name);
      ring.members = ring.members.filter((member) => member.name !== name);
      ring.members.push({ name, zone, weight, actor: process?.disk.actor ?? "", state: "joining" });
    }
    for (const member of ring.members) {
      if (request.leave?.includes(member.name)) member.state = "leaving";
      member.zone = request.zones?.[member.name] ?? member.zone;
    }
    ring.members.sort((a, b) => (a.name < b.name ? -1 : 1));
    return { kind: "accepted", id: this.running.id };
  }

  async cancel(target: AdminTarget, id: string): Promise<ChangeAnswer> {
    this.#reach(target);
    const { ring, running } = this;
    if (ring === undefined || running?.id !== id || running.phase !== "prepare")
      return { kind: "refused", why: "it cannot be cancelled any more" };
    for (const member of ring.members) {
      if (member.state === "joining") member.state = "left";
      if (member.state === "leaving") member.state = "active";
    }
    ring.epoch += 1;
    this.running = undefined;
    return { kind: "accepted", id };
  }
}
