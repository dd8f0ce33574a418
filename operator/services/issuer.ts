/**
 * Carries out that certificates are made: the authority first, if there is none, then the members', into their Secrets.
 *
 * Cut off anywhere, it is begun again: what is in the Secrets then is read, and only what is missing is made. The authority
 * is created, never replaced: of two operators that both found none, the second is told so and looks again.
 */
import {
  AUTHORITY_FILE,
  AUTHORITY_KEY_FILE,
  AUTHORITY_LIFE_MS,
  BACKDATED_MS,
  CERTIFICATE_LIFE_MS,
  fileOf,
} from "../core/certificates.ts";
import { SECRETS } from "../core/kinds.ts";
import { authorityName, tlsName } from "../core/names.ts";
import { at } from "../core/objects.ts";
import { owned } from "../core/resources/owned.ts";
import type { Wish, World } from "../core/world.ts";
import type { CertificateMaker, Issued, Kube } from "../ports.ts";

/**
 * Makes the certificates and stores them.
 *
 * @throws {KubeError} What the API server would not do.
 */
export async function issueCertificates(
  { kube, certificates }: { readonly kube: Kube; readonly certificates: CertificateMaker },
  world: World,
  wishes: readonly Wish[],
): Promise<void> {
  const { cluster, objects, nowMs } = world;
  const { name } = cluster.metadata;
  const authority = presentAuthority(world) ?? (await createAuthority({ kube, certificates }, world));
  const present = at(objects.get(`Secret/${tlsName(name)}`), "data") as Readonly<Record<string, string>> | undefined;
  const data: Record<string, string> = { ...present, [AUTHORITY_FILE]: encoded(authority.certificate) };
  const span = { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + CERTIFICATE_LIFE_MS };
  for (const { pod, names } of wishes) {
    const { certificate, key } = await certificates.issue(authority, names, span);
    data[`${pod}.crt`] = encoded(certificate);
    data[`${pod}.key`] = encoded(key);
  }
  const head = { apiVersion: "v1", kind: "Secret", name: tlsName(name) };
  await kube.apply(SECRETS, owned(cluster, head, { type: "Opaque", data }));
}

function presentAuthority({ cluster, objects }: World): Issued | undefined {
  const secret = objects.get(`Secret/${authorityName(cluster.metadata.name)}`);
  const [certificate, key] = [fileOf(secret, AUTHORITY_FILE), fileOf(secret, AUTHORITY_KEY_FILE)];
  return certificate === undefined || key === undefined ? undefined : { certificate, key };
}

async function createAuthority(
  { kube, certificates }: { readonly kube: Kube; readonly certificates: CertificateMaker },
  { cluster, nowMs }: World,
): Promise<Issued> {
  const { name, uid } = cluster.metadata;
  const span = { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + AUTHORITY_LIFE_MS };
  const authority = await certificates.createAuthority(`${name} ${uid}`, span);
  const data = {
    [AUTHORITY_FILE]: encoded(authority.certificate),
    [AUTHORITY_KEY_FILE]: encoded(authority.key),
  };
  const head = { apiVersion: "v1", kind: "Secret", name: authorityName(name) };
  await kube.create(SECRETS, owned(cluster, head, { type: "Opaque", data }));
  return authority;
}

function encoded(text: string): string {
  return Buffer.from(text).toString("base64");
}
