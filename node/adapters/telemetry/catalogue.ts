/**
 * What each figure means, its unit and its attributes: for the metrics page, for OTLP, and for the table in
 * docs/operations.md. Names follow OpenTelemetry's semantic conventions where there is one.
 *
 * A test finds every name that the sources use and demands an entry here; another adds up how many time series all of
 * this can become in a cluster of 60.
 */

type Kind = "counter" | "distribution" | "gauge";
type About = {
  readonly kind: Kind;
  readonly description: string;
  /** By OpenTelemetry's code. What is in `ms` is shown in seconds. */
  readonly unit: string;
  /** The attributes, each with how many values it can have: a number, or as many as there are of something. */
  readonly attributes: Readonly<Record<string, number | "members" | "zones">>;
  /** Those of them that are always the same, so that who counts need not say them. */
  readonly constants?: Readonly<Record<string, string>>;
};
type Attributes = About["attributes"];

const counter = (description: string, unit = "", attributes: Attributes = {}): About => ({
  kind: "counter",
  description,
  unit,
  attributes,
});
const gauge = (description: string, unit = "", attributes: Attributes = {}): About => ({
  kind: "gauge",
  description,
  unit,
  attributes,
});
const distribution = (
  description: string,
  unit = "",
  attributes: Attributes = {},
  constants: Readonly<Record<string, string>> = {},
): About => ({ kind: "distribution", description, unit, attributes, constants });

/** Codes of `core/errors.ts` and of HTTP's own errors, and a few to spare; a test compares. */
const ERROR_CODES_MAX = 24;

/**
 * Every figure by its name; one that ends in `*` stands for all that begin so, the last word being the value of its
 * attribute.
 */
export const CATALOGUE: Readonly<Record<string, About>> = {
  "annulus.access.reload_failures": counter("Looks at the file of tokens that found it missing or broken."),
  "annulus.access.reloads": counter("Times that a changed file of tokens was taken over."),
  "annulus.access.tokens": gauge("Tokens that this node knows."),
  "annulus.agreement.ballots": counter("Ballots that this node began to have the next ring document chosen."),
  "annulus.agreement.chosen": counter("Ring documents whose choice this node brought about."),
  "annulus.agreement.votes": counter("Promises and acceptances that this node gave, each synced to its disk."),
  "annulus.background.bytes": counter("Bytes that background work (hints, repair, transfer) was let through.", "By"),
  "annulus.background.bytes_per_second": gauge("What background work may take at present, in bytes a second.", "By/s"),
  "annulus.background.held_back": counter("Times that background work was slowed down because clients waited longer."),
  "annulus.commit.failures": counter("Groups of writes that the store did not take."),
  "annulus.commit.flush.duration": distribution("Time that one group of writes took to become durable.", "ms"),
  "annulus.commit.group_writes": distribution("Writes that shared one flush."),
  "annulus.commit.queued_bytes": gauge("Bytes of writes that wait for the store.", "By"),
  "annulus.commit.refused": counter("Writes refused because too many bytes waited for the store, or for too long."),
  "annulus.console.viewers": gauge("Streams of `/v1/events` that are open: pages of the console, mostly."),
  "annulus.context.over_limit": counter(
    "Writes whose version vector had more entries than it should, for none could go.",
  ),
  "annulus.coordinator.reads_in_flight": gauge("Reads of clients that are coordinated here at present."),
  "annulus.coordinator.reads_limit": gauge(
    "How many may be; found from how long they take, and raised only where it is felt.",
  ),
  "annulus.coordinator.refused": counter("Requests refused beyond these limits after they had been read."),
  "annulus.coordinator.writes_in_flight": gauge("Writes of clients that are coordinated here at present."),
  "annulus.coordinator.writes_limit": gauge("How many may be; see `annulus_coordinator_reads_limit`."),
  "annulus.gossip.failed": counter("Exchanges of gossip that were not answered."),
  "annulus.gossip.held_up": counter("Times that this process was held up and forgave the others that time."),
  "annulus.hints.bytes": gauge("Bytes of the hints kept here for other members.", "By"),
  "annulus.hints.delivered": counter("Hints that their target acknowledged."),
  "annulus.hints.dropped": counter("Surplus hints that nobody kept: over the budget, or the disk refused."),
  "annulus.hints.expired": counter("Surplus hints given up for their age."),
  "annulus.hints.failed": counter("Attempts to deliver a hint that failed; it is tried again."),
  "annulus.hints.refused": counter("Hints not taken because the budget of hints was used up."),
  "annulus.hints.refused_uncounted": counter(
    "Hints not taken because those on the disk could not be counted: it takes no writes, or the count takes long.",
  ),
  "annulus.hints.stamped": counter("Writes stamped here as a stand-in, for no home replica could be reached."),
  "annulus.hints.stored": counter("Writes kept here for a home replica that missed them."),
  "annulus.hints.waiting": gauge("Hints kept here for other members: keys, each with all that its target missed."),
  "annulus.hints.waiting_by_target": gauge("Hints kept here for each member that missed something.", "", {
    target: "members",
  }),
  "annulus.http.client_errors": counter("Connections on which something came that is no HTTP request."),
  "annulus.http.connections_refused": counter("Connections closed because there were too many."),
  "annulus.http.errors.*": counter("Error answers by the error's code; `bug` is a failed assertion.", "", {
    "error.code": ERROR_CODES_MAX,
  }),
  "annulus.identity.incarnations": counter(
    "New incarnations taken while running: something stamped may have been lost, or was handed over by a stand-in.",
  ),
  "annulus.identity.reserve_failures": counter("Failed attempts to reserve counters for dots on the disk."),
  "annulus.leftovers.dropped": counter("Partitions that were given up after all who keep them now had everything."),
  "annulus.leftovers.offered": counter(
    "Comparisons in which a member was given what it lacked of a partition to give up.",
  ),
  "annulus.leftovers.partitions": gauge("Partitions that are still here and no longer this node's."),
  "annulus.members.became.*": counter("Members that this node found to be up, suspect or down.", "", { health: 3 }),
  "annulus.members.down": gauge("Other members that this node holds for down."),
  "annulus.members.phi": gauge("Phi of each other member: how unusual its silence is.", "", { member: "members" }),
  "annulus.members.suspect": gauge("Other members that this node suspects, or has not heard of yet."),
  "annulus.members.up": gauge("Other members that this node holds for up."),
  "annulus.operator.actions.*": counter(
    "What the operator did: apply, create, issue, maketokens, remove, askchange, cancelchange.",
    "",
    {
      action: 8,
    },
  ),
  "annulus.operator.backup_runs": counter("Looks at a KVBackup."),
  "annulus.operator.backup_runs_failed": counter("Looks at a KVBackup that failed and are tried again."),
  "annulus.operator.backups": gauge("KVBackups that the operator knows."),
  "annulus.operator.backups_failing": gauge("KVBackups whose last run failed, or of which no run can begin."),
  "annulus.operator.clusters": gauge("KVClusters that the operator knows."),
  "annulus.operator.events_lost": counter("Events for people that the API server did not take."),
  "annulus.operator.leads": gauge("1 while this operator holds the lease."),
  "annulus.operator.lists": counter("Times that a kind of object was listed whole, to begin a watch or to make sure."),
  "annulus.operator.queue_depth": gauge("KVClusters that wait for their turn."),
  "annulus.operator.run.duration": distribution(
    "Time that one look at a KVCluster took, with what was done about it.",
    "ms",
  ),
  "annulus.operator.runs": counter("Looks at a KVCluster."),
  "annulus.operator.runs_failed": counter("Looks that failed and are tried again."),
  "annulus.operator.watch.silence": gauge("The longest that a watch has heard nothing of the API server.", "ms"),
  "annulus.operator.watches_broken": counter("Lists and watches that failed and are begun again."),
  "annulus.operator.watches_silent": counter("Watches given up because they had gone silent."),
  "annulus.quorum.duration": distribution(
    "Time from a client's request to its quorum, or to the error that it ended with instead.",
    "ms",
    { operation: 3, outcome: 16 },
  ),
  "annulus.read.hedges": counter("Reads that asked one more replica because an answer was late."),
  "annulus.read.hedges_won": counter(
    "Reads that had their quorum with the reply of such a replica before the late one's came.",
  ),
  "annulus.read.hinted": counter("Reads whose answer counted a stand-in in a home's place."),
  "annulus.read.repairs": counter("Replicas found behind by a read and sent what they missed."),
  "annulus.read.repairs_failed": counter("Such repairs that the replica did not take."),
  "annulus.read.replicas_missed": counter("Replicas that a read asked and that did not answer."),
  "annulus.read.ring_changed": counter("Reads that met a later ring and began again by it."),
  "annulus.read.siblings": distribution("Concurrent values that a read found; 0 for a key that was never written."),
  "annulus.read.slow_replicas": gauge("Members that answer reads so late that they are asked last."),
  "annulus.read.write_backs": counter(
    "Strict reads that had their answer written to W replicas before they showed it.",
  ),
  "annulus.rebuild.completed": counter("Times that this node, whose disk was lost, was filled again."),
  "annulus.rebuild.partitions_missing": gauge("Partitions for which this node lacks what its lost disk held."),
  "annulus.repair.contradictions": counter(
    "Records held here that a peer knows to be deleted, though neither may lack anything: they stay different.",
  ),
  "annulus.repair.failures": counter("Visits of anti-entropy to a peer that broke off."),
  "annulus.repair.leaves_differing": counter("Leaves of Merkle trees that differed from a peer's."),
  "annulus.repair.partitions_compared": counter("Partitions whose root was compared with a peer's."),
  "annulus.repair.partitions_differing": counter("Those of them whose root differed."),
  "annulus.repair.partitions_not_ready": counter(
    "Comparisons left to the next round because a tree was being built or counted anew.",
  ),
  "annulus.repair.received_bytes": counter("Bytes that anti-entropy received, about.", "By"),
  "annulus.repair.partitions_failed": counter(
    "Partitions that anti-entropy could not make equal to a peer's, and left.",
  ),
  "annulus.repair.records_too_large": counter("Records that no message could bring to a peer, or from it."),
  "annulus.repair.records_pulled": counter("Records that anti-entropy read at a peer and merged here."),
  "annulus.repair.records_pushed": counter("Records that anti-entropy had a peer merge."),
  "annulus.repair.round.duration": distribution("Time that one round of anti-entropy took.", "ms"),
  "annulus.repair.sent_bytes": counter("Bytes that anti-entropy sent, about.", "By"),
  "annulus.replica.latency": gauge("Median of how long each member takes to answer reads, as reads follow it.", "ms", {
    member: "members",
  }),
  "annulus.ring.epoch": gauge("Epoch of the ring that this node goes by; 0 while it has none."),
  "annulus.ring.homes": gauge("Places of home replicas in each zone, over all partitions.", "", { zone: "zones" }),
  "annulus.ring.partitions_crowded": gauge(
    "Partitions two of whose homes are in one zone though there are zones enough for all.",
  ),
  "annulus.ring.transition": gauge("1 while a change of the ring is under way."),
  "annulus.scrub.failures": counter("Partitions that the scrub could not read to their end."),
  "annulus.scrub.partitions": counter("Partitions that the scrub read and counted anew."),
  "annulus.store.corrupt_records": counter("Records whose checksum was wrong; set aside."),
  "annulus.store.disk_bytes": gauge("Size of the disk that the store is on, others' files included.", "By"),
  "annulus.store.doubt_failures": counter("Tries to settle a doubtful key that failed; made again."),
  "annulus.store.doubts_settled": counter("Doubtful keys that are answered for again."),
  "annulus.store.doubtful_keys": gauge(
    "Keys that this node does not answer for: damaged, and other homes not heard yet.",
  ),
  "annulus.store.free_bytes": gauge(
    "Bytes that may still be written to the disk; absent while it does not tell.",
    "By",
  ),
  "annulus.store.level_bytes": gauge("Size of the tables of each of LevelDB's levels, in whole MiB.", "By", {
    level: 7,
  }),
  "annulus.store.level_files": gauge("Tables of each of LevelDB's levels.", "", { level: 7 }),
  "annulus.store.memory_bytes": gauge("Memory of LevelDB's caches and tables.", "By"),
  "annulus.store.reopenings": counter("Times that the store was closed and opened again after a failed write."),
  "annulus.store.table_bytes": gauge("Size of LevelDB's tables on the disk.", "By"),
  "annulus.store.takes_writes": gauge("1 while the store takes writes, 0 while it refuses them."),
  "annulus.store.write_failures": counter("Batches that LevelDB could not write."),
  "annulus.store.writes_refused": counter("Batches refused for want of disk space."),
  "annulus.tombstones.collected": counter("Deleted keys whose record was removed."),
  "annulus.tombstones.covered": counter("Records of deleted and collected keys that came once more and were not kept."),
  "annulus.tombstones.dropped": counter("Records given up because a peer knows that their key was deleted."),
  "annulus.tombstones.horizons": gauge("Partitions of which deletions may be forgotten up to a horizon."),
  "annulus.tombstones.horizons_raised": counter(
    "Collection horizons that this node raised, by evidence of all members.",
  ),
  "annulus.tombstones.partitions_vouched": gauge(
    "Those of them in which this node can tell what was deleted from what it lost.",
  ),
  "annulus.tombstones.waiting_for_evidence": counter(
    "Partitions, round after round, whose deletions are old enough and could not be collected: a member is away, hints wait, or homes differ.",
  ),
  "annulus.tls.expires.*": gauge("Time until the certificate of a port ends: peer, data or admin.", "s", { port: 3 }),
  "annulus.tls.reload_failures": counter("Looks at changed TLS files that could not be used; the old ones stay."),
  "annulus.tls.reloads": counter("Changed TLS files that were taken over."),
  "annulus.transfer.bytes": counter("Bytes that were copied of partitions that a change of the ring brings.", "By"),
  "annulus.transfer.failures": counter("Pages of a partition that one of its homes did not give."),
  "annulus.transfer.partitions_missing": gauge("Partitions of a change under way of which not all is here yet."),
  "annulus.transport.broken_frames": counter("Frames of peers that could not be read; the link was closed."),
  "annulus.transport.broken_replies": counter("Replies of peers that could not be understood."),
  "annulus.transport.closed_links": counter("Links to peers that ended."),
  "annulus.transport.dropped_connections": counter("Connections to the peer port dropped before the handshake."),
  "annulus.transport.expired_requests": counter("Requests of peers that came too late to be worth serving."),
  "annulus.transport.failed_handshakes": counter("Handshakes with peers that broke off."),
  "annulus.transport.in_flight_requests": gauge("Requests to peers that are not answered yet."),
  "annulus.transport.late_replies": counter("Replies that came after their request was given up."),
  "annulus.transport.links": gauge("Links to peers that stand."),
  "annulus.transport.opened_links": counter("Links to peers that were opened."),
  "annulus.transport.outgoing_bytes": gauge("Bytes that wait to be sent to peers.", "By"),
  "annulus.transport.overloaded": counter("Requests not sent because too much waited for the peer."),
  "annulus.transport.refused_strangers": counter(
    "Handshakes refused, by this side or the other: another cluster, protocol, member or certificate.",
  ),
  "annulus.transport.timed_out_requests": counter("Requests to peers that were not answered in time."),
  "annulus.transport.untrusted_links": gauge("Links to peers that `ANNULUS_PEER_TLS=require` would refuse."),
  "annulus.transport.writes_refused": counter(
    "Writes of peers refused because too many of theirs waited for this disk.",
  ),
  "annulus.trees.builds": counter("Merkle trees of partitions that were built by scan."),
  "annulus.trees.built": gauge("Partitions of this node whose Merkle tree is built."),
  "annulus.trees.leaves_corrected": counter("Leaves whose sum was wrong when it was counted anew."),
  "annulus.trees.owned": gauge("Partitions that this node keeps a Merkle tree of."),
  "annulus.write.hinted": counter("Writes whose acknowledgement stood on a stand-in's hint."),
  "annulus.write.hints_short": counter(
    "Writes that fell short of W although stand-ins were asked for hints that count.",
  ),
  "annulus.write.replicas_missed": counter("Home replicas that did not acknowledge a write."),
  "annulus.write.ring_changed": counter("Writes that met a later ring and began again by it."),
  "annulus.write.stamp_retries": counter("Writes for which the next home replica had to be asked to stamp."),
  "db.client.operation.duration": distribution(
    "Time that another replica took to answer a coordinator here: the replica's latency.",
    "ms",
    { "db.operation.name": 3, "db.system.name": 1, "error.type": 16 },
    { "db.system.name": "annulus" },
  ),
  "http.server.active_requests": gauge("Client requests in work.", "", { "http.request.method": 5, "url.scheme": 2 }),
  "http.server.request.duration": distribution("Time to answer a request of a client, errors included.", "ms", {
    "http.request.method": 5,
    "http.response.status_code": 16,
    "http.route": 1,
    "url.scheme": 1,
  }),
  "nodejs.eventloop.delay.max": gauge("Most by which the event loop was late in the last 10 s or more.", "ms"),
  "nodejs.eventloop.delay.p99": gauge("The same, 99th percentile.", "ms"),
  "nodejs.eventloop.utilization": gauge("Share of the time since the last look in which the event loop was busy."),
  "process.cpu.time": counter("Processor time used by the process.", "s", { "cpu.mode": 2 }),
  "process.memory.usage": gauge("Resident memory of the process.", "By"),
  "process.uptime": gauge("Time since the process was started.", "s"),
  "v8js.gc.duration": distribution("Time that collecting garbage took.", "ms", { "v8js.gc.type": 4 }),
  "v8js.memory.external": gauge("Memory of buffers outside of the heap.", "By"),
  "v8js.memory.heap.used": gauge("Memory used in each space of the JavaScript heap.", "By", {
    "v8js.heap.space.name": 12,
  }),
};

/** The figures without attributes that a program keeps. */
export function unlabelled(program: "node" | "operator"): readonly (readonly [name: string, about: About])[] {
  return Object.entries(CATALOGUE).filter(
    ([name, { attributes }]) =>
      Object.keys(attributes).length === 0 && name.startsWith("annulus.operator.") === (program === "operator"),
  );
}

/** What is known of a figure (its name without attributes), or undefined. */
export function describeFigure(name: string): About | undefined {
  return CATALOGUE[name] ?? CATALOGUE[name.replace(/\.[^.]+$/, ".*")];
}
