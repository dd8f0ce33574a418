/** What a NetworkPolicy lets in, read as a network plugin reads it: the part of the rules that a store's policy uses. */
import assert from "node:assert/strict";
import { at, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";

type Labels = Readonly<Record<string, string>>;

/** A pod that opens a connection. */
export type Source = { readonly namespace: string; readonly namespaceLabels: Labels; readonly labels: Labels };

/** Whether a policy lets a pod to a TCP port, by the port's name. Fails at a rule of a kind that it cannot read. */
export function admits(policy: KubeObject | undefined, source: Source, port: string): boolean {
  return listAt(policy, "spec", "ingress").some((rule) => {
    onlyKeys(rule, ["from", "ports"]);
    const ports = listAt(rule, "ports");
    const isOpen = ports.some((one) => at(one, "port") === port && textAt(one, "protocol") === "TCP");
    const peers = at(rule, "from");
    // Absent, they stand for everybody, or every port.
    if (ports.length > 0 && !isOpen) return false;
    return peers === undefined || listAt(rule, "from").some((peer) => isMeant(policy, peer, source));
  });
}

/** Without a namespace selector a peer is of the policy's own namespace. */
function isMeant(policy: KubeObject | undefined, peer: unknown, source: Source): boolean {
  onlyKeys(peer, ["namespaceSelector", "podSelector"]);
  const namespaces = at(peer, "namespaceSelector");
  const isThere =
    namespaces === undefined
      ? source.namespace === policy?.metadata.namespace
      : matches(namespaces, source.namespaceLabels);
  return isThere && matches(at(peer, "podSelector") ?? {}, source.labels);
}

function matches(selector: unknown, labels: Labels): boolean {
  onlyKeys(selector, ["matchLabels"]);
  const wanted = (at(selector, "matchLabels") ?? {}) as Labels;
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

function onlyKeys(object: unknown, known: readonly string[]): void {
  for (const key of Object.keys(object as object)) assert.ok(known.includes(key), `a rule with ${key}`);
}
