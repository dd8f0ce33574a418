/**
 * The owned objects as texts in `golden/`, for a person to read. `RECORD=1` writes them anew; the diff is reviewed.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { stringify } from "yaml";
import { loadConfig } from "../../node/config.ts";
import { parseBackup } from "../../operator/api/kvbackup.ts";
import { type Cluster, parseCluster } from "../../operator/api/kvcluster.ts";
import { wantsTokens } from "../../operator/core/access.ts";
import { passage, scheduledRuns, singleRun } from "../../operator/core/backup/resources.ts";
import { rightsOf } from "../../operator/core/backup/rights.ts";
import { peerTlsOf } from "../../operator/core/certificates.ts";
import { quorumText } from "../../operator/core/founding.ts";
import { at, isApplied, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { membersConfig, serviceAccount } from "../../operator/core/resources/members.ts";
import { clientService, networkPolicy, peersService } from "../../operator/core/resources/network.ts";
import { autoscaler, disruptionBudget, serviceMonitor } from "../../operator/core/resources/policies.ts";
import { statefulSet } from "../../operator/core/resources/stateful-set.ts";
import { backupManifest } from "./backup-manifests.ts";
import { manifest } from "./manifests.ts";

const FOLDER = join(import.meta.dirname, "golden");
const POLICY = { nodeImage: "annulus:release", operatorNamespace: "annulus-system", adminTls: false };

function clusterOf(spec: Record<string, unknown>): Cluster {
  const plain = manifest(spec);
  const parsed = parseCluster({ ...plain, metadata: { ...plain.metadata, uid: "0000-1111" } }, POLICY);
  assert.ok(parsed.ok);
  return parsed.cluster;
}

function objectsOf(cluster: Cluster): KubeObject[] {
  return [
    serviceAccount(cluster),
    peersService(cluster),
    clientService(cluster),
    networkPolicy(cluster, POLICY),
    disruptionBudget(cluster, true, []),
    membersConfig(cluster, "ANNULUS_SEEDS=sessions-0.sessions-peers.default.svc:7402\n"),
    statefulSet(cluster, POLICY, {
      replicas: cluster.spec.replicas,
      claimSize: undefined,
      peerTls: peerTlsOf({ cluster, pods: [] }),
      asksForToken: wantsTokens(cluster),
    }),
    autoscaler(cluster),
    serviceMonitor(cluster),
  ].filter((object) => object !== undefined);
}

function compareWithGolden(name: string, objects: readonly KubeObject[]): void {
  const texts = objects.map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }));
  const text = texts.join("---\n");
  const path = join(FOLDER, `${name}.yaml`);
  if (process.env.RECORD === "1") writeFileSync(path, text);
  assert.ok(existsSync(path), "RECORD=1 makes it");
  assert.equal(text, readFileSync(path, "utf8"));
}

function isRestricted(pod: unknown): void {
  assert.equal(at(pod, "securityContext", "runAsNonRoot"), true);
  assert.equal(at(pod, "securityContext", "seccompProfile", "type"), "RuntimeDefault");
  for (const container of listAt(pod, "containers")) {
    assert.equal(at(container, "securityContext", "allowPrivilegeEscalation"), false);
    assert.deepEqual(at(container, "securityContext", "capabilities"), { drop: ["ALL"] });
  }
  for (const field of ["hostNetwork", "hostPID", "hostIPC"]) assert.equal(at(pod, field), undefined);
}

const CLUSTERS: readonly [string, Record<string, unknown>][] = [
  ["smallest", {}],
  [
    "everything",
    {
      replicas: 6,
      image: "registry.example/annulus:1.2.3",
      quorum: { n: 5, r: 3, w: 3, mode: "strict" },
      partitions: 4096,
      zones: { minimum: 3 },
      storage: { size: "100Gi", className: "fast", durability: "disk", whenDeleted: "Delete" },
      resources: { requests: { cpu: 2 }, limits: { memory: "4Gi" } },
      autoscaling: { minReplicas: 6, maxReplicas: 12 },
      monitoring: { serviceMonitor: true },
      tls: { peers: true, admin: true, data: true },
      access: {
        anonymous: { data: "read" },
        tokens: [{ name: "shop", secret: { name: "shop-token" }, data: "read-write", prefixes: ["cart%2F"] }],
      },
      config: { ANNULUS_TIMEOUT_MS: "500", ANNULUS_LOG_LEVEL: "debug" },
    },
  ],
];

type Spec = Record<string, unknown>;
const secured = {
  tls: { admin: true },
  access: { tokens: [{ name: "backup", secret: { name: "b" }, data: "read", cluster: "monitor" }] },
};
const BACKUPS: readonly [string, Spec, Spec][] = [
  ["backup-once", {}, {}],
  [
    "backup-scheduled",
    { ...secured, replicas: 5, image: "registry.example/annulus:1.2.3", autoscaling: {} },
    {
      destination: {
        s3: {
          ...{ bucket: "annulus", prefix: "prod/sessions", endpoint: "https://minio.storage.svc:9000", region: "eu-1" },
          ...{ credentialsSecret: { name: "store" }, caSecret: { name: "store-ca" } },
        },
      },
      ...{ schedule: "15 3 * * *", timeZone: "Europe/Berlin", token: "backup", rateMiBPerSecond: 20 },
      retention: { last: 3, daily: 7, weekly: 5 },
      ...{ timeoutSeconds: 3600, retries: 2, startingDeadlineSeconds: 600 },
      resources: { limits: { memory: "1Gi" } },
    },
  ],
];

function backupObjectsOf(clusterSpec: Spec, backupSpec: Spec): KubeObject[] {
  const plain = backupManifest(backupSpec);
  const parsed = parseBackup({ ...plain, metadata: { ...plain.metadata, uid: "2222-3333" } });
  assert.ok(parsed.ok);
  const cluster = clusterOf(clusterSpec);
  const { backup } = parsed;
  const rights = rightsOf(cluster, backup);
  assert.ok(rights.kind !== "wanting");
  const parts = { backup, cluster, isAdminSecure: cluster.spec.tls.admin, policy: POLICY, rights };
  return [passage(parts), backup.spec.schedule === undefined ? singleRun(parts) : scheduledRuns(parts)];
}

describe("the objects of a backup", () => {
  it.each(BACKUPS)("of '%s' are as recorded", (name, clusterSpec, backupSpec) => {
    compareWithGolden(name, backupObjectsOf(clusterSpec, backupSpec));
  });

  it("pass the restricted Pod Security Standard, and are never taken for members", () => {
    for (const [, clusterSpec, backupSpec] of BACKUPS) {
      const [policy, run] = backupObjectsOf(clusterSpec, backupSpec);
      const job = run?.kind === "CronJob" ? at(run, "spec", "jobTemplate") : run;
      const pod = at(job, "spec", "template", "spec");
      isRestricted(pod);
      const labels = at(job, "spec", "template", "metadata", "labels") as Record<string, string>;
      const members = at(policy, "spec", "podSelector", "matchLabels") as Record<string, string>;
      assert.ok(Object.entries(members).some(([name, value]) => labels[name] !== value));
      const [{ podSelector }] = at(policy, "spec", "ingress", 0, "from") as [{ podSelector: { matchLabels: object } }];
      for (const [name, value] of Object.entries(podSelector.matchLabels)) assert.equal(labels[name], value);
    }
  });
});

describe("the owned objects", () => {
  it.each(CLUSTERS)("of the cluster '%s' are as recorded", (name, spec) => {
    compareWithGolden(name, objectsOf(clusterOf(spec)));
  });

  it("give the nodes settings that they take", () => {
    const single = { replicas: 1, quorum: { n: 1, r: 1, w: 1 } };
    for (const spec of [single, ...CLUSTERS.map(([, other]) => other)]) {
      const cluster = clusterOf(spec);
      const peerTls = peerTlsOf({ cluster, pods: [] });
      const set = statefulSet(cluster, POLICY, {
        replicas: 3,
        claimSize: undefined,
        peerTls,
        asksForToken: wantsTokens(cluster),
      });
      const environment: Record<string, string> = {};
      for (const variable of listAt(set, "spec", "template", "spec", "containers", 0, "env")) {
        const value = (textAt(variable, "value") ?? "sessions-0").replaceAll("$(ANNULUS_NODE)", "sessions-0");
        environment[textAt(variable, "name") as string] = value;
      }
      const members = Array.from(
        { length: cluster.spec.replicas },
        (_, i) => `sessions-${i}=sessions-${i}.sessions-peers.default.svc:7402@z${i}*100`,
      );
      const config = loadConfig(environment, () => `ANNULUS_MEMBERS=${members.join(",")}\n${quorumText(cluster)}`);
      assert.equal(config.advertisedAddress, "sessions-0.sessions-peers.default.svc:7402");
      assert.equal(config.replicationFactor, cluster.spec.quorum.n);
      assert.equal(config.writeQuorum, cluster.spec.quorum.w);
      assert.deepEqual(config.access, {
        file: "/etc/annulus-access/tokens.json",
        anonymous: cluster.spec.access?.anonymous ?? { data: "read-write", cluster: "monitor" },
      });
      const { peers, admin, data } = cluster.spec.tls;
      assert.deepEqual(
        [config.tls.peer?.mode, config.tls.admin?.certificate, config.tls.data?.key],
        [
          peers ? "require" : undefined,
          admin ? "/etc/annulus-tls/sessions-0.crt" : undefined,
          data ? "/etc/annulus-tls/sessions-0.key" : undefined,
        ],
      );
    }
  });

  it("tell the command line in a pod how its node is reached, and by what it is known, where a port of it speaks TLS", () => {
    const told = (tls: Record<string, boolean>) => {
      const options = { replicas: 3, claimSize: undefined, peerTls: "off", asksForToken: false } as const;
      const set = statefulSet(clusterOf({ tls }), POLICY, options);
      const variables = listAt(set, "spec", "template", "spec", "containers", 0, "env");
      return ["ANNULUS_URL", "ANNULUS_ADMIN_URL", "ANNULUS_CA_FILE"].map((name) =>
        textAt(
          variables.find((one) => at(one, "name") === name),
          "value",
        ),
      );
    };
    const authority = "/etc/annulus-tls/ca.crt";
    assert.deepEqual(told({}), [undefined, undefined, undefined]);
    assert.deepEqual(told({ admin: true }), ["http://localhost:7400", "https://localhost:7401", authority]);
    assert.deepEqual(told({ data: true }), ["https://localhost:7400", "http://localhost:7401", authority]);
    assert.deepEqual(told({ admin: true, data: true }), [
      "https://localhost:7400",
      "https://localhost:7401",
      authority,
    ]);
  });

  it("pass the restricted Pod Security Standard", () => {
    const set = statefulSet(clusterOf({}), POLICY, {
      replicas: 3,
      claimSize: undefined,
      peerTls: "off",
      asksForToken: true,
    });
    const pod = at(set, "spec", "template", "spec");
    isRestricted(pod);
    for (const volume of listAt(pod, "volumes"))
      assert.ok((at(volume, "configMap") ?? at(volume, "secret")) !== undefined);
  });

  it("keep R, W, mode and weights out of the pods: a change of them restarts nothing", () => {
    const template = (spec: Record<string, unknown>) =>
      at(
        statefulSet(clusterOf(spec), POLICY, { replicas: 3, claimSize: undefined, peerTls: "off", asksForToken: true }),
        "spec",
        "template",
      );
    const before = template({});
    assert.deepEqual(template({ quorum: { r: 1, w: 3, mode: "strict" } }), before);
    assert.deepEqual(template({ weights: { default: 50 }, replicas: 9 }), before);
    assert.notDeepEqual(template({ config: { ANNULUS_TIMEOUT_MS: "1" } }), before);
  });

  it("are as wanted when the API server filled more in, and not when a field was changed or is wanted no more", () => {
    const service = clientService(clusterOf({}));
    const found = { ...service, spec: { ...(service.spec as object), clusterIP: "10.0.0.1" }, status: {} };
    assert.ok(isApplied(service, found));
    assert.ok(!isApplied(service, { ...found, spec: { ...found.spec, type: "NodePort" } }));
    const less = clientService(clusterOf({}));
    const more = { ...found, metadata: { ...found.metadata, annotations: { "annulus.dev/applied": "another" } } };
    assert.ok(!isApplied(less, more));
    assert.ok(!isApplied(service, undefined));
  });
});
