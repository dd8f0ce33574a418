/** What every owned object has: name, labels, and its owner, with whom it goes. */
import { API_VERSION, type Cluster, KIND } from "../../api/kvcluster.ts";
import { ownLabels } from "../names.ts";
import { type KubeObject, marked, plain } from "../objects.ts";

/** The object of a kind with `body`, owned by the cluster and marked with its content. */
export function owned(
  cluster: Cluster,
  head: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly annotations?: Readonly<Record<string, string | undefined>>;
  },
  body: Readonly<Record<string, unknown>>,
): KubeObject {
  const { name, namespace, uid } = cluster.metadata;
  return marked(
    plain({
      apiVersion: head.apiVersion,
      kind: head.kind,
      metadata: {
        name: head.name,
        namespace,
        labels: ownLabels(cluster),
        ...(head.annotations === undefined ? {} : { annotations: plain(head.annotations) as Record<string, string> }),
        ownerReferences: [
          { apiVersion: API_VERSION, kind: KIND, name, uid, controller: true, blockOwnerDeletion: true },
        ],
      },
      ...body,
    }),
  );
}
