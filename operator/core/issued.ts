/**
 * Certificates that cert-manager makes: what it is asked for, and how what it made reaches the members.
 *
 * For each member a Certificate object, whose Secret cert-manager writes and renews. Pods of a StatefulSet cannot mount
 * different Secrets, so its files are copied into the one that all of them mount (certificates.ts). A certificate of an authority that
 * members do not trust yet waits: first all trust it beside the others, which takes the kubelets a while, then members
 * show certificates of it, and once these have come to all pods what nobody shows is trusted no more. When that was stands as
 * annotations on the Secret. Pure.
 */
import type { X509Certificate } from "node:crypto";
import type { Cluster } from "../api/kvcluster.ts";
import {
  AUTHORITY_FILE,
  certificatesIn,
  certifiedNames,
  encoded,
  fileOf,
  isIssued,
  isNamed,
  peerTlsOf,
  SPREAD_MS,
  usesTls,
} from "./certificates.ts";
import { formatInstant, readInstant } from "./instant.ts";
import { CERTIFICATES } from "./kinds.ts";
import { certificateName, podName, tlsName } from "./names.ts";
import { at, type KubeObject } from "./objects.ts";
import { owned } from "./resources/owned.ts";
import type { Action, World } from "./world.ts";

/** On the mounted Secret: when an authority was last trusted anew, and when a member's certificate last became another. */
const TRUSTED_ANNOTATION = "annulus.dev/authorities-since";
const SHOWN_ANNOTATION = "annulus.dev/certificates-since";
/** As long, and renewed as early, as those of the operator; written as cert-manager writes it back. */
const [DURATION, RENEW_BEFORE] = ["2160h0m0s", "720h0m0s"];

/** Whether the cluster's certificates come from cert-manager. */
export function usesIssuer(world: Pick<World, "cluster" | "pods">): boolean {
  return world.cluster.spec.tls.issuer !== undefined && usesTls(world.cluster, peerTlsOf(world));
}

/** The Certificate of a pod, by whose name its Secret goes, too. */
export function certificateOf(cluster: Cluster, pod: string): KubeObject {
  const name = certificateName(pod);
  const spec = {
    secretName: name,
    dnsNames: certifiedNames(cluster, pod),
    usages: ["digital signature", "server auth", "client auth"],
    duration: DURATION,
    renewBefore: RENEW_BEFORE,
    privateKey: { algorithm: "ECDSA", size: 256, encoding: "PKCS8", rotationPolicy: "Always" },
    issuerRef: cluster.spec.tls.issuer,
  };
  return owned(cluster, { ...CERTIFICATES, name }, { spec });
}

type Files = { readonly certificate: string; readonly key: string; readonly authorities: readonly X509Certificate[] };

/** What is to be done: Certificates to ask for, and the mounted Secret; `awaited` are pods for which there is none yet. */
export function issuedDue(world: World, pods: number): { readonly actions: Action[]; readonly awaited: string[] } {
  const { cluster } = world;
  const names = Array.from({ length: pods }, (_, ordinal) => podName(cluster.metadata.name, ordinal));
  const actions = names.map((pod): Action => ({ kind: "apply", object: certificateOf(cluster, pod) }));
  const made = new Map(names.flatMap((pod) => filesOf(world, pod)));
  const secret = mountedSecret(world, names, made);
  const files = Object.keys(at(secret, "data") as object);
  if (made.size > 0) actions.push({ kind: "apply", object: secret });
  return { actions, awaited: names.filter((pod) => !files.includes(`${pod}.crt`)) };
}

/** That there is no certificate for those named, and what to do. */
export function whyAwaited({ cluster }: Pick<World, "cluster">, named: string): string {
  const { kind, name } = cluster.spec.tls.issuer ?? {};
  return `cert-manager has made no certificate with its authority (ca.crt) for ${named}: look at ${kind} ${name}`;
}

/** Why a pod has no certificate that it could be started with; undefined where it has one, or needs none. */
export function whyUncertified(world: World, pod: string): string | undefined {
  const secret = world.objects.get(`Secret/${tlsName(world.cluster.metadata.name)}`);
  if (!usesIssuer(world) || fileOf(secret, `${pod}.crt`) !== undefined) return undefined;
  return whyAwaited(world, "it");
}

/** What cert-manager has made for a pod, if it is of the names that it should have and its authority is told. */
function filesOf({ cluster, issued, nowMs }: World, pod: string): [string, Files][] {
  const secret = issued.get(pod);
  const [certificate, key] = [fileOf(secret, "tls.crt"), fileOf(secret, "tls.key")];
  const chain = certificatesIn(certificate);
  const authorities = certificatesIn(fileOf(secret, AUTHORITY_FILE));
  if (certificate === undefined || key === undefined || !leadsTo(chain, authorities)) return [];
  const [leaf] = chain;
  const isFit = leaf !== undefined && leaf.validToDate.getTime() > nowMs && isNamed(leaf, certifiedNames(cluster, pod));
  return isFit ? [[pod, { certificate, key, authorities }]] : [];
}

/** Whether a certificate, with those that stand behind it, leads to one of the authorities. */
function leadsTo(chain: readonly X509Certificate[], authorities: readonly X509Certificate[]): boolean {
  for (const [index, one] of chain.entries()) {
    if (authorities.some((authority) => isIssued(one, authority))) return true;
    const next = chain[index + 1];
    if (next === undefined || !isIssued(one, next)) return false;
  }
  return false;
}

function mountedSecret(
  { cluster, objects, nowMs }: World,
  pods: readonly string[],
  made: ReadonlyMap<string, Files>,
): KubeObject {
  const secret = objects.get(`Secret/${tlsName(cluster.metadata.name)}`);
  const annotations = secret?.metadata.annotations ?? {};
  const trusted = certificatesIn(fileOf(secret, AUTHORITY_FILE)).filter((one) => one.validToDate.getTime() > nowMs);
  const wanted = unique([...made.values()].flatMap(({ authorities }) => authorities));
  const isNew = trusted.length > 0 && wanted.some((one) => !includes(trusted, one));
  const trustedAt = isNew ? formatInstant(nowMs) : annotations[TRUSTED_ANNOTATION];
  const isSpread = !isNew && isOver(trustedAt, nowMs);
  const data = new Map(Object.entries((at(secret, "data") as Readonly<Record<string, string>> | undefined) ?? {}));
  let hasMoved = false;
  for (const [pod, { certificate, key }] of made) {
    const shown = certificatesIn(fileOf(secret, `${pod}.crt`));
    const isGood = leadsTo(shown, trusted) && (shown[0]?.validToDate.getTime() ?? 0) > nowMs;
    if (isGood && (!isSpread || fileOf(secret, `${pod}.crt`) === certificate)) continue;
    hasMoved ||= isGood;
    data.set(`${pod}.crt`, encoded(certificate)).set(`${pod}.key`, encoded(key));
  }
  const shownAt = hasMoved ? formatInstant(nowMs) : annotations[SHOWN_ANNOTATION];
  const shown = pods.flatMap((pod) => data.get(`${pod}.crt`) ?? []);
  const isShown = shown.some((text) => !leadsTo(certificatesIn(Buffer.from(text, "base64").toString()), wanted));
  const kept = isShown || !isOver(shownAt, nowMs) ? trusted : [];
  data.set(
    AUTHORITY_FILE,
    encoded(
      unique([...wanted, ...kept])
        .map(String)
        .join(""),
    ),
  );
  const since = { [TRUSTED_ANNOTATION]: trustedAt, [SHOWN_ANNOTATION]: shownAt };
  const head = { apiVersion: "v1", kind: "Secret", name: tlsName(cluster.metadata.name), annotations: since };
  return owned(cluster, head, { type: "Opaque", data: Object.fromEntries(data) });
}

function isOver(instant: string | undefined, nowMs: number): boolean {
  return nowMs >= (readInstant(instant) ?? 0) + SPREAD_MS;
}

function includes(certificates: readonly X509Certificate[], one: X509Certificate): boolean {
  return certificates.some(({ fingerprint256 }) => fingerprint256 === one.fingerprint256);
}

function unique(certificates: readonly X509Certificate[]): X509Certificate[] {
  return certificates.filter((one, index) => !includes(certificates.slice(0, index), one));
}
