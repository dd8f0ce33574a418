/** A small cluster in memory behind the admin port; tests change what it says. */

import type { AdminServerPorts } from "../../node/adapters/http/admin.ts";
import type {
  Admin,
  BackupEntry,
  ChangeView,
  ExportEntry,
  Readiness,
  RepairView,
  TransitionView,
} from "../../node/adapters/http/admin-api.ts";
import type { ConsoleFiles } from "../../node/adapters/http/console-files.ts";
import type { Gate } from "../../node/adapters/http/gate.ts";
import { createKvHandler } from "../../node/adapters/http/kv-handler.ts";
import { systemTime } from "../../node/adapters/system.ts";
import { KvError } from "../../node/core/errors.ts";
import type { ChangeRequest } from "../../node/core/ring/change.ts";
import type { ChangePlan } from "../../node/core/ring/plan-report.ts";
import type { KeyVersions } from "../../node/core/version/key-versions.ts";
import type { KvRecord } from "../../node/core/version/record.ts";
import { createHttpModel, MODEL_BOUNDS } from "./http-model.ts";
import { createTestTelemetry, WORLD_OPTIONS } from "./http-world.ts";

const MEMBER = { name: "n1", address: "127.0.0.1:7402", zone: "a", weight: 100, state: "active" } as const;
export const MODEL_RING = {
  epoch: 1,
  partitions: 2,
  n: 1,
  r: 1,
  w: 1,
  mode: "sloppy",
  members: [MEMBER],
  tokens: ["0000000000000000", "8000000000000000"],
  preferenceLists: [["n1"], ["n1"]],
} as const;

const MOVED = { movedBytes: 10, totalBytes: 2_000, movedPartitions: 0, totalPartitions: 1 };

/** A page of two files, in place of the console's. */
const MODEL_FILES: ConsoleFiles = new Map([
  ["index.html", { type: "text/html; charset=utf-8", body: Buffer.from("<!doctype html><title>console</title>") }],
  ["main.js", { type: "text/javascript; charset=utf-8", body: Buffer.from("export {};") }],
]);
/** Answers for keys on the admin port over a store in memory. Without a gate everybody may do everything. */
export function modelKv(gate?: Gate): AdminServerPorts["kv"] {
  const ports = {
    coordinator: createHttpModel(),
    telemetry: createTestTelemetry(),
    time: systemTime,
    bounds: () => MODEL_BOUNDS,
    isWaking: () => false,
    onBug(error: unknown): never {
      throw error;
    },
    gate,
  };
  return (draining) => createKvHandler({ ...ports, draining }, WORLD_OPTIONS);
}

/** What an admin server is given besides the node that it speaks for. */
export const ADMIN_PORTS = { time: systemTime, consoleFiles: MODEL_FILES, kv: modelKv() };

/** A key as the model's homes hold it: one has two values, of which one is a deletion, one nothing, and one is silent. */
export const MODEL_VERSIONS: KeyVersions = {
  ...{ epoch: 1, partition: 1 },
  homes: [
    { name: "n1", zone: "a", record: modelRecord(), checksum: 0xab },
    { name: "n2", zone: "b", record: undefined, checksum: undefined },
    { name: "n3", zone: "c", error: new KvError("TIMED_OUT", "Cannot reach n3.") },
  ],
};

function modelRecord(): KvRecord {
  const dot = (counter: number) => ({ actor: "a".repeat(32), incarnation: 1, counter });
  const common = { contentType: "text/plain", writtenAtMs: 0, expiresAtMs: undefined };
  const value = { ...common, dot: dot(1), value: Buffer.from("hello"), expiresAtMs: 60_000 };
  const context = { vector: [dot(2)], dots: [] };
  return {
    context,
    eventsSeen: context.vector,
    siblings: [value, { ...common, dot: dot(2), value: undefined }],
    events: [],
  };
}

/** A change that joins n2, as the model plans every one. */
export const MODEL_PLAN: ChangePlan = {
  movedPartitions: 1,
  movedBytes: 2_000,
  members: [
    { name: "n1", zone: "a", weight: 100, replicasBefore: 2, replicasAfter: 1, replicasIdeal: 1, gains: 0, loses: 1 },
    { name: "n2", zone: "b", weight: 100, replicasBefore: 0, replicasAfter: 1, replicasIdeal: 1, gains: 1, loses: 0 },
  ],
  notes: ["There is 1 zone for N = 1."],
};
export const MODEL_CHANGE: ChangeView & TransitionView = {
  ...{ id: "00000000000000ab", phase: "prepare", state: "prepare", kind: "join n2", startedAtMs: 1_000, epoch: 2 },
  ...MOVED,
  waitsFor: "n2 to have all of what they get",
  members: [{ name: "n2", epoch: 1, complete: false, ...MOVED }],
};

/** What the node behind the admin port would say; tests change it. */
export type AdminModel = Admin & {
  ready: Readiness;
  ringless: boolean;
  /** The change under way. */
  change: (ChangeView & TransitionView) | undefined;
  /** What was asked for, dry runs included, and what was cancelled. */
  asked: { request: ChangeRequest; dryRun: boolean }[];
  cancelled: string[];
  /** Thrown by what asks for a change or cancels one. */
  refusal: KvError | undefined;
  entries: ExportEntry[];
  /** Records that were to be restored. */
  restored: BackupEntry[];
  /** Thrown by the page with this number, from 0. */
  failAt: { page: number; error: unknown } | undefined;
  located: Uint8Array | undefined;
  progress: RepairView;
  repairs: number;
  pages: number;
};

/** A node with a ring, ready and without data. */
export function createAdminModel(): AdminModel {
  const needRing = () => {
    if (model.ringless) throw new KvError("NOT_READY", "Cannot say: this node has no ring yet.");
  };
  const model: AdminModel = {
    ready: { ready: true },
    ringless: false,
    change: undefined,
    asked: [],
    cancelled: [],
    refusal: undefined,
    changes: {
      async begin(request, { dryRun }) {
        needRing();
        if (model.refusal !== undefined) throw model.refusal;
        model.asked.push({ request, dryRun });
        if (!dryRun) model.change = MODEL_CHANGE;
        return { id: dryRun ? undefined : MODEL_CHANGE.id, plan: MODEL_PLAN };
      },
      async cancel(id) {
        needRing();
        if (id !== model.change?.id) throw new KvError("NOT_FOUND", `Cannot find the change ${id}.`);
        if (model.refusal !== undefined) throw model.refusal;
        model.cancelled.push(id);
      },
      async progress(id) {
        needRing();
        if (id !== model.change?.id) throw new KvError("NOT_FOUND", `Cannot find the change ${id}.`);
        return model.change;
      },
    },
    entries: [],
    restored: [],
    failAt: undefined,
    located: undefined,
    progress: { running: false, rounds: 0, owned: 0, built: 0, partitions: [] },
    repairs: 0,
    repair() {
      model.repairs += 1;
    },
    pages: 0,
    readiness: () => model.ready,
    cluster() {
      needRing();
      return {
        id: "c",
        node: "n1",
        access: "open",
        ringEpoch: 1,
        members: [{ ...MEMBER, actor: undefined, health: "up", phi: 0 }],
        hints: { complete: true, waiting: [{ target: "n2", count: 3, bytes: 1_234 }] },
        transition: model.change ?? null,
        repair: model.progress,
      };
    },
    ring() {
      needRing();
      return MODEL_RING;
    },
    locate(key) {
      needRing();
      model.located = key;
      return {
        partition: 1,
        token: "8000000000000001",
        epoch: 1,
        homes: [{ name: "n1", zone: "a", address: "127.0.0.1:7402" }],
      };
    },
    async versions(key) {
      needRing();
      model.located = key;
      return MODEL_VERSIONS;
    },
    async exportPage(partition, after, entriesMax) {
      needRing();
      if (partition >= 2) throw new KvError("INVALID_REQUEST", `Cannot export partition ${partition}: the ring has 2.`);
      if (model.failAt?.page === model.pages) throw model.failAt.error;
      model.pages += 1;
      const rest = model.entries.filter(({ key }) => after === undefined || Buffer.compare(key, after) > 0);
      const entries = rest.slice(0, entriesMax);
      return { entries, done: rest.length <= entriesMax, epoch: 1 };
    },
    async backupPage(partition, after, entriesMax) {
      const page = await model.exportPage(partition, after, entriesMax);
      return { ...page, entries: page.entries.map(({ key }) => ({ key, record: Buffer.from([1, ...key]) })) };
    },
    async backupTree(partition) {
      await model.exportPage(partition, undefined, 0);
      return { epoch: 1, bits: 4, sums: new Uint8Array(8 << 4).fill(0xfb), unlike: [3] };
    },
    async *backupDifference(partition, bits, leaves) {
      const { entries } = await model.backupPage(partition, undefined, bits);
      yield entries;
      return { epoch: 1, gone: leaves.flatMap(({ briefs }) => briefs) };
    },
    async restore(entries) {
      needRing();
      if (model.failAt?.page === model.pages) throw model.failAt.error;
      model.restored.push(...entries);
      return { merged: Math.max(0, entries.length - 1), outdated: 0, unjudged: entries.length > 0 ? [0] : [] };
    },
    metricsText: async () => "# HELP annulus_up Whether it runs.\nannulus_up 1\n",
  };
  return model;
}
