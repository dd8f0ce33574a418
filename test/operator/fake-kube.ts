/**
 * An API server in memory: objects with uid, generation and resourceVersion, server-side apply of one manager, status
 * as a subresource, deletion in two steps, the rules of KVClusters and KVBackups. It fails on demand, which is how an operator is
 * killed between two actions.
 */
import { BACKUP_RULES } from "../../operator/api/backup-rules.ts";
import { BACKUP_KIND, parseBackup } from "../../operator/api/kvbackup.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { broken } from "../../operator/api/rule.ts";
import { brokenRules } from "../../operator/api/rules.ts";
import { formatInstant } from "../../operator/core/instant.ts";
import { isEqual, type KubeObject } from "../../operator/core/objects.ts";
import { type Kube, KubeError, type Place, type Resource } from "../../operator/ports.ts";
import { PRESETS } from "./manifests.ts";

/** What is stored is what a text would keep of it, and never changes: so all who read it may share it. */
function stored<T>(value: T): T {
  return frozen(JSON.parse(JSON.stringify(value)) as T);
}

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) frozen(part);
    Object.freeze(value);
  }
  return value;
}

type Fields = Record<string, unknown>;
type Watcher = {
  readonly kind: string;
  readonly selector: string | undefined;
  readonly tell: (object: KubeObject) => void;
};

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What the owner of `before` and `after` makes of `found`: fields it gave up go, fields it sets are set. */
function merged(found: unknown, before: unknown, after: unknown): unknown {
  if (!isFields(after)) return after;
  const result: Fields = isFields(found) ? { ...found } : {};
  for (const key of Object.keys(isFields(before) ? before : {})) if (!(key in after)) delete result[key];
  for (const [key, value] of Object.entries(after))
    result[key] = merged(result[key], isFields(before) ? before[key] : undefined, value);
  return result;
}

export class FakeKube implements Kube {
  readonly objects = new Map<string, KubeObject>();
  nowMs = 1_800_000_000_000;
  /** Calls until every further one fails; undefined: none does. */
  callsLeft: number | undefined;
  /** Is told of every removal before it happens. */
  onRemove: (object: KubeObject) => void = () => undefined;
  readonly #applied = new Map<string, KubeObject>();
  readonly #watchers = new Set<Watcher>();
  #count = 0;

  static key(kind: string, { namespace, name }: Place): string {
    return `${kind}/${namespace ?? ""}/${name}`;
  }

  find(kind: string, name: string, namespace: string | undefined = "default"): KubeObject | undefined {
    return this.objects.get(FakeKube.key(kind, { namespace, name }));
  }

  all(kind: string): KubeObject[] {
    return [...this.objects.values()].filter((object) => object.kind === kind);
  }

  /** Stores an object as a controller of Kubernetes does; `change` gets the present one. */
  set(object: KubeObject, options: { readonly newGeneration?: boolean } = {}): KubeObject {
    const key = FakeKube.key(object.kind, object.metadata);
    const found = this.objects.get(key);
    this.#count += 1;
    const generation =
      (found?.metadata.generation ?? 0) + (found === undefined || options.newGeneration === true ? 1 : 0);
    const metadata = {
      ...object.metadata,
      uid: found?.metadata.uid ?? `uid-${this.#count}`,
      creationTimestamp: found?.metadata.creationTimestamp ?? formatInstant(this.nowMs),
      generation,
      resourceVersion: String(this.#count),
    };
    const kept: KubeObject = stored({ ...object, metadata });
    this.objects.set(key, kept);
    this.#tell(kept);
    return kept;
  }

  /** Takes an object away for good. */
  drop(object: KubeObject): void {
    const key = FakeKube.key(object.kind, object.metadata);
    this.objects.delete(key);
    this.#applied.delete(key);
    this.#tell(object);
  }

  /** As a user does: rules hold. */
  put(object: KubeObject): KubeObject {
    const found = this.find(object.kind, object.metadata.name, object.metadata.namespace);
    const problems = object.kind === BACKUP_KIND ? problemsOfBackup(object, found) : problemsOfCluster(object, found);
    if (problems.length > 0) throw new KubeError("refused", problems.join("; "));
    return this.set({ ...(found === undefined ? {} : { status: found.status }), ...object }, { newGeneration: true });
  }

  #call(): void {
    if (this.callsLeft === undefined) return;
    if (this.callsLeft <= 0) throw new KubeError("unavailable", "the API server is away");
    this.callsLeft -= 1;
  }

  #tell(object: KubeObject): void {
    for (const { kind, selector, tell } of this.#watchers)
      if (kind === object.kind && matches(object, selector)) tell(object);
  }

  async read(resource: Resource, place: Place): Promise<KubeObject | undefined> {
    this.#call();
    return this.objects.get(FakeKube.key(resource.kind, place));
  }

  async list(resource: Resource, options: { namespace?: string | undefined; selector?: string | undefined }) {
    this.#call();
    const found = this.all(resource.kind).filter(
      (object) =>
        (options.namespace === undefined || object.metadata.namespace === options.namespace) &&
        matches(object, options.selector),
    );
    return found;
  }

  async apply(_resource: Resource, asked: KubeObject, options: { subresource?: "status" } = {}): Promise<void> {
    this.#call();
    const { resourceVersion, uid, ...metadata } = asked.metadata;
    const object: KubeObject = { ...asked, metadata };
    const key = FakeKube.key(object.kind, metadata);
    const found = this.objects.get(key);
    // As API servers do: a uid that nothing has is a conflict, and another's is refused for a field that never changes; a
    // version is compared first with what is there, and keeps nothing from being made anew.
    if (uid !== undefined && found === undefined) throw new KubeError("conflict", `${key} is gone`);
    if (found !== undefined && resourceVersion !== undefined && resourceVersion !== found.metadata.resourceVersion)
      throw new KubeError("conflict", `${key} has changed`);
    if (uid !== undefined && uid !== found?.metadata.uid)
      throw new KubeError("refused", `${key}: metadata.uid: Invalid value: field is immutable`);
    if (options.subresource === "status") {
      if (found === undefined) throw new KubeError("not-found", `${key} is not there`);
      if (!isEqual(found.status, object.status)) this.set({ ...found, status: object.status });
      return;
    }
    const next = merged(found, this.#applied.get(key), object) as KubeObject;
    this.#applied.set(key, stored(object));
    if (found !== undefined && isEqual(next, found)) return;
    this.set(next, { newGeneration: !isEqual(next.spec, found?.spec) });
  }

  async create(_resource: Resource, object: KubeObject): Promise<KubeObject> {
    this.#call();
    if (this.objects.has(FakeKube.key(object.kind, object.metadata))) throw new KubeError("conflict", "it is there");
    return this.set(object);
  }

  async replace(_resource: Resource, object: KubeObject): Promise<KubeObject> {
    this.#call();
    const found = this.objects.get(FakeKube.key(object.kind, object.metadata));
    if (found === undefined) throw new KubeError("not-found", "it is gone");
    if (found.metadata.resourceVersion !== object.metadata.resourceVersion)
      throw new KubeError("conflict", "it changed");
    return this.set(object);
  }

  async remove(resource: Resource, place: Place, options: Parameters<Kube["remove"]>[2]) {
    this.#call();
    const found = this.objects.get(FakeKube.key(resource.kind, place));
    if (found === undefined) return;
    const { uid, resourceVersion } = found.metadata;
    if (uid !== options.uid) throw new KubeError("conflict", "it has another uid");
    if (resourceVersion !== (options.resourceVersion ?? resourceVersion))
      throw new KubeError("conflict", "it has changed");
    this.onRemove(found);
    this.markDeleted(found, options.graceSeconds === 0);
  }

  /** Pods and claims are marked first and go when the kubelet, or the last pod that uses them, lets them. */
  markDeleted(object: KubeObject, isForced = false): void {
    if (isForced || (object.kind !== "Pod" && object.kind !== "PersistentVolumeClaim")) return this.drop(object);
    if (object.metadata.deletionTimestamp !== undefined) return;
    this.set({ ...object, metadata: { ...object.metadata, deletionTimestamp: formatInstant(this.nowMs) } });
  }

  watch(resource: Resource, options: { selector?: string | undefined }, tell: (object: KubeObject) => void) {
    const watcher = { kind: resource.kind, selector: options.selector, tell };
    this.#watchers.add(watcher);
    for (const object of this.all(resource.kind)) if (matches(object, options.selector)) tell(object);
    return { end: () => void this.#watchers.delete(watcher) };
  }
}

const asStored = (value: KubeObject) => ({ ...value, metadata: { ...value.metadata, uid: "any" } });

function problemsOfCluster(object: KubeObject, found: KubeObject | undefined): readonly string[] {
  const [after, before] = [object, found].map((value) =>
    value === undefined ? value : parseCluster(asStored(value), PRESETS),
  );
  if (after?.ok !== true) return after?.problems ?? [];
  const old = before?.ok === true ? { name: object.metadata.name, spec: before.cluster.spec } : undefined;
  return brokenRules({ name: object.metadata.name, spec: after.cluster.spec }, old);
}

function problemsOfBackup(object: KubeObject, found: KubeObject | undefined): readonly string[] {
  const [after, before] = [object, found].map((value) => (value === undefined ? value : parseBackup(asStored(value))));
  if (after?.ok !== true) return after?.problems ?? [];
  const old = before?.ok === true ? { name: object.metadata.name, spec: before.backup.spec } : undefined;
  return broken(BACKUP_RULES, { name: object.metadata.name, spec: after.backup.spec }, old);
}

function matches({ metadata }: KubeObject, selector: string | undefined): boolean {
  const terms = (selector ?? "").split(",").filter((term) => term !== "");
  return terms.every((term) => metadata.labels?.[term.split("=")[0] as string] === term.split("=")[1]);
}
