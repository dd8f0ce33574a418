/**
 * What is wrong with a cluster, and what to do, from one look at it. Pure.
 *
 * Each check says one thing, in a sentence that names who it is about, and the next step. A note is a fact that explains
 * others and needs nothing done; a warning should be seen to; critical is what takes requests or data away now, or soon.
 */
import { counted } from "../counted.ts";
import { directoriesOf } from "./directories.ts";
import type { Look, NodeView } from "./look.ts";
import { sumOf } from "./metrics-text.ts";

export type Severity = "note" | "warning" | "critical";

export type Diagnosis = {
  readonly severity: Severity;
  /** Stable name of the check. */
  readonly check: string;
  readonly what: string;
  readonly advice: string;
};

/** Wall clocks may differ so much before TTLs end visibly early or late, in ms; `Date` tells whole seconds. */
const SKEW_MS = 3_000;
/** A change that runs longer is looked at, in ms. */
const STALLED_MS = 3_600_000;
const FREE_SHARE_MIN = 0.1;
const CERTIFICATE_S_MIN = 7 * 86_400;

/** Everything that one look shows, the worst first. */
export function diagnose(look: Look): readonly Diagnosis[] {
  const order: readonly Severity[] = ["critical", "warning", "note"];
  return CHECKS.flatMap((check) => check(look)).sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
}

type Check = (look: Look) => readonly Diagnosis[];

const CHECKS: readonly Check[] = [
  clusters,
  silence,
  readiness,
  health,
  quorums,
  directories,
  rebuilding,
  epochs,
  clocks,
  transition,
  hints,
  disks,
  zones,
  doubts,
  certificates,
];

function of(severity: Severity, check: string, what: string, advice: string): Diagnosis {
  return { severity, check, what, advice };
}

function clusters({ views }: Look): readonly Diagnosis[] {
  const ids = distinct(views.map(({ cluster }) => cluster.id));
  if (ids.length < 2) return [];
  const what = `the addresses lead to ${ids.length} clusters: ${ids.join(", ")}`;
  return [of("critical", "clusters", what, "name the admin ports of one cluster; all else here mixes them up")];
}

function silence({ silent }: Look): readonly Diagnosis[] {
  return silent.map(({ url, why, isRefusal }) => {
    const what = `${url} tells nothing: ${why}`;
    if (isRefusal === true) return of("warning", "refused", what, "show it a token that may see the cluster");
    return of("warning", "unreachable", what, "see whether the process runs, and what its log says last");
  });
}

function readiness(look: Look): readonly Diagnosis[] {
  const { unlisted } = directoriesOf(look);
  return look.views.flatMap(({ cluster, notReady }) => {
    if (notReady === undefined) return [];
    const what = `${cluster.node} does not serve clients: ${notReady}`;
    const advice = unlisted.has(cluster.node) ? ADVICE_UNLISTED : "wait if it has just started; else see its log";
    return [of("warning", "ready", what, advice)];
  });
}

const ADVICE_UNLISTED =
  "look again in some seconds: a new directory is listed by then; one of before is not: start the member with an empty one, and read the old one with annulus salvage";

/** What a member is worth, it is worth with the directory that the ring lists. */
function directories(look: Look): readonly Diagnosis[] {
  const { unlisted, voters, lostVoters, isPastChanging } = directoriesOf(look);
  if (unlisted.size === 0) return [];
  const has = unlisted.size === 1 ? "has another data directory" : "have other data directories";
  const what = `${[...unlisted].join(", ")} ${has} than the ring lists`;
  if (!isPastChanging) return [of("warning", "directories", what, ADVICE_UNLISTED)];
  const lost = `${what}, so ${lostVoters} of ${voters} votes are lost: no other ring can be chosen, and no member joins, leaves or is listed any more`;
  const advice =
    "if one of the directories that are listed is kept somewhere, start its member with it; else back this cluster up and restore the backup into a new one";
  return [of("critical", "voters", lost, advice)];
}

/** The worst that any node says of each member's health; a member is nobody's judge of itself. */
function worstHealth({
  views,
}: Look): ReadonlyMap<string, { readonly health: string; readonly by: readonly string[] }> {
  const order = ["up", "suspect", "down"];
  const worst = new Map<string, { health: string; by: string[] }>();
  for (const { cluster } of views) {
    for (const { name, health, state } of cluster.members) {
      if (state === "left") continue;
      const known = worst.get(name) ?? { health: "up", by: [] };
      if (order.indexOf(health) > order.indexOf(known.health)) worst.set(name, { health, by: [cluster.node] });
      else {
        if (health === known.health) known.by.push(cluster.node);
        worst.set(name, known);
      }
    }
  }
  return worst;
}

function health(look: Look): readonly Diagnosis[] {
  return [...worstHealth(look)].flatMap(([name, { health, by }]) => {
    if (health === "up") return [];
    const what = `${name} is ${health} in the eyes of ${by.join(", ")}`;
    if (health === "suspect")
      return [of("note", "suspect", what, "look again in some seconds: it is down or up by then")];
    const advice = `start it again; if its disk is lost it fills itself, and if it never returns: annulus replace ${name} --with ...`;
    return [of("warning", "down", what, advice)];
  });
}

/** Partitions of which too few homes are up: requests of the ring's own R and W, in strict mode, fail there. */
function quorums(look: Look): readonly Diagnosis[] {
  const { ring } = look;
  if (ring === undefined) return [];
  const worst = worstHealth(look);
  const { outside } = directoriesOf(look);
  const isUp = (name: string) => worst.get(name)?.health !== "down" && !outside.has(name);
  const short = ring.preferenceLists.filter((homes) => homes.filter(isUp).length < Math.max(ring.r, ring.w)).length;
  const thin = ring.preferenceLists.filter((homes) => homes.filter(isUp).length < homes.length).length;
  if (short > 0) {
    const what = `${short} of ${ring.partitions} partitions ${short === 1 ? "has" : "have"} fewer than ${Math.max(ring.r, ring.w)} home replicas up`;
    const advice =
      "start the members first that are down, or that have another directory than is listed; until then strict requests there fail, and sloppy ones live on stand-ins";
    return [of("critical", "quorum", what, advice)];
  }
  if (thin === 0) return [];
  return [
    of(
      "note",
      "replicas",
      `${thin} of ${ring.partitions} partitions ${thin === 1 ? "has" : "have"} a home replica down`,
      "change nothing else until it is back",
    ),
  ];
}

function rebuilding({ views }: Look): readonly Diagnosis[] {
  const names = distinct(
    views.flatMap(({ cluster }) =>
      cluster.members.flatMap(({ name, state }) => (state === "rebuilding" ? [name] : [])),
    ),
  );
  return names.map((name) =>
    of(
      "warning",
      "rebuilding",
      `${name} lost its disk and is being filled by its peers`,
      "let it; take no other member away meanwhile",
    ),
  );
}

function epochs({ views }: Look): readonly Diagnosis[] {
  const told = views.map(({ cluster }) => `${cluster.node} ${cluster.ringEpoch}`);
  if (distinct(views.map(({ cluster }) => String(cluster.ringEpoch))).length < 2) return [];
  const advice = "look again in some seconds; a node that stays behind cannot reach its peers' ports";
  return [of("warning", "epochs", `nodes go by different rings: ${told.join(", ")}`, advice)];
}

function clocks({ views }: Look): readonly Diagnosis[] {
  const known = views.flatMap(({ cluster, aheadMs }) =>
    aheadMs === undefined ? [] : [{ node: cluster.node, aheadMs }],
  );
  const [first, last] = [
    known.toSorted((a, b) => a.aheadMs - b.aheadMs)[0],
    known.toSorted((a, b) => b.aheadMs - a.aheadMs)[0],
  ];
  if (first === undefined || last === undefined || last.aheadMs - first.aheadMs < SKEW_MS) return [];
  const seconds = Math.round((last.aheadMs - first.aheadMs) / 1000);
  const what = `the clock of ${last.node} is about ${seconds} s ahead of that of ${first.node}`;
  return [
    of(
      "warning",
      "clocks",
      what,
      "see to time synchronisation: values with a ttl end early or late; no data depends on it",
    ),
  ];
}

function transition({ views, atMs }: Look): readonly Diagnosis[] {
  const found = views.flatMap(({ cluster }) => cluster.transition ?? [])[0];
  if (found === undefined) return [];
  const { id, kind, phase, startedAtMs, movedPartitions, totalPartitions } = found;
  const minutes = Math.round((atMs - startedAtMs) / 60_000);
  const what = `the change ${id} (${kind}) is in ${phase} for ${minutes} min, ${movedPartitions} of ${totalPartitions} partitions moved`;
  const isStalled = atMs - startedAtMs > STALLED_MS;
  if (!isStalled) return [of("note", "transition", what, `it goes on by itself: annulus changes ${id}`)];
  return [
    of(
      "warning",
      "transition",
      what,
      `annulus changes ${id} says what it waits for; before it switches it can be cancelled`,
    ),
  ];
}

function hints(look: Look): readonly Diagnosis[] {
  const worst = worstHealth(look);
  const waiting = new Map<string, number>();
  for (const { cluster } of look.views) {
    for (const { target, count } of cluster.hints.waiting) waiting.set(target, (waiting.get(target) ?? 0) + count);
  }
  return [...waiting].flatMap(([target, count]) => {
    if (count === 0) return [];
    const isUp = worst.get(target)?.health === "up";
    const what = `${counted(count, "hint")} ${count === 1 ? "waits" : "wait"} for ${target}`;
    const isFull = look.views.some(({ cluster, metrics }) => cluster.node === target && takesNoWrites(metrics));
    if (isUp && isFull) {
      const advice = "they are delivered once it takes writes again";
      return [of("note", "hints", `${what}, which is up and takes no writes`, advice)];
    }
    if (isUp)
      return [
        of("note", "hints", `${what}, which is up`, "they are being delivered; look again: the number has to fall"),
      ];
    return [
      of(
        "warning",
        "hints",
        what,
        `bring ${target} back: they are delivered then; where one counted towards W, its write has that copy at home again`,
      ),
    ];
  });
}

function disks({ views }: Look): readonly Diagnosis[] {
  return views.flatMap(({ cluster, metrics }) => {
    const free = sumOf(metrics, "annulus_store_free_bytes");
    const size = sumOf(metrics, "annulus_store_disk_bytes") ?? 0;
    if (takesNoWrites(metrics)) {
      return [
        of(
          "critical",
          "disk",
          `${cluster.node} takes no writes: its disk is full or refuses them, or its directory is gone`,
          "give it room, or see its log for the error",
        ),
      ];
    }
    // Size 0: it is not known.
    if (free === undefined || free >= size * FREE_SHARE_MIN) return [];
    const what = `${cluster.node} has ${Math.round(free / 2 ** 20)} MiB left on its disk`;
    return [of("warning", "disk", what, "give it a larger disk, or add a member: annulus join")];
  });
}

function takesNoWrites(metrics: NodeView["metrics"]): boolean {
  return sumOf(metrics, "annulus_store_takes_writes") === 0;
}

function zones({ views, ring }: Look): readonly Diagnosis[] {
  const crowded = Math.max(0, ...views.map(({ metrics }) => sumOf(metrics, "annulus_ring_partitions_crowded") ?? 0));
  const found: Diagnosis[] = [];
  if (crowded > 0) {
    const what = `${counted(crowded, "partition")} ${crowded === 1 ? "has" : "have"} two homes in one zone though there are zones enough`;
    found.push(
      of(
        "warning",
        "zones",
        what,
        "any change of the ring places them anew, for example: annulus weight MEMBER=WEIGHT",
      ),
    );
  }
  const count = distinct(ring?.members.flatMap(({ zone, state }) => (state === "left" ? [] : [zone])) ?? []).length;
  if (ring !== undefined && count < ring.n) {
    const what = `${counted(count, "zone")} for ${counted(ring.n, "replica")}: the loss of one zone takes more than one replica of a key`;
    found.push(of("note", "zones", what, "add members in other zones"));
  }
  return found;
}

function doubts({ views }: Look): readonly Diagnosis[] {
  return views.flatMap(({ cluster, metrics }) => {
    const doubtful = sumOf(metrics, "annulus_store_doubtful_keys") ?? 0;
    const corrupt = sumOf(metrics, "annulus_store_corrupt_records_total") ?? 0;
    if (doubtful > 0) {
      const what = `${cluster.node} does not answer for ${counted(doubtful, "key")} whose record was damaged`;
      return [of("warning", "damage", what, "its peers mend them once they are reached; then replace the disk")];
    }
    if (corrupt === 0) return [];
    const what = `${cluster.node} set ${counted(corrupt, "damaged record")} aside since its start`;
    return [of("warning", "damage", what, "they are mended; see to the disk or the memory of that machine")];
  });
}

function certificates({ views }: Look): readonly Diagnosis[] {
  return views.flatMap(({ cluster, metrics }) =>
    metrics.flatMap(({ name, labels, value }) => {
      if (name !== "annulus_tls_expires_seconds" || value >= CERTIFICATE_S_MIN) return [];
      const what = `the certificate of ${cluster.node}'s ${labels.port ?? ""} port ends in ${counted(Math.floor(value / 86_400), "day")}`;
      return [
        of(
          value <= 0 ? "critical" : "warning",
          "certificates",
          what,
          "renew it: the node takes a changed file over by itself",
        ),
      ];
    }),
  );
}

function distinct(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}

/** Used by `top` as well: who is asked for the cluster as a whole, the one with the newest ring. */
export function newest(views: readonly NodeView[]): NodeView | undefined {
  return views.toSorted((a, b) => b.cluster.ringEpoch - a.cluster.ringEpoch)[0];
}
