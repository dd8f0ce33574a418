/** What every owned object has: name, labels, and its owner, with whom it goes. */
import { API_VERSION, type Cluster, KIND } from "../../api/kvcluster.ts";
import { ownLabels } from "../names.ts";
import { type KubeObject, marked, plain } from "../objects.ts";

/** What is said of an object but its content. */
export type Head = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly annotations?: Readonly<Record<string, string | undefined>>;
};

/** The object of a kind with `body`, owned by the cluster and marked with its content. */
export function owned(cluster: Cluster, head: Head, body: Readonly<Record<string, unknown>>): KubeObject {
  return ownedBy({ ...cluster.metadata, kind: KIND }, ownLabels(cluster), head, body);
}

/** The same for an owner of another kind of this group. */
export function ownedBy(
  owner: { readonly kind: string; readonly name: string; readonly namespace: string; readonly uid: string },
  labels: Readonly<Record<string, string>>,
  head: Head,
  body: Readonly<Record<string, unknown>>,
): KubeObject {
  const { kind, name, namespace, uid } = owner;
  return marked(
    plain({
      apiVersion: head.apiVersion,
      kind: head.kind,
      metadata: {
        name: head.name,
        namespace,
        labels,
        ...(head.annotations === undefined ? {} : { annotations: plain(head.annotations) as Record<string, string> }),
        ownerReferences: [{ apiVersion: API_VERSION, kind, name, uid, controller: true, blockOwnerDeletion: true }],
      },
      ...body,
    }),
  );
}
