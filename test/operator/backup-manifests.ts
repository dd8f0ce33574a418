/** KVBackups for tests: one that is right, and for each rule one that is wrong. */
import type { Manifest } from "./manifests.ts";

/** Where backups go unless a test says otherwise. */
export const ONTO_VOLUME = { cluster: "sessions", destination: { pvc: { claimName: "backups" } } };
const INTO_BUCKET = { bucket: "annulus", credentialsSecret: { name: "store" } };

/** A manifest with `spec` beside a cluster and a place. */
export function backupManifest(spec: Record<string, unknown> = {}, name = "nightly"): Manifest {
  const metadata = { name, namespace: "default" };
  return { apiVersion: "annulus.dev/v1alpha1", kind: "KVBackup", metadata, spec: { ...ONTO_VOLUME, ...spec } };
}

const pvc = (more: Record<string, unknown>) => ({ destination: { pvc: { claimName: "backups", ...more } } });
const s3 = (more: Record<string, unknown>) => ({ destination: { s3: { ...INTO_BUCKET, ...more } } });

/** One breach of each rule: what is there before (for rules about changes), what is wrong, and how it is told. */
export const BACKUP_BREACHES: readonly {
  readonly what: string;
  readonly before?: Record<string, unknown>;
  readonly spec: Record<string, unknown>;
  readonly name?: string;
  readonly message: string;
}[] = [
  { what: "a backup's name of 41 letters", name: "a".repeat(41), spec: {}, message: "choose such a name" },
  {
    what: "a schedule that comes to a single backup",
    before: {},
    spec: { schedule: "@daily" },
    message: "schedule may change, and not come or go",
  },
  {
    what: "a schedule that goes",
    before: { schedule: "@daily" },
    spec: {},
    message: "schedule may change, and not come or go",
  },
  { what: "a time zone of no schedule", spec: { timeZone: "Etc/UTC" }, message: "say schedule, or leave timeZone out" },
  {
    what: "a member's own volume",
    spec: pvc({ claimName: "data-sessions-1" }),
    message: "make a claim for them",
  },
  { what: "another cluster", before: {}, spec: { cluster: "carts" }, message: "cluster is fixed at creation" },
  { what: "a cluster of no such name", spec: { cluster: "other/sessions" }, message: "name of a KVCluster" },
  { what: "no destination", spec: { destination: {} }, message: "say pvc or s3" },
  {
    what: "two destinations",
    spec: { destination: { pvc: { claimName: "backups" }, s3: INTO_BUCKET } },
    message: "say pvc or s3",
  },
  { what: "a path out of the volume", spec: pvc({ path: "../other" }), message: "path is that of a folder" },
  { what: "a path from the root", spec: pvc({ path: "/sessions" }), message: "path is that of a folder" },
  { what: "a bucket with its URL", spec: s3({ bucket: "s3://annulus" }), message: "and no URL" },
  { what: "a prefix that ends in a slash", spec: s3({ prefix: "sessions/" }), message: "prefix is as a path" },
  { what: "an endpoint without a scheme", spec: s3({ endpoint: "minio:9000" }), message: "begin it with http" },
  {
    what: "nobody who asks the store",
    spec: { destination: { s3: { bucket: "annulus" } } },
    message: "name a credentialsSecret, or a serviceAccountName",
  },
  {
    what: "two who ask the store",
    spec: s3({ serviceAccountName: "backups" }),
    message: "name a credentialsSecret, or a serviceAccountName",
  },
  { what: "a schedule of six fields", spec: { schedule: "0 15 3 * * *" }, message: "schedule has five fields" },
  { what: "a time zone in the schedule", spec: { schedule: "TZ=UTC 15 3 * * *" }, message: "schedule has five fields" },
  { what: "a retention without a rule", spec: { retention: {} }, message: "retention without a rule" },
];

/** Changes that are allowed although they look alike. */
export const BACKUP_ALLOWED: readonly {
  readonly what: string;
  readonly before: Record<string, unknown>;
  readonly spec: Record<string, unknown>;
}[] = [
  { what: "the smallest backup", before: {}, spec: {} },
  {
    what: "another schedule, in a time zone",
    before: { schedule: "15 3 * * *" },
    spec: { schedule: "*/5 0-6,22 1,15 JAN-JUN MON", timeZone: "America/Argentina/Buenos_Aires" },
  },
  { what: "a schedule by its name", before: { schedule: "@hourly" }, spec: { schedule: "@weekly", suspend: true } },
  {
    what: "another place",
    before: {},
    spec: s3({ prefix: "a/b.c", endpoint: "https://[fd00::1]:9000/", region: "eu-1" }),
  },
  {
    what: "a store that trusts a service account",
    before: {},
    spec: { destination: { s3: { bucket: "annulus", serviceAccountName: "backups" } } },
  },
  { what: "keeping the newest alone", before: {}, spec: { retention: { last: 0 } } },
  {
    what: "everything",
    before: {},
    spec: {
      ...pvc({ path: "sessions/single" }),
      ...{ suspend: true, token: "backup", rateMiBPerSecond: 20 },
      retention: { last: 3, hourly: 24, daily: 7, weekly: 5, monthly: 12, yearly: 3 },
      ...{ timeoutSeconds: 3600, retries: 0, startingDeadlineSeconds: 60 },
      resources: { requests: { cpu: "500m" }, limits: { memory: "512Mi" } },
    },
  },
];
