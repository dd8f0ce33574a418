/**
 * `KVBackup` (`annulus.dev/v1alpha1`): backups of one KVCluster, once or by a schedule. The one schema of its spec and status.
 *
 * As for KVClusters, `crd.ts` makes the structural schema of it, and what a schema cannot say stands in `backup-rules.ts`.
 */
import { z } from "zod";
import { API_VERSION } from "./kvcluster.ts";
import { conditions, Metadata, resources, text, time, whole } from "./parts.ts";

export const BACKUP_KIND = "KVBackup";

const KEPT_MAX = 1_000;
const objectName = z.string().min(1).max(253);
const kept = (of: string) => whole(0, KEPT_MAX).optional().describe(of);

const Claim = z.object({
  claimName: objectName.describe("A PersistentVolumeClaim of this namespace, which is not made and never deleted."),
  path: z.string().min(1).max(255).optional().describe("Folder in the volume. Absent: the cluster's name."),
});

const Bucket = z.object({
  bucket: z.string().min(3).max(63).describe("A bucket that is there."),
  prefix: z
    .string()
    .min(1)
    .max(512)
    .optional()
    .describe("What the names of all objects begin with. Absent: namespace/cluster."),
  endpoint: z.string().min(1).max(512).optional().describe("URL of a store that is not Amazon's."),
  region: z
    .string()
    .max(64)
    .regex(/^[a-z0-9-]+$/)
    .optional()
    .describe("Region, where the store knows some. Absent: us-east-1."),
  credentialsSecret: z
    .object({ name: objectName.describe("Its name.") })
    .optional()
    .describe(
      "A Secret of this namespace with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN.",
    ),
  serviceAccountName: objectName
    .optional()
    .describe("A service account whose identity the store trusts, in place of a Secret."),
  caSecret: z
    .object({
      name: objectName.describe("Its name."),
      key: z
        .string()
        .max(253)
        .regex(/^[-._a-zA-Z0-9]+$/)
        .default("ca.crt")
        .describe("Where in it the certificates stand, PEM."),
    })
    .optional()
    .describe("A Secret with the authority of the store's certificate, where that is not a public one."),
});

const Retention = z.object({
  last: kept("The last n."),
  hourly: kept("The last of each of the last n hours that have one."),
  daily: kept("The same for days, UTC."),
  weekly: kept("The same for weeks, from Monday."),
  monthly: kept("The same for months."),
  yearly: kept("The same for years."),
});

export const BackupSpec = z
  .object({
    cluster: z.string().min(1).max(40).describe("The KVCluster of this namespace. Fixed at creation."),
    destination: z
      .object({
        pvc: Claim.optional().describe("A folder in a volume."),
        s3: Bucket.optional().describe("A bucket of a store that speaks S3."),
      })
      .describe("Where the backups are: one place for each KVBackup. Just one of the two."),
    schedule: z
      .string()
      .max(128)
      .optional()
      .describe("When, as in a CronJob. Absent: one backup is taken, once. It may change, and not come or go."),
    timeZone: z
      .string()
      .max(64)
      .regex(/^[A-Za-z0-9_+/-]+$/)
      .optional()
      .describe("Of the schedule: a name as Europe/Berlin. Absent: that of Kubernetes' controllers, mostly UTC."),
    suspend: z
      .boolean()
      .default(false)
      .describe("Begins no run. A scheduled one that is under way is ended by itself, a single one is broken off."),
    retention: Retention.optional().describe(
      "Which backups stay when another has been taken: what one rule keeps, and always the newest. Absent: all.",
    ),
    token: z
      .string()
      .max(63)
      .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
      .optional()
      .describe(
        "Name of a token in the KVCluster's access.tokens, needed where callers without one may not read every key and see the cluster.",
      ),
    rateMiBPerSecond: whole(1, 100_000).optional().describe("Reads no faster. Absent: as fast as it goes."),
    timeoutSeconds: whole(60, 604_800)
      .default(86_400)
      .describe("A run that takes longer has failed; the next goes on where it ended."),
    retries: whole(0, 20).default(6).describe("How often a run is tried again before it has failed."),
    startingDeadlineSeconds: whole(10, 86_400)
      .default(3_600)
      .describe("A scheduled run that could not begin so long after its time is left out."),
    resources: resources("a run")
      .prefault({})
      .describe("As in a container. Requests that are absent are 100m of CPU and 256Mi of memory."),
  })
  .describe("What is backed up, where to and when.");

const count = z.number().min(0);

/** What a run tells of the backup that it took; see `annulus backup --report`. */
export const Report = z.object({
  backup: text(64),
  keys: count,
  bytes: count,
  newBytes: count,
  removed: count.optional(),
});

export const BackupStatus = z
  .object({
    observedGeneration: z.int().min(0).optional().describe("The generation of the spec that this is about."),
    summary: text(256).optional().describe("The state in a few words."),
    lastScheduledTime: time.optional().describe("When a run last began."),
    lastSuccessfulTime: time.optional().describe("When a run last ended with a whole backup."),
    lastBackup: z
      .object({
        name: text(64).describe("As annulus backup list shows it."),
        keys: count.describe("Keys in it, with deleted ones that are still remembered."),
        bytes: count.describe("Bytes of all that it needs."),
        newBytes: count.describe("Bytes of what it alone added."),
      })
      .optional()
      .describe("The newest backup that a run told of."),
    conditions: conditions.describe("Ready, Complete, Failed."),
  })
  .describe("What the operator last saw.");

/** A stored object: what the API server hands out. */
export const Backup = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal(BACKUP_KIND),
  metadata: Metadata,
  spec: BackupSpec,
  status: BackupStatus.default({}),
});

export type BackupSpec = z.output<typeof BackupSpec>;
export type BackupStatus = z.output<typeof BackupStatus>;
export type Report = z.output<typeof Report>;
export type Backup = z.output<typeof Backup>;

/** Reads a stored object and fills defaults in, as the API server does. */
export function parseBackup(
  object: unknown,
): { readonly ok: true; readonly backup: Backup } | { readonly ok: false; readonly problems: readonly string[] } {
  const parsed = Backup.safeParse(object);
  if (parsed.success) return { ok: true, backup: parsed.data };
  return { ok: false, problems: parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`) };
}
