/**
 * Tokens of a cluster: who may do what by its manifest, and the Secret by which the nodes know it.
 *
 * `<cluster>-access` is mounted by all pods: `admin-token`, which the operator makes, for changes of the cluster; the
 * `admin-token.next` that will take its place; and `tokens.json`, the nodes' file, with the digests of these two and of the
 * tokens that the manifest names. The nodes know the next token before anybody uses it: so whoever deletes `admin-token`
 * gets a new one that holds at once on all of them, and the operator is never without one.
 *
 * A token of the manifest is the text in somebody else's Secret, of a type of its own: whoever may write KVClusters must not
 * be able to try out the secrets of others. What cannot be used is left out and said: the nodes would refuse the whole file.
 *
 * Pods are started with tokens only once the nodes that run say that they know of them: an earlier release would not start
 * with a setting that it does not know. So an upgrade takes two rolls, the image first. Pure: tokens are drawn by a service.
 */
import { createHash } from "node:crypto";
import { type Access, accessOf, type Cluster } from "../api/kvcluster.ts";
import { encoded, fileOf } from "./certificates.ts";
import { accessName } from "./names.ts";
import { inPlaceOf, type KubeObject, textAt } from "./objects.ts";
import { owned } from "./resources/owned.ts";
import type { Action, World } from "./world.ts";

/** Where pods find the files. */
export const ACCESS_DIRECTORY = "/etc/annulus-access";
/** Who shows what stands in it may change the cluster. */
export const ADMIN_TOKEN_FILE = "admin-token";
const NEXT_TOKEN_FILE = "admin-token.next";
export const TABLE_FILE = "tokens.json";
/** The type of a Secret that may be named in a manifest. */
export const TOKEN_SECRET_TYPE = "annulus.dev/token";

/** What a header can carry (RFC 6750), and long enough that nobody finds it by trying. */
const TOKEN = /^[A-Za-z0-9._~+/-]{32,512}={0,2}$/;
/** Names that no manifest can give: they have a dot. */
const ADMIN_NAMES = ["annulus.admin", "annulus.admin-next"] as const;

/** The tokens that the operator makes. */
export type AdminTokens = { readonly admin: string; readonly next: string };

type Seen = Pick<World, "cluster" | "pods" | "objects" | "statefulSet" | "answers" | "policy">;

/** Whether pods are to be started so that they ask for tokens, now. */
export function startsWithTokens({ cluster, pods, statefulSet, answers, policy }: Seen): boolean {
  if (!wantsTokens(cluster)) return false;
  if (statefulSet === undefined && pods.length === 0) return true;
  if (statefulSet?.asksForToken === true || pods.some(({ asksForToken }) => asksForToken)) return true;
  if (statefulSet === undefined || pods.length === 0) return false;
  const { isObserved, updateRevision, image } = statefulSet;
  if (!isObserved || image !== (cluster.spec.image ?? policy.nodeImage)) return false;
  return pods.every(({ name, revision }) => revision === updateRevision && knowsTokens({ answers }, name));
}

/** Whether a pod's node says that its release knows tokens. */
function knowsTokens({ answers }: Pick<World, "answers">, pod: string): boolean {
  const answer = answers.get(pod);
  return answer?.kind === "answer" && answer.knowsTokens;
}

/** Whether the spec has the nodes ask for tokens. */
export function wantsTokens({ spec }: Cluster): boolean {
  return accessOf(spec).mode === "tokens";
}

/** Why not all pods ask for tokens as the spec has it, though nothing else is left to do. */
export function whyOtherAccess(world: World): { readonly reason: string; readonly message: string } | undefined {
  const isWanted = wantsTokens(world.cluster);
  const other = world.pods.find(({ asksForToken }) => asksForToken !== isWanted);
  if (other === undefined) return undefined;
  if (!isWanted || world.pods.every(({ name }) => knowsTokens(world, name)))
    return { reason: "Rolling", message: `${other.name} is to be restarted once more, for tokens` };
  const message =
    "the nodes' release knows no tokens, and whoever reaches a port may do everything there: take a newer image, or say access.mode open";
  return { reason: "TokensHeld", message };
}

/** The settings of a node that asks for tokens, and of the command line in its pod. */
export function accessSettings({ spec }: Cluster): Record<string, string> {
  const { anonymous } = accessOf(spec);
  return {
    ANNULUS_ACCESS_FILE: `${ACCESS_DIRECTORY}/${TABLE_FILE}`,
    ANNULUS_ANONYMOUS_CLUSTER: anonymous.cluster,
    ANNULUS_ANONYMOUS_DATA: anonymous.data,
    ANNULUS_TOKEN_FILE: `${ACCESS_DIRECTORY}/${ADMIN_TOKEN_FILE}`,
  };
}

/** What the operator shows to a node that asks; undefined where there is none. */
export function adminToken({ cluster, objects }: Pick<World, "cluster" | "objects">): string | undefined {
  const secret = objects.get(`Secret/${accessName(cluster.metadata.name)}`);
  return tokenIn(secret, ADMIN_TOKEN_FILE) ?? tokenIn(secret, NEXT_TOKEN_FILE);
}

/** What is to be done about the Secret: a token to make, or another table. */
export function tokensDue(world: World): Action[] {
  if (!startsWithTokens(world)) return [];
  const secret = world.objects.get(`Secret/${accessName(world.cluster.metadata.name)}`);
  const [admin, next] = [tokenIn(secret, ADMIN_TOKEN_FILE), tokenIn(secret, NEXT_TOKEN_FILE)];
  if (admin !== undefined && next !== undefined && admin !== next)
    return [{ kind: "apply", object: asSeen(world, accessSecret(world, { admin, next })) }];
  const why = admin === undefined ? `there is no ${ADMIN_TOKEN_FILE}` : `there is no ${NEXT_TOKEN_FILE}`;
  return [{ kind: "makeTokens", why }];
}

/** The tokens from now on: what is there moves up, what is missing is drawn. */
export function renewedTokens({ cluster, objects }: World, draw: () => string): AdminTokens {
  const secret = objects.get(`Secret/${accessName(cluster.metadata.name)}`);
  const next = tokenIn(secret, NEXT_TOKEN_FILE);
  const present = tokenIn(secret, ADMIN_TOKEN_FILE);
  if (present !== undefined) return { admin: present, next: next === undefined || next === present ? draw() : next };
  return { admin: next ?? draw(), next: draw() };
}

/** The Secret that pods mount. */
export function accessSecret(world: World, { admin, next }: AdminTokens): KubeObject {
  const own = [admin, next].map((token, index) => ({
    name: ADMIN_NAMES[index],
    sha256: digest(token),
    cluster: "admin",
  }));
  const table = { tokens: [...own, ...usableTokens(world, [admin, next]).entries] };
  const data = {
    [ADMIN_TOKEN_FILE]: encoded(admin),
    [NEXT_TOKEN_FILE]: encoded(next),
    [TABLE_FILE]: encoded(JSON.stringify(table)),
  };
  const { cluster } = world;
  const head = { apiVersion: "v1", kind: "Secret", name: accessName(cluster.metadata.name) };
  return owned(cluster, head, { type: "Opaque", data });
}

/**
 * The Secret, to be stored only in the place of the one that was looked at. A person may have taken a token away since, while
 * nodes were waited for that do not answer: it must not come back. Whoever meets the conflict looks anew.
 */
export function asSeen({ objects }: Pick<World, "objects">, secret: KubeObject): KubeObject {
  return inPlaceOf(objects.get(`Secret/${secret.metadata.name}`), secret);
}

/** What is wrong with tokens that the manifest names; none of it is a secret. */
export function tokenProblems(world: World): readonly string[] {
  if (!wantsTokens(world.cluster)) return [];
  return usableTokens(world, []).problems;
}

type TokenSpec = Access["tokens"][number];

function usableTokens(
  { cluster, tokenSecrets }: Pick<World, "cluster" | "tokenSecrets">,
  taken: readonly string[],
): { readonly entries: readonly object[]; readonly problems: readonly string[] } {
  const entries: object[] = [];
  const problems: string[] = [];
  const [names, texts] = [new Set<string>(), new Set(taken)];
  for (const spec of accessOf(cluster.spec).tokens) {
    const token = tokenOf(spec, tokenSecrets.get(spec.secret.name));
    const problem =
      token.problem ??
      (names.has(spec.name) ? "another has its name" : texts.has(token.text) ? "another has the same text" : undefined);
    if (token.text === undefined || problem !== undefined) {
      problems.push(`the token ${spec.name} cannot be used: ${problem}`);
      continue;
    }
    names.add(spec.name);
    texts.add(token.text);
    const { name, data, prefixes, cluster: right } = spec;
    entries.push({
      name,
      sha256: digest(token.text),
      data,
      ...(prefixes === undefined ? {} : { prefixes }),
      cluster: right,
    });
  }
  return { entries, problems };
}

type Found =
  | { readonly text: string; readonly problem?: undefined }
  | { readonly text?: undefined; readonly problem: string };

function tokenOf({ secret: { name, key } }: TokenSpec, secret: KubeObject | undefined): Found {
  if (secret === undefined) return { problem: `there is no Secret ${name}` };
  if (textAt(secret, "type") !== TOKEN_SECRET_TYPE)
    return { problem: `the Secret ${name} is not of type ${TOKEN_SECRET_TYPE}` };
  const text = tokenIn(secret, key);
  if (text !== undefined) return { text };
  return { problem: `${key} in the Secret ${name} is no token of 32 to 512 letters, digits and ._~+/-` };
}

/** A Secret's file as a token, without the line end that editors put there. */
function tokenIn(secret: KubeObject | undefined, file: string): string | undefined {
  const text = fileOf(secret, file)?.trim();
  return text !== undefined && TOKEN.test(text) ? text : undefined;
}

function digest(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
