/** What members trust and show by the Secret that they mount, as it is at a moment. */
import { X509Certificate } from "node:crypto";
import { readIdentity } from "../../node/adapters/tls/identity.ts";
import { fileOf } from "../../operator/core/certificates.ts";
import { type FakeCluster, NAME } from "./fake-cluster.ts";

export const secretOf = (cluster: FakeCluster) => cluster.kube.find("Secret", `${NAME}-tls`);

/** Reads a member's files as its node does when it starts, for its peer port. */
export function identityOf(cluster: FakeCluster, pod: string) {
  const text = (file: string) => Buffer.from(fileOf(secretOf(cluster), file) ?? "");
  return readIdentity(
    { certificate: text(`${pod}.crt`), key: text(`${pod}.key`), authorities: text("ca.crt") },
    { certificate: `${pod}.crt`, key: `${pod}.key`, authorities: "ca.crt" },
    { port: "the peer port", name: `${pod}.${NAME}-peers.default.svc`, isMutual: true },
    cluster.kube.nowMs,
  );
}

export type View = { readonly authorities: readonly X509Certificate[]; readonly shown: readonly X509Certificate[] };

/** What a pod with the files as they are now trusts, and what the members with these files show. */
export function viewOf(cluster: FakeCluster): View {
  const bundle = fileOf(secretOf(cluster), "ca.crt") ?? "";
  const blocks = bundle.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? [];
  return {
    authorities: blocks.map((block) => new X509Certificate(block)),
    shown: [0, 1, 2].map((ordinal) => new X509Certificate(fileOf(secretOf(cluster), `${NAME}-${ordinal}.crt`) ?? "")),
  };
}

/** Whether a pod with one view takes all that the members of another show. */
export function knows(one: View, other: View): boolean {
  return other.shown.every((shown) => one.authorities.some((authority) => shown.verify(authority.publicKey)));
}
