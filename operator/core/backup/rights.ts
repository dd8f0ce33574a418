/**
 * What a backup needs in order to read a cluster: every key, and a look at cluster and ring; nothing that changes anything. So it is never
 * given the administrator's token, which has no right on keys anyway, but one that the KVCluster's manifest names.
 */
import type { Backup } from "../../api/kvbackup.ts";
import { type Access, accessOf, type Cluster } from "../../api/kvcluster.ts";

export type Rights =
  | { readonly kind: "none-needed" }
  | { readonly kind: "token"; readonly secret: { readonly name: string; readonly key: string } }
  | { readonly kind: "wanting"; readonly why: string };

type Grant = {
  readonly data: Access["anonymous"]["data"];
  readonly cluster: Access["tokens"][number]["cluster"];
  readonly prefixes?: readonly string[] | undefined;
};

const ADVICE = "data: read and cluster: monitor";

/** By what right the runs of a backup read the cluster. */
export function rightsOf({ spec }: Cluster, backup: Backup): Rights {
  const { mode, anonymous, tokens } = accessOf(spec);
  if (mode === "open") return { kind: "none-needed" };
  const name = backup.spec.token;
  if (name === undefined) {
    if (isEnough([anonymous])) return { kind: "none-needed" };
    const why = `callers without a token may not read every key and see the cluster: add a token with ${ADVICE} to the KVCluster's access.tokens, and name it in token`;
    return { kind: "wanting", why };
  }
  const token = tokens.find((one) => one.name === name);
  if (token === undefined) {
    const why = `the KVCluster's access.tokens has no ${name}: add it there with ${ADVICE}, or name another in token`;
    return { kind: "wanting", why };
  }
  if (isEnough([anonymous, token])) return { kind: "token", secret: token.secret };
  const why = `the token ${name} may not read every key and see the cluster: give it ${ADVICE}, without prefixes`;
  return { kind: "wanting", why };
}

/** Whoever shows a token keeps what everybody may do. */
function isEnough(grants: readonly Grant[]): boolean {
  const reads = grants.some(({ data, prefixes }) => data !== "none" && prefixes === undefined);
  return reads && grants.some(({ cluster }) => cluster !== "none");
}
