/** A small cluster in memory behind the admin port; tests change what it says. */
import type { Admin, ExportEntry, Readiness, RepairView } from "../../node/adapters/http/admin-api.ts";
import { KvError } from "../../node/core/errors.ts";

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

/** What the node behind the admin port would say; tests change it. */
export type AdminModel = Admin & {
  ready: Readiness;
  ringless: boolean;
  entries: ExportEntry[];
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
    entries: [],
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
        ringEpoch: 1,
        members: [{ ...MEMBER, actor: undefined, health: "up", phi: 0 }],
        hints: { complete: true, waiting: [{ target: "n2", count: 3, bytes: 1_234 }] },
        transition: null,
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
    async exportPage(partition, after, entriesMax) {
      needRing();
      if (partition >= 2) throw new KvError("INVALID_REQUEST", `Cannot export partition ${partition}: the ring has 2.`);
      if (model.failAt?.page === model.pages) throw model.failAt.error;
      model.pages += 1;
      const rest = model.entries.filter(({ key }) => after === undefined || Buffer.compare(key, after) > 0);
      const entries = rest.slice(0, entriesMax);
      return { entries, done: rest.length <= entriesMax, epoch: 1 };
    },
    metricsText: async () => "# HELP annulus_up Whether it runs.\nannulus_up 1\n",
  };
  return model;
}
