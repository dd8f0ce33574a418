/** KVBackups in the API server in memory, with as much of Kubernetes around them as makes Jobs of CronJobs and ends Jobs. */
import assert from "node:assert/strict";
import { formatInstant } from "../../operator/core/instant.ts";
import { at, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { createBackupReconciler } from "../../operator/services/backup-reconciler.ts";
import { createEvents } from "../../operator/services/events.ts";
import { createBackupObserver } from "../../operator/services/observe-backup.ts";
import { backupManifest } from "./backup-manifests.ts";
import { FakeKube } from "./fake-kube.ts";
import { manifest } from "./manifests.ts";

export const BACKUP = "nightly";
export const OWNED = `${BACKUP}-backup`;
const POLICY = { nodeImage: "annulus:good", operatorNamespace: "annulus-system", adminTls: false };

/** What a run tells at its end. */
export const REPORT = {
  backup: "20260101T000000000Z",
  keys: 7,
  bytes: 900,
  newBytes: 100,
  movedBytes: 150,
  removed: 1,
};

/** How a run ends. */
export type End = { readonly message?: string; readonly reason?: string };

export class FakeBackups {
  readonly kube: FakeKube;
  #reconcile: () => Promise<{ againMs: number; isFailing: boolean } | undefined>;
  #tries = 0;

  /** @param kube Another world's, if it is to be shared. */
  constructor(kube = new FakeKube(), name = BACKUP) {
    this.kube = kube;
    this.#name = name;
    this.#reconcile = this.#newOperator();
  }

  readonly #name: string;

  #newOperator() {
    const { kube } = this;
    const clock = () => kube.nowMs;
    const time = { monotonicMs: clock, wallMs: clock, after: () => assert.fail("a reconciler sets no timers") };
    let drawn = 0;
    const random = { uint32: () => ++drawn, bytes: (count: number) => new Uint8Array(count).fill(++drawn) };
    const telemetry = { count() {}, observe() {}, gauge() {}, log() {} };
    const ports = { kube, time, random, telemetry };
    const reconciler = createBackupReconciler({
      ...ports,
      events: createEvents(ports, { instance: "operator" }),
      observe: createBackupObserver(ports, POLICY),
      mayAct: () => true,
    });
    return () => reconciler.reconcile({ namespace: "default", name: this.#name });
  }

  /** As a person does; the cluster is one that has a ring, unless `ringEpoch` is 0. */
  putCluster(spec: Record<string, unknown> = {}, ringEpoch = 1): KubeObject {
    const made = this.kube.put(manifest(spec) as KubeObject);
    return this.kube.set({ ...made, status: { ringEpoch } });
  }

  putBackup(spec: Record<string, unknown> = {}, name = this.#name): KubeObject {
    return this.kube.put(backupManifest(spec, name) as unknown as KubeObject);
  }

  /**
   * Looks until nothing is done any more.
   *
   * @param calls So many calls at first, at the next of which the operator is killed and started anew.
   */
  async settle(calls?: number): Promise<void> {
    if (calls !== undefined) {
      this.kube.callsLeft = calls;
      await this.#reconcile().catch((error: unknown) => assert.match(String(error), /the API server is away/));
      this.kube.callsLeft = undefined;
      this.#reconcile = this.#newOperator();
    }
    for (let look = 0; look < 6; look += 1) await this.#reconcile();
  }

  /** One look. */
  look() {
    return this.#reconcile();
  }

  pass(seconds: number): void {
    this.kube.nowMs += seconds * 1_000;
  }

  get backup(): KubeObject {
    return this.kube.find("KVBackup", this.#name) ?? assert.fail("the KVBackup is gone");
  }

  get summary(): string | undefined {
    return textAt(this.backup, "status", "summary");
  }

  condition(type: string): { status: string; reason: string; message: string } {
    const found = listAt(this.backup, "status", "conditions").find((one) => at(one, "type") === type);
    const text = (field: string) => textAt(found, field) ?? "";
    return { status: text("status"), reason: text("reason"), message: text("message") };
  }

  get job(): KubeObject | undefined {
    return this.kube.find("Job", OWNED);
  }

  get cronJob(): KubeObject | undefined {
    return this.kube.find("CronJob", OWNED);
  }

  /** The CronJob's time has come. */
  fire(): KubeObject {
    const { cronJob } = this;
    assert.ok(cronJob, "there is a CronJob");
    this.pass(60);
    const now = formatInstant(this.kube.nowMs);
    this.kube.set({ ...cronJob, status: { lastScheduleTime: now } });
    const template = at(cronJob, "spec", "jobTemplate") as { metadata: object; spec: object };
    const owner = { apiVersion: "batch/v1", kind: "CronJob", name: OWNED, uid: cronJob.metadata.uid ?? "" };
    const metadata = {
      ...template.metadata,
      ...{ name: `${OWNED}-${this.kube.nowMs / 60_000}`, namespace: "default" },
      ownerReferences: [{ ...owner, controller: true }],
    };
    return this.kube.set({ apiVersion: "batch/v1", kind: "Job", metadata, spec: template.spec });
  }

  /** A pod of a Job, in a state. */
  try(job: KubeObject, status: object): KubeObject {
    this.#tries += 1;
    const template = at(job, "spec", "template") as { metadata: { labels: Record<string, string> }; spec: object };
    const labels = { ...template.metadata.labels, "batch.kubernetes.io/job-name": job.metadata.name };
    const metadata = { name: `${job.metadata.name}-${this.#tries}`, namespace: "default", labels };
    return this.kube.set({ apiVersion: "v1", kind: "Pod", metadata, spec: template.spec, status });
  }

  /** A Job ends: with a whole backup, or for a reason. */
  end(job: KubeObject, { message = JSON.stringify(REPORT), reason }: End = {}): void {
    this.pass(10);
    const now = formatInstant(this.kube.nowMs);
    const terminated = { exitCode: reason === undefined ? 0 : 1, finishedAt: now, message };
    const phase = reason === undefined ? "Succeeded" : "Failed";
    this.try(job, { phase, containerStatuses: [{ state: { terminated } }] });
    const condition = { type: reason === undefined ? "Complete" : "Failed", status: "True", reason };
    const conditions = [{ ...condition, lastTransitionTime: now }];
    const status = { conditions, ...(reason === undefined ? { completionTime: now } : {}) };
    this.kube.set({ ...job, status });
  }

  /** What people read in `kubectl describe`. */
  get events(): string[] {
    return this.kube.all("Event").map((event) => `${textAt(event, "type")} ${textAt(event, "reason")}`);
  }
}
