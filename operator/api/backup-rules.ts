/** What a KVBackup must fulfil beyond its schema; see `rule.ts`. */
import type { BackupSpec } from "./kvbackup.ts";
import { NAME, NAME_RULE, type Rule } from "./rule.ts";

const PATH = /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;
const BUCKET = /^[a-z0-9][a-z0-9.-]*[a-z0-9]$/;
const ENDPOINT = /^https?:\/\/[A-Za-z0-9._:[\]-]+(\/[A-Za-z0-9._/-]*)?$/;
const SCHEDULE =
  /^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|([0-9A-Za-z*,/?-]+ +){4}[0-9A-Za-z*,/?-]+)$/;

/** A regular expression as a CEL text: RE2 knows no escaped `/`, and a CEL text its own escapes. */
const re2 = ({ source }: RegExp) => `r'${source.replaceAll("\\/", "/")}'`;

const isPath = (text: string) => PATH.test(text) && !text.includes("..");

/** All rules, in the order of the schema. */
export const BACKUP_RULES: readonly Rule<BackupSpec>[] = [
  NAME_RULE,
  {
    at: ["spec"],
    cel: "has(self.schedule) == has(oldSelf.schedule)",
    message:
      "schedule may change, and not come or go: make a new KVBackup, which goes on where this one's backups are if this one is deleted",
    holds: ({ spec }, old) => old === undefined || (spec.schedule === undefined) === (old.spec.schedule === undefined),
  },
  {
    at: ["spec"],
    cel: "!has(self.timeZone) || has(self.schedule)",
    message: "timeZone is that of a schedule, and there is none: say schedule, or leave timeZone out",
    holds: ({ spec }) => spec.timeZone === undefined || spec.schedule !== undefined,
  },
  {
    at: ["spec"],
    cel: "!has(self.destination.pvc) || !self.destination.pvc.claimName.startsWith('data-' + self.cluster + '-')",
    message:
      "claimName is the volume of a member of that cluster, with which the backups would be lost: make a claim for them",
    holds: ({ spec }) => spec.destination.pvc?.claimName.startsWith(`data-${spec.cluster}-`) !== true,
  },
  {
    at: ["spec", "cluster"],
    cel: "self == oldSelf",
    message: "cluster is fixed at creation, for backups of two do not go into one place: make a new KVBackup",
    holds: ({ spec }, old) => old === undefined || spec.cluster === old.spec.cluster,
  },
  {
    at: ["spec", "cluster"],
    cel: `self.matches(${re2(NAME)})`,
    message: "cluster is the name of a KVCluster of this namespace: say that",
    holds: ({ spec }) => NAME.test(spec.cluster),
  },
  {
    at: ["spec", "destination"],
    cel: "has(self.pvc) != has(self.s3)",
    message: "backups go to just one destination: say pvc or s3",
    holds: ({ spec: { destination } }) => (destination.pvc === undefined) !== (destination.s3 === undefined),
  },
  {
    at: ["spec", "destination", "pvc"],
    cel: `!has(self.path) || (self.path.matches(${re2(PATH)}) && !self.path.contains('..'))`,
    message: "path is that of a folder in the volume, without a / at its ends and without ..: as sessions/nightly",
    holds: ({ spec }) => spec.destination.pvc?.path === undefined || isPath(spec.destination.pvc.path),
  },
  {
    at: ["spec", "destination", "s3"],
    cel: `self.bucket.matches(${re2(BUCKET)})`,
    message: "bucket is the name of one: lower-case letters, digits, . and -, and no URL",
    holds: ({ spec }) => spec.destination.s3 === undefined || BUCKET.test(spec.destination.s3.bucket),
  },
  {
    at: ["spec", "destination", "s3"],
    cel: `!has(self.prefix) || (self.prefix.matches(${re2(PATH)}) && !self.prefix.contains('..'))`,
    message: "prefix is as a path, without a / at its ends and without ..: as backups/sessions",
    holds: ({ spec }) => spec.destination.s3?.prefix === undefined || isPath(spec.destination.s3.prefix),
  },
  {
    at: ["spec", "destination", "s3"],
    cel: `!has(self.endpoint) || self.endpoint.matches(${re2(ENDPOINT)})`,
    message: "endpoint is the URL of the store, as https://minio.storage.svc:9000: begin it with http:// or https://",
    holds: ({ spec }) => spec.destination.s3?.endpoint === undefined || ENDPOINT.test(spec.destination.s3.endpoint),
  },
  {
    at: ["spec", "destination", "s3"],
    cel: "has(self.credentialsSecret) != has(self.serviceAccountName)",
    message: "who asks the store is said in one way: name a credentialsSecret, or a serviceAccountName that it trusts",
    holds: ({ spec: { destination } }) =>
      destination.s3 === undefined ||
      (destination.s3.credentialsSecret === undefined) !== (destination.s3.serviceAccountName === undefined),
  },
  {
    at: ["spec", "schedule"],
    cel: `self.matches(${re2(SCHEDULE)})`,
    message:
      "schedule has five fields (minute, hour, day, month, day of the week), as 15 3 * * *, or is @hourly, @daily, @weekly or @monthly",
    holds: ({ spec }) => spec.schedule === undefined || SCHEDULE.test(spec.schedule),
  },
  {
    at: ["spec", "retention"],
    cel: "has(self.last) || has(self.hourly) || has(self.daily) || has(self.weekly) || has(self.monthly) || has(self.yearly)",
    message: "retention without a rule would keep the newest alone: say last, daily or another, or leave retention out",
    holds: ({ spec: { retention } }) =>
      retention === undefined || Object.values(retention).some((count) => count !== undefined),
  },
];
