/**
 * The certificates of a cluster's members: which there should be, which are due, and who uses them how.
 *
 * Two Secrets. `<cluster>-authority` has the authority's certificate and key, and nobody mounts it. `<cluster>-tls` is
 * mounted by all pods: `ca.crt`, and for each member `<pod>.crt` and `<pod>.key`. It is one, since all pods of a StatefulSet
 * mount the same; so that a pod that was taken over can read the others' keys, too (docs/security.md).
 *
 * A member's certificate is made anew when a third of its life is left, or its names are not those that it should have,
 * or another authority made it. Pure: dates and names are read here, keys and certificates are made by an adapter.
 */
import { X509Certificate } from "node:crypto";
import type { Cluster } from "../api/kvcluster.ts";
import { authorityName, peersDomain, podName, tlsName } from "./names.ts";
import { type KubeObject, textAt } from "./objects.ts";
import type { Action, PeerTls, PodFacts, Wish, World } from "./world.ts";

/** Where pods find their certificates. */
export const TLS_DIRECTORY = "/etc/annulus-tls";
export const AUTHORITY_FILE = "ca.crt";
export const AUTHORITY_KEY_FILE = "ca.key";

const DAY_MS = 86_400_000;
export const CERTIFICATE_LIFE_MS = 90 * DAY_MS;
export const AUTHORITY_LIFE_MS = 3_650 * DAY_MS;
/** The clocks of machines differ: a certificate is valid from a little before it was made. */
export const BACKDATED_MS = 3_600_000;
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

/** What a member's certificate says: its own name first, then those by which clients and Prometheus come to it. */
export function certifiedNames(cluster: Cluster, pod: string): readonly string[] {
  const { name, namespace } = cluster.metadata;
  const domain = peersDomain(cluster);
  return [`${pod}.${domain}`, domain, `${name}.${namespace}.svc`, `${name}.${namespace}`, name, "localhost"];
}

/** Where a pod's admin port is, and how it is spoken to. */
export function adminTarget(
  world: Pick<World, "cluster" | "objects">,
  pod: Pick<PodFacts, "name" | "isAdminSecure">,
  ip: string,
): { pod: string; ip: string; tls?: { authorities: string; name: string } } {
  const target = { pod: pod.name, ip };
  if (!pod.isAdminSecure) return target;
  const { cluster, objects } = world;
  const authorities = fileOf(objects.get(`Secret/${tlsName(cluster.metadata.name)}`), AUTHORITY_FILE) ?? "";
  return { ...target, tls: { authorities, name: `${pod.name}.${peersDomain(cluster)}` } };
}

/** The certificates that are to be made now. */
export function certificatesDue(world: World, pods: number): Action[] {
  const { cluster, objects, nowMs } = world;
  if (!usesTls(cluster, peerTlsOf(world))) return [];
  const { name } = cluster.metadata;
  const authority = certificateIn(objects.get(`Secret/${authorityName(name)}`), AUTHORITY_FILE);
  const secret = objects.get(`Secret/${tlsName(name)}`);
  const due: Wish[] = [];
  for (let ordinal = 0; ordinal < pods; ordinal += 1) {
    const pod = podName(name, ordinal);
    const names = certifiedNames(cluster, pod);
    const present = certificateIn(secret, `${pod}.crt`);
    if (authority === undefined || !isGood(present, { authority, names, nowMs })) due.push({ pod, names });
  }
  if (due.length === 0) return [];
  const why = authority === undefined ? "there is no authority yet" : "missing, near their end, or of other names";
  return [{ kind: "issue", certificates: due, why }];
}

function isGood(
  certificate: X509Certificate | undefined,
  wanted: { readonly authority: X509Certificate; readonly names: readonly string[]; readonly nowMs: number },
): boolean {
  if (certificate === undefined) return false;
  const { authority, names, nowMs } = wanted;
  if (certificate.validToDate.getTime() - nowMs < RENEWED_WITH_LEFT_MS) return false;
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) return false;
  return names.every((one) => certificate.checkHost(one, { subject: "never", wildcards: false }) !== undefined);
}

/** The text of a Secret's file. */
export function fileOf(secret: KubeObject | undefined, file: string): string | undefined {
  const encoded = textAt(secret, "data", file);
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("utf8");
}

function certificateIn(secret: KubeObject | undefined, file: string): X509Certificate | undefined {
  const text = fileOf(secret, file);
  if (text === undefined) return undefined;
  try {
    return new X509Certificate(text);
  } catch {
    return undefined; // Somebody's hand was in it: it is made anew.
  }
}
