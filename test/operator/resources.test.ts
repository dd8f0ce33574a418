/**
 * The owned objects as texts in `golden/`, for a person to read. `RECORD=1` writes them anew; the diff is reviewed.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { stringify } from "yaml";
import { loadConfig } from "../../node/config.ts";
import { type Cluster, parseCluster } from "../../operator/api/kvcluster.ts";
import { wantsTokens } from "../../operator/core/access.ts";
import { peerTlsOf } from "../../operator/core/certificates.ts";
import { quorumText } from "../../operator/core/founding.ts";
import { at, isApplied, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { membersConfig, serviceAccount } from "../../operator/core/resources/members.ts";
import { clientService, networkPolicy, peersService } from "../../operator/core/resources/network.ts";
import { autoscaler, disruptionBudget, serviceMonitor } from "../../operator/core/resources/policies.ts";
import { statefulSet } from "../../operator/core/resources/stateful-set.ts";
import { manifest } from "./manifests.ts";

const FOLDER = join(import.meta.dirname, "golden");
const POLICY = { nodeImage: "annulus:release", operatorNamespace: "annulus-system" };

function clusterOf(spec: Record<string, unknown>): Cluster {
  const plain = manifest(spec);
  const parsed = parseCluster({ ...plain, metadata: { ...plain.metadata, uid: "0000-1111" } });
  assert.ok(parsed.ok);
  return parsed.cluster;
}

function objectsOf(cluster: Cluster): KubeObject[] {
  return [
    serviceAccount(cluster),
    peersService(cluster),
    clientService(cluster),
    networkPolicy(cluster, POLICY),
    disruptionBudget(cluster, true),
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

describe("the owned objects", () => {
  it.each(CLUSTERS)("of the cluster '%s' are as recorded", (name, spec) => {
    const text = objectsOf(clusterOf(spec))
      .map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }))
      .join("---\n");
    const path = join(FOLDER, `${name}.yaml`);
    if (process.env.RECORD === "1") writeFileSync(path, text);
    assert.ok(existsSync(path), "RECORD=1 makes it");
    assert.equal(text, readFileSync(path, "utf8"));
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

  it("pass the restricted Pod Security Standard", () => {
    const set = statefulSet(clusterOf({}), POLICY, {
      replicas: 3,
      claimSize: undefined,
      peerTls: "off",
      asksForToken: true,
    });
    const pod = at(set, "spec", "template", "spec");
    assert.equal(at(pod, "securityContext", "runAsNonRoot"), true);
    assert.equal(at(pod, "securityContext", "seccompProfile", "type"), "RuntimeDefault");
    for (const container of listAt(pod, "containers")) {
      assert.equal(at(container, "securityContext", "allowPrivilegeEscalation"), false);
      assert.deepEqual(at(container, "securityContext", "capabilities"), { drop: ["ALL"] });
    }
    for (const field of ["hostNetwork", "hostPID", "hostIPC"]) assert.equal(at(pod, field), undefined);
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
