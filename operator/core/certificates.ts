/**
 * The certificates of a cluster's members: which there should be, which are due, and who uses them how.
 *
 * Two Secrets. `<cluster>-authority` has the authority's certificate and key, and nobody mounts it. `<cluster>-tls` is
 * mounted by all pods: `ca.crt`, and for each member `<pod>.crt` and `<pod>.key`. It is one, since all pods of a StatefulSet
 * mount the same; so that a pod that was taken over can read the others' keys, too (docs/security.md).
 *
 * A member's certificate is made anew when a third of its life is left, or its names are not those that it should have,
 * or another authority made it. A new authority is first trusted beside the old one by all, which takes the kubelets a
 * while; only then do members get its certificates, and only once all show these is the old one trusted no more. Pure: dates and names are read here, keys and certificates are made by an adapter.
 */
import { X509Certificate } from "node:crypto";
import type { Cluster } from "../api/kvcluster.ts";
import { ADMIN_PORT, authorityName, DATA_PORT, ordinalOf, peersDomain, podName, tlsName } from "./names.ts";
import { at, type KubeObject, textAt } from "./objects.ts";
import type { Action, PeerTls, PodFacts, Wish, World } from "./world.ts";

/** Where pods find their certificates. */
export const TLS_DIRECTORY = "/etc/annulus-tls";
export const AUTHORITY_FILE = "ca.crt";
export const AUTHORITY_KEY_FILE = "ca.key";

const DAY_MS = 86_400_000;
export const CERTIFICATE_LIFE_MS = 90 * DAY_MS;
export const AUTHORITY_LIFE_MS = 3_650 * DAY_MS;
/** How long kubelets may take to bring what changed in a Secret to all pods that mount it. */
export const SPREAD_MS = 300_000;
/** The clocks of machines differ: a certificate is valid from a little before it was made. */
export const BACKDATED_MS = 3_600_000;
const YEAR_MS = 365 * DAY_MS;
const RENEWED_WITH_LEFT_MS = CERTIFICATE_LIFE_MS / 3;

/**
 * How the members' pods are to be started. Between plain and required, in either direction, they are restarted with
 * `allow` first, one by one, so that none is ever cut off from the rest.
 */
export function peerTlsOf({ cluster, pods }: Pick<World, "cluster" | "pods">): PeerTls {
  const [wanted, opposite]: [PeerTls, PeerTls] = cluster.spec.tls.peers ? ["require", "off"] : ["off", "require"];
  return pods.some(({ peerTls }) => peerTls === opposite) ? "allow" : wanted;
}

/** The pod that is not yet started as the spec has it in the end, for the others could not all speak with it then. */
export function halfwayPod({ cluster, pods }: Pick<World, "cluster" | "pods">): PodFacts | undefined {
  const wanted = cluster.spec.tls.peers ? "require" : "off";
  return pods.find(({ peerTls }) => peerTls !== wanted);
}

/** Whether pods that are started so need certificates. */
export function usesTls({ spec: { tls } }: Cluster, peerTls: PeerTls): boolean {
  return peerTls !== "off" || tls.admin || tls.data;
}

/** The settings of a node that is started so; they refer to ANNULUS_NODE, which must stand before them. */
export function tlsSettings(cluster: Cluster, peerTls: PeerTls): Record<string, string> {
  const { admin, data } = cluster.spec.tls;
  const pair = (port: string) => ({
    [`ANNULUS_${port}_TLS_CERTIFICATE_FILE`]: `${TLS_DIRECTORY}/$(ANNULUS_NODE).crt`,
    [`ANNULUS_${port}_TLS_KEY_FILE`]: `${TLS_DIRECTORY}/$(ANNULUS_NODE).key`,
  });
  return {
    ...(data ? pair("DATA") : {}),
    ...(admin ? pair("ADMIN") : {}),
    ...(data || admin ? commandLineSettings(cluster) : {}),
    ...(peerTls === "off"
      ? {}
      : {
          ...pair("PEER"),
          ANNULUS_PEER_TLS: peerTls,
          ANNULUS_PEER_TLS_CA_FILE: `${TLS_DIRECTORY}/${AUTHORITY_FILE}`,
          ANNULUS_PEER_TLS_DOMAIN: peersDomain(cluster),
        }),
  };
}

/** How the command line in a pod reaches its node, and by what it knows it: certificates hold names, and no address. */
function commandLineSettings({ spec: { tls } }: Cluster): Record<string, string> {
  const url = (isSecure: boolean, port: number) => `${isSecure ? "https" : "http"}://localhost:${port}`;
  return {
    ANNULUS_URL: url(tls.data, DATA_PORT),
    ANNULUS_ADMIN_URL: url(tls.admin, ADMIN_PORT),
    ANNULUS_CA_FILE: `${TLS_DIRECTORY}/${AUTHORITY_FILE}`,
  };
}

/** What a member's certificate says: its own name first, then those by which clients and Prometheus come to it. */
export function certifiedNames(cluster: Cluster, pod: string): readonly string[] {
  const { name, namespace } = cluster.metadata;
  const domain = peersDomain(cluster);
  return [`${pod}.${domain}`, domain, `${name}.${namespace}.svc`, `${name}.${namespace}`, name, "localhost"];
}

/** By what a pod's admin port is known where it speaks TLS; see `AdminTarget`. */
export function adminIdentity(
  { cluster, objects }: Pick<World, "cluster" | "objects">,
  pod: string,
): { readonly authorities: string; readonly name: string } {
  const authorities = fileOf(objects.get(`Secret/${tlsName(cluster.metadata.name)}`), AUTHORITY_FILE) ?? "";
  return { authorities, name: `${pod}.${peersDomain(cluster)}` };
}

/**
 * Who has certificates: pods that there are to be, and those that still stand. What is left in the Secret of members that are gone
 * nobody shows, and it is not made anew: an authority must not be trusted for its sake.
 */
function certifiedPods({ cluster, pods }: World, count: number): readonly string[] {
  const wanted = Array.from({ length: count }, (_, ordinal) => podName(cluster.metadata.name, ordinal));
  return [...wanted, ...pods.flatMap(({ name, ordinal }) => (ordinal < count ? [] : [name]))];
}

/** The files of the Secret, as it is, without those of members that are gone. */
export function keptFiles(world: World, count: number): readonly [string, string][] {
  const { cluster, objects } = world;
  const { name } = cluster.metadata;
  const kept = new Set(certifiedPods(world, count));
  const data = at(objects.get(`Secret/${tlsName(name)}`), "data") as Readonly<Record<string, string>> | undefined;
  return Object.entries(data ?? {}).filter(([file]) => {
    const pod = file.replace(/\.(crt|key)$/, "");
    return ordinalOf(name, pod) === undefined || kept.has(pod);
  });
}

/**
 * What is to be made now: an authority, members' certificates, or a bundle of other authorities.
 *
 * @param count How many pods there are to be.
 */
export function certificatesDue(world: World, count: number): Action[] {
  const { cluster, objects, nowMs } = world;
  if (!usesTls(cluster, peerTlsOf(world))) return [];
  const { name } = cluster.metadata;
  const authority = authorityOf(world);
  const secret = objects.get(`Secret/${tlsName(name)}`);
  const trusted = certificatesIn(fileOf(secret, AUTHORITY_FILE));
  const isTrusted = (certificate: X509Certificate) => trusted.some((other) => isIssued(certificate, other));
  // Until all pods trust a new authority they show what the old one made, as long as there is that.
  const mayWait = authority === undefined || nowMs < madeMs(authority) + SPREAD_MS;
  const due: Wish[] = [];
  for (const pod of certifiedPods(world, count)) {
    const names = certifiedNames(cluster, pod);
    const [present] = certificatesIn(fileOf(secret, `${pod}.crt`));
    const isGood = present !== undefined && isFit(present, names, nowMs);
    const isOurs = isGood && authority !== undefined && isIssued(present, authority);
    if (!isOurs && !(isGood && mayWait && isTrusted(present))) due.push({ pod, names });
  }
  const bundle = authority === undefined ? undefined : bundleOf(world, authority.toString(), count);
  const isBundled = bundle !== undefined && bundle === fileOf(secret, AUTHORITY_FILE);
  if (due.length === 0 && isBundled) return [];
  const why = authority === undefined ? "there is no authority" : "missing, near their end, or of other names";
  return [
    { kind: "issue", certificates: due, count, why: due.length === 0 ? "other authorities are to be trusted" : why },
  ];
}

/**
 * The authorities that members are to trust: the present one, and earlier ones while a member may still show a
 * certificate of theirs.
 *
 * @param authority The present one's certificate, PEM.
 * @param count How many pods there are to be.
 */
export function bundleOf(world: World, authority: string, count: number): string {
  const { cluster, objects, nowMs } = world;
  const own = new X509Certificate(authority);
  const secret = objects.get(`Secret/${tlsName(cluster.metadata.name)}`);
  const shown = certifiedPods(world, count).flatMap((pod) => certificatesIn(fileOf(secret, `${pod}.crt`)));
  const isOver = shown.every((one) => isIssued(one, own) && nowMs >= madeMs(one) + SPREAD_MS);
  const earlier = certificatesIn(fileOf(secret, AUTHORITY_FILE)).filter(
    (one) => one.fingerprint256 !== own.fingerprint256 && one.validToDate.getTime() > nowMs,
  );
  return [own, ...(isOver ? [] : earlier)].map(String).join("");
}

/**
 * The authority that is there, with a year left at least; undefined where a new one is needed. One from before certificates
 * came from elsewhere does not count: no member trusts it any more, and all must before one shows what it makes.
 */
export function authorityOf({ cluster, objects, nowMs }: World): X509Certificate | undefined {
  const secret = objects.get(`Secret/${authorityName(cluster.metadata.name)}`);
  const [authority] = certificatesIn(fileOf(secret, AUTHORITY_FILE));
  const hasKey = fileOf(secret, AUTHORITY_KEY_FILE) !== undefined;
  const trusted = certificatesIn(fileOf(objects.get(`Secret/${tlsName(cluster.metadata.name)}`), AUTHORITY_FILE));
  const isTrusted = ({ fingerprint256 }: X509Certificate) => fingerprint256 === authority?.fingerprint256;
  if (trusted.length > 0 && !trusted.some(isTrusted)) return undefined;
  return hasKey && authority !== undefined && authority.validToDate.getTime() - nowMs > YEAR_MS ? authority : undefined;
}

function isFit(certificate: X509Certificate, names: readonly string[], nowMs: number): boolean {
  return certificate.validToDate.getTime() - nowMs >= RENEWED_WITH_LEFT_MS && isNamed(certificate, names);
}

/** Whether a certificate holds all of these DNS names, letter by letter. */
export function isNamed(certificate: X509Certificate, names: readonly string[]): boolean {
  return names.every((one) => certificate.checkHost(one, { subject: "never", wildcards: false }) !== undefined);
}

/** Whether a certificate was made by the very authority. */
export function isIssued(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

function madeMs(certificate: X509Certificate): number {
  return certificate.validFromDate.getTime() + BACKDATED_MS;
}

/** A text as a Secret holds it. */
export function encoded(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** The text of a Secret's file. */
export function fileOf(secret: KubeObject | undefined, file: string): string | undefined {
  const held = textAt(secret, "data", file);
  return held === undefined ? undefined : Buffer.from(held, "base64").toString("utf8");
}

/** Those that can be read; somebody's hand was in the others, and they are made anew. */
export function certificatesIn(text: string | undefined): X509Certificate[] {
  const blocks = text?.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}
