/**
 * Carries out that certificates are made: the authority first, if there is none, then the members', into their Secrets.
 *
 * Cut off anywhere, it is begun again: what is in the Secrets then is read, and only what is missing is made. Of two
 * operators that both found no authority, the second cannot create another: it is told so, and looks again.
 */
import {
  AUTHORITY_FILE,
  AUTHORITY_KEY_FILE,
  AUTHORITY_LIFE_MS,
  authorityOf,
  BACKDATED_MS,
  bundleOf,
  CERTIFICATE_LIFE_MS,
  encoded,
  fileOf,
  keptFiles,
} from "../core/certificates.ts";
import { SECRETS } from "../core/kinds.ts";
import { authorityName, tlsName } from "../core/names.ts";
import { owned } from "../core/resources/owned.ts";
import type { Wish, World } from "../core/world.ts";
import { AuthorityError, type CertificateMaker, type Issued, type Kube, KubeError } from "../ports.ts";

/**
 * Makes the certificates and stores them.
 *
 * @throws {KubeError} What the API server would not do; "refused" also where the authority that is there is of no use.
 */
export async function issueCertificates(
  { kube, certificates }: { readonly kube: Kube; readonly certificates: CertificateMaker },
  world: World,
  { certificates: wishes, count }: { readonly certificates: readonly Wish[]; readonly count: number },
): Promise<void> {
  const { cluster, nowMs } = world;
  const authority = presentAuthority(world) ?? (await createAuthority({ kube, certificates }, world));
  const bundle = bundleOf(world, authority.certificate, count);
  const data = new Map([...keptFiles(world, count), [AUTHORITY_FILE, encoded(bundle)]]);
  const span = { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + CERTIFICATE_LIFE_MS };
  for (const { pod, names } of wishes) {
    const { certificate, key } = await certificates.issue(authority, names, span).catch(refusedOf(world));
    data.set(`${pod}.crt`, encoded(certificate)).set(`${pod}.key`, encoded(key));
  }
  const head = { apiVersion: "v1", kind: "Secret", name: tlsName(cluster.metadata.name) };
  await kube.apply(SECRETS, owned(cluster, head, { type: "Opaque", data: Object.fromEntries(data) }));
}

function presentAuthority(world: World): Issued | undefined {
  const { cluster, objects } = world;
  const authority = authorityOf(world);
  const key = fileOf(objects.get(`Secret/${authorityName(cluster.metadata.name)}`), AUTHORITY_KEY_FILE);
  return authority === undefined || key === undefined ? undefined : { certificate: authority.toString(), key };
}

/** What a person put into the Secret is no bug of the operator: it is told, of that cluster, and waited for. */
function refusedOf({ cluster }: World): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof AuthorityError)) throw error;
    const secret = authorityName(cluster.metadata.name);
    const message = `no certificate can be made with the Secret ${secret}: ${error.message}; delete it, and another authority is made, or name an issuer of cert-manager in tls.issuer`;
    throw new KubeError("refused", message, { cause: error });
  };
}

async function createAuthority(
  { kube, certificates }: { readonly kube: Kube; readonly certificates: CertificateMaker },
  { cluster, objects, nowMs }: World,
): Promise<Issued> {
  const { name, uid } = cluster.metadata;
  const span = { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + AUTHORITY_LIFE_MS };
  const authority = await certificates.createAuthority(`${name} ${uid}`, span);
  const data = {
    [AUTHORITY_FILE]: encoded(authority.certificate),
    [AUTHORITY_KEY_FILE]: encoded(authority.key),
  };
  const head = { apiVersion: "v1", kind: "Secret", name: authorityName(name) };
  const secret = owned(cluster, head, { type: "Opaque", data });
  // One that is near its end, or broken, is replaced.
  if (objects.has(`Secret/${head.name}`)) await kube.apply(SECRETS, secret);
  else await kube.create(SECRETS, secret);
  return authority;
}
