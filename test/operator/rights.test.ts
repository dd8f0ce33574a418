/**
 * The chart's roles against what the operator does: stories that need every right are played, each call of the Kube port is
 * written down as the verb that the API server asks a right for, and the roles must grant just these.
 */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { KubeConfig } from "@kubernetes/client-node";
import { systemRandom, systemTime } from "../../node/adapters/system.ts";
import { createKube } from "../../operator/adapters/kube.ts";
import { ADMIN_TOKEN_FILE } from "../../operator/core/access.ts";
import { AUTOSCALERS, BACKUPS, CLAIMS, CLUSTERS, LEASES, PODS, SECRETS } from "../../operator/core/kinds.ts";
import { accessName } from "../../operator/core/names.ts";
import { at, type KubeObject, textAt } from "../../operator/core/objects.ts";
import type { Kube, Resource } from "../../operator/ports.ts";
import { backupManifest } from "./backup-manifests.ts";
import { chartText, plainTemplate } from "./chart-template.ts";
import type { FakeCluster } from "./fake-cluster.ts";
import { NAME } from "./fake-cluster.ts";
import { createWorld } from "./operator-world.ts";

type Call = keyof Kube;

/** The rights that a call of the port needs; an apply of an object that is not there needs one more. */
const VERBS: Readonly<Record<Call, readonly string[]>> = {
  read: ["get"],
  list: ["list"],
  watch: ["list", "watch"],
  apply: ["patch"],
  create: ["create"],
  replace: ["update"],
  remove: ["delete"],
};

/** `group/plural`, with the subresource where there is one. */
function nameOf({ apiVersion, plural }: Pick<Resource, "apiVersion" | "plural">, subresource?: string): string {
  const [group, version] = apiVersion.split("/");
  return `${version === undefined ? "" : group}/${plural}${subresource === undefined ? "" : `/${subresource}`}`;
}

/** Where a right must stand: with machines and volumes, with the lease, or in the role of the namespaces that are watched. */
function roleOf(resource: Resource): string {
  if (!resource.isNamespaced) return "machines";
  return resource.plural === LEASES.plural ? "lease" : "stores";
}

class Recorder {
  readonly used = new Set<string>();
  readonly secretPlaces = new Set<string | undefined>();

  note(
    resource: Resource,
    verbs: readonly string[],
    options: { readonly subresource?: string | undefined } = {},
  ): void {
    for (const verb of verbs) this.used.add(`${roleOf(resource)}: ${verb} ${nameOf(resource, options.subresource)}`);
  }

  /** The port with each call written down. */
  around(kube: Kube, cluster: FakeCluster): Kube {
    const noteOwner = ({ metadata }: KubeObject) => {
      for (const owner of metadata.ownerReferences ?? [])
        for (const kind of [CLUSTERS, BACKUPS])
          if (owner.blockOwnerDeletion === true && owner.kind === kind.kind)
            this.note(kind, ["update"], { subresource: "finalizers" });
    };
    const note = (call: Call, resource: Resource, namespace: string | undefined) => {
      this.note(resource, VERBS[call]);
      if (resource === SECRETS) this.secretPlaces.add(namespace);
    };
    return {
      read: async (resource, place) => {
        note("read", resource, place.namespace);
        return kube.read(resource, place);
      },
      list: async (resource, options) => {
        note("list", resource, options.namespace);
        return kube.list(resource, options);
      },
      apply: async (resource, object, options = {}) => {
        const { namespace, name } = object.metadata;
        if (options.subresource === undefined) {
          note("apply", resource, namespace);
          if (cluster.kube.find(resource.kind, name, namespace) === undefined) note("create", resource, namespace);
        } else this.note(resource, VERBS.apply, options);
        noteOwner(object);
        await kube.apply(resource, object, options);
      },
      create: async (resource, object) => {
        note("create", resource, object.metadata.namespace);
        noteOwner(object);
        return kube.create(resource, object);
      },
      replace: async (resource, object) => {
        note("replace", resource, object.metadata.namespace);
        return kube.replace(resource, object);
      },
      remove: async (resource, place, options) => {
        note("remove", resource, place.namespace);
        await kube.remove(resource, place, options);
      },
      watch: (resource, options, tell) => {
        note("watch", resource, options.namespace);
        return kube.watch(resource, options, tell);
      },
    };
  }
}

type Rule = { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] };
type Document = { kind: string; metadata: { name: string; namespace?: string }; rules?: Rule[] };

const documents = plainTemplate("rbac.yaml") as Document[];
const roles = documents.filter(({ rules }) => rules !== undefined);
/** A template's own name is x; the role of the stores has no other. */
const titleOf = ({ metadata }: Document) => metadata.name.split("-")[1] ?? "stores";

const recorder = new Recorder();
const world = createWorld({
  spec: {
    replicas: 3,
    storage: { size: "1Gi", whenScaled: "Delete" },
    recovery: { replaceAfterSeconds: 30 },
    autoscaling: { minReplicas: 3, cooldownSeconds: 0 },
    monitoring: { serviceMonitor: true },
  },
  around: (kube, cluster) => recorder.around(kube, cluster),
});

/** Whether a claim of the cluster is of a size. */
const claimSizes = () => world.cluster.kube.all("PersistentVolumeClaim").map(({ spec }) => JSON.stringify(spec));

beforeAll(async () => {
  const { cluster, start, until, end } = world;
  const operator = start("a");
  await until("settled", () => cluster.isSettled());
  cluster.edit({ replicas: 4, storage: { size: "2Gi", whenScaled: "Delete" } });
  await until("grown", () => cluster.isSettled() && claimSizes().every((spec) => spec.includes("2Gi")), 600);
  cluster.edit({ replicas: 3, autoscaling: undefined, monitoring: { serviceMonitor: false } });
  await until("shrunk", () => cluster.isSettled() && claimSizes().length === 3, 600);
  assert.deepEqual(cluster.kube.all(AUTOSCALERS.kind), []);
  const secret = cluster.kube.find("Secret", accessName(NAME));
  const { [ADMIN_TOKEN_FILE]: token, ...data } = (secret?.data ?? {}) as Record<string, string>;
  assert.ok(secret !== undefined && token !== undefined);
  cluster.kube.set({ ...secret, data });
  const renewed = () => textAt(cluster.kube.find("Secret", accessName(NAME)), "data", ADMIN_TOKEN_FILE);
  await until("another token", () => renewed() !== undefined, 600);
  assert.notEqual(renewed(), token);
  const machine = textAt(cluster.kube.find("Pod", `${NAME}-1`), "spec", "nodeName") ?? "";
  const uid = cluster.kube.find("PersistentVolumeClaim", `data-${NAME}-1`)?.metadata.uid;
  cluster.setMachineDown(machine, true);
  const claim = () => cluster.kube.find("PersistentVolumeClaim", `data-${NAME}-1`)?.metadata.uid;
  await until("rebuilt elsewhere", () => claim() !== uid && cluster.isSettled(), 1_200);
  cluster.edit({ autoscaling: { mode: "recommend", cooldownSeconds: 0 } });
  await until("a recommendation", () => at(cluster.cluster, "status", "recommendation") !== undefined);
  // What cert-manager is asked for, and asked for again when another issuer is named.
  const issuerOf = () => textAt(cluster.kube.find("Certificate", `${NAME}-0-certificate`), "spec", "issuerRef", "name");
  for (const name of ["office", "other"]) {
    cluster.edit({ tls: { data: true, issuer: { name } } });
    await until("asked for", () => issuerOf() === name);
  }
  // A single backup, begun anew for another spec; and a scheduled one whose schedule changes, and which then lacks a right.
  const jobOf = (claimName: string) => () => JSON.stringify(cluster.kube.all("Job")).includes(claimName);
  for (const claimName of ["one", "two"]) {
    cluster.kube.put(backupManifest({ destination: { pvc: { claimName } } }, "single") as KubeObject);
    await until("a Job", jobOf(claimName));
  }
  const cronJobs = () => cluster.kube.all("CronJob").map(({ spec }) => textAt(spec, "schedule"));
  for (const schedule of ["@daily", "@hourly"]) {
    cluster.kube.put(backupManifest({ schedule }) as KubeObject);
    await until("a CronJob", () => cronJobs().includes(schedule));
  }
  cluster.kube.put(backupManifest({ schedule: "@hourly", token: "none" }) as KubeObject);
  await until("no CronJob", () => cronJobs().length === 0);
  await end(operator);
}, 60_000);

describe("the chart's roles", () => {
  it("grant each right that the operator was seen to need, where it needs it, and none that it was not", () => {
    const granted = roles.flatMap((role) =>
      (role.rules ?? []).flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) => verbs.map((verb) => `${titleOf(role)}: ${verb} ${group}/${resource}`)),
        ),
      ),
    );
    assert.equal(new Set(granted).size, granted.length, "a right is granted twice");
    assert.deepEqual(granted.sort(), [...recorder.used].sort());
  });

  it("reach beyond the watched namespace for machines and volumes alone, which they may only look at", () => {
    assert.deepEqual(
      roles.map((role) => [titleOf(role), role.kind, role.metadata.namespace]),
      [
        ["machines", "ClusterRole", undefined],
        // Helm writes ClusterRole or, with watchNamespace, Role and the namespace.
        ["stores", "x", "x"],
        ["lease", "Role", "x"],
      ],
    );
    const text = chartText("templates", "rbac.yaml");
    assert.match(text, /\$scope := ternary "ClusterRole" "Role" \(empty \.Values\.watchNamespace\)/);
    assert.equal(text.split("kind: {{ $scope }}\n").length, 2);
    assert.equal(text.split("kind: {{ $scope }}Binding\n").length, 2);
    assert.equal(text.split("{{- with .Values.watchNamespace }}\n  namespace: {{ . }}").length, 3);
    const machines = roles.find((role) => titleOf(role) === "machines");
    const verbs = new Set(machines?.rules?.flatMap((rule) => rule.verbs));
    assert.deepEqual([...verbs].sort(), ["get", "list", "watch"]);
  });

  it("are called by their release's namespace too, where a name is the whole cluster's: none takes over those of another release", () => {
    const parts = chartText("templates", "rbac.yaml").split("\n---\n");
    const found = (pattern: RegExp) => parts.flatMap((part) => pattern.exec(part)?.[1] ?? []);
    const names = found(/^kind: (?:Cluster|\{\{ \$scope \}\})\w*\nmetadata:\n {2}name: (.*)$/m);
    assert.equal(names.length, 4);
    for (const name of names) assert.match(name, /^\{\{ \.Release\.Namespace \}\}:\{\{ \$name \}\}/);
    const referred = found(/^roleRef: .* name: "?(\S.*?)"? \}$/m);
    assert.equal(referred.length, 3);
    for (const name of names) assert.ok(referred.includes(name), name);
  });

  it("give Secrets by their names only, where the store is: none can be listed or watched, none removed", () => {
    const secrets = [...recorder.used].filter((right) => right.endsWith(" /secrets")).sort();
    assert.deepEqual(secrets, ["stores: create /secrets", "stores: get /secrets", "stores: patch /secrets"]);
    assert.deepEqual([...recorder.secretPlaces], ["default"]);
  });

  it("give the one lease by its name", () => {
    const lease = roles.find((role) => titleOf(role) === "lease");
    // A name cannot be demanded of what is not there yet.
    for (const { verbs, resourceNames } of lease?.rules ?? [])
      assert.deepEqual(resourceNames, verbs.includes("create") ? undefined : ["annulus-operator"]);
  });
});

describe("the verbs", () => {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    request.resume();
    response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items: [] }));
  });

  beforeAll(() => new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve)));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  /** As the API server reads a request (RequestInfo): by method, by whether a name is in the path, by `watch`. */
  function verbOf({ method, url = "" }: IncomingMessage): string {
    const { pathname, searchParams } = new URL(url, "http://any");
    const isNamed = !pathname.endsWith(`/${PODS.plural}`);
    if (method === "GET") return searchParams.get("watch") === "true" ? "watch" : isNamed ? "get" : "list";
    return { POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" }[method ?? ""] ?? `${method}`;
  }

  it("are those of the requests that each call of the port sends", async () => {
    const config = new KubeConfig();
    const { port } = server.address() as AddressInfo;
    config.loadFromClusterAndUser(
      { name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
      { name: "u" },
    );
    const telemetry = { count() {}, observe() {}, gauge() {}, log() {} };
    const kube = createKube(config, { time: systemTime, random: systemRandom(), telemetry });
    const place = { namespace: "default", name: "p" };
    const pod: KubeObject = { apiVersion: "v1", kind: "Pod", metadata: place };
    const asked: Readonly<Record<Call, () => Promise<unknown>>> = {
      read: () => kube.read(PODS, place),
      list: () => kube.list(PODS, { namespace: "default" }),
      apply: () => kube.apply(PODS, pod),
      create: () => kube.create(PODS, pod),
      replace: () => kube.replace(PODS, pod),
      remove: () => kube.remove(PODS, place, { uid: "u" }),
      watch: async () => {
        const watch = kube.watch(PODS, { resyncMs: 1_000 }, () => undefined);
        while (!seen.some((request) => verbOf(request) === "watch")) await new Promise(setImmediate);
        watch.end();
      },
    };
    for (const [call, ask] of Object.entries(asked) as [Call, () => Promise<unknown>][]) {
      seen.length = 0;
      await ask();
      assert.deepEqual([...new Set(seen.map(verbOf))].sort(), [...VERBS[call]].sort(), call);
    }
    assert.equal(nameOf(CLAIMS), "/persistentvolumeclaims");
  });
});
