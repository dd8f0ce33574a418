/** What is read of a pod into which others put containers of their own: what counts is the node's. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import { readPod, readStatefulSet } from "../../operator/core/facts.ts";
import type { KubeObject } from "../../operator/core/objects.ts";

type Fields = Record<string, unknown>;

const NODE = {
  name: "node",
  image: "annulus:good",
  env: [
    { name: "ANNULUS_PEER_TLS", value: "require" },
    { name: "ANNULUS_ACCESS_FILE", value: "/etc/annulus-access/tokens.json" },
    { name: "ANNULUS_ADMIN_TLS_CERTIFICATE_FILE", value: "/etc/annulus-tls/sessions-0.crt" },
  ],
};
const PROXY = { name: "istio-proxy", image: "proxy", env: [] };
const RUNNING = { running: { startedAt: "2027-01-15T08:00:00Z" } };

function podWith(status: Fields): KubeObject {
  const metadata = { name: "sessions-0", namespace: "default" };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [PROXY, NODE] }, status };
}

const statuses = (node: Fields, proxy: Fields) => ({
  containerStatuses: [
    { name: "istio-proxy", state: proxy },
    { name: "node", state: node },
  ],
});

describe("a pod with another container before the node's", () => {
  it("speaks TLS, and asks for tokens, as the node was started", () => {
    const pod = readPod(podWith({}), "sessions");
    assert.equal(pod?.peerTls, "require");
    assert.equal(pod?.isAdminSecure, true);
    assert.equal(pod?.asksForToken, true);
    const template = { spec: { containers: [PROXY, NODE] } };
    const metadata = { name: "sessions", namespace: "default" };
    const set = readStatefulSet({ apiVersion: "apps/v1", kind: "StatefulSet", metadata, spec: { template } });
    assert.equal(set.image, "annulus:good");
    assert.equal(set.asksForToken, true);
  });

  it("is in trouble when its node is, and runs since its node does", () => {
    const waiting = { waiting: { reason: "CrashLoopBackOff" } };
    const sick = readPod(podWith(statuses(waiting, RUNNING)), "sessions");
    assert.equal(sick?.trouble, "CrashLoopBackOff");
    assert.equal(sick?.startedAtMs, undefined);
    const well = readPod(podWith(statuses(RUNNING, { running: { startedAt: "2027-01-15T09:00:00Z" } })), "sessions");
    assert.equal(well?.trouble, undefined);
    assert.equal(well?.startedAtMs, Date.UTC(2027, 0, 15, 8));
  });

  it("is in trouble where another container keeps the node from being started", () => {
    const initContainerStatuses = [{ name: "istio-init", state: { waiting: { reason: "ImagePullBackOff" } } }];
    const waits = { waiting: { reason: "PodInitializing" } };
    const pod = readPod(podWith({ initContainerStatuses, ...statuses(waits, waits) }), "sessions");
    assert.equal(pod?.trouble, "istio-init: ImagePullBackOff");
  });
});
