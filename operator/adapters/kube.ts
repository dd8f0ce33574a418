/** The Kube port over HTTP: paths, server-side apply with one field manager, deletion by uid, watches. */
import type { KubeConfig } from "@kubernetes/client-node";
import { MANAGER } from "../core/names.ts";
import type { KubeObject } from "../core/objects.ts";
import { type Kube, KubeError, type Place, type Random, type Resource, type Telemetry, type Time } from "../ports.ts";
import { readJson, send } from "./kube-http.ts";
import { createListWatch } from "./list-watch.ts";

/** How long any request but a watch may take. */
const TIMEOUT_MS = 15_000;
const APPLY = "application/apply-patch+yaml";

/** Where a kind's objects are found. */
export function pathOf(resource: Resource, namespace: string | undefined, name?: string): string {
  const root = resource.apiVersion.includes("/") ? `/apis/${resource.apiVersion}` : `/api/${resource.apiVersion}`;
  const scope = resource.isNamespaced && namespace !== undefined && namespace !== "" ? `/namespaces/${namespace}` : "";
  return `${root}${scope}/${resource.plural}${name === undefined ? "" : `/${name}`}`;
}

/** How long watches have heard nothing of the API server, not even that there is nothing. */
export type Silence = {
  /** The one that has heard of it longest ago. */
  silentMs(): number;
  /** The one that has heard of it last. */
  unheardMs(): number;
};

/** @param config How to sign in, from a kubeconfig or the pod's service account. */
export function createKube(
  config: KubeConfig,
  ports: { readonly time: Time; readonly random: Random; readonly telemetry: Telemetry },
): Kube & Silence {
  const watches = new Set<{ heardAtMs(): number }>();

  const silences = () => [...watches].map((watch) => ports.time.monotonicMs() - watch.heardAtMs());

  const call = async (request: Omit<Parameters<typeof send>[1], "signal">, timeoutMs = TIMEOUT_MS): Promise<unknown> =>
    readJson(await send(config, { ...request, signal: AbortSignal.timeout(timeoutMs) }));

  async function list(resource: Resource, options: Parameters<Kube["list"]>[1]) {
    const query = { labelSelector: options.selector };
    const request = { method: "GET" as const, path: pathOf(resource, options.namespace), query };
    const answer = (await call(request, options.timeoutMs)) as {
      readonly metadata: { readonly resourceVersion?: string };
      readonly items: readonly KubeObject[];
    };
    // Items of a list bear neither apiVersion nor kind.
    const items = answer.items.map((item) => ({ ...item, apiVersion: resource.apiVersion, kind: resource.kind }));
    return { items, resourceVersion: answer.metadata.resourceVersion ?? "" };
  }

  return {
    async read(resource, place) {
      try {
        return (await call({ method: "GET", path: pathOf(resource, place.namespace, place.name) })) as KubeObject;
      } catch (error) {
        if (error instanceof KubeError && error.failure === "not-found") return undefined;
        throw error;
      }
    },
    list: async (resource, options) => (await list(resource, options)).items,
    async apply(resource, object, options = {}) {
      const { namespace, name } = object.metadata;
      const path =
        pathOf(resource, namespace, name) + (options.subresource === undefined ? "" : `/${options.subresource}`);
      const query = { fieldManager: MANAGER, force: "true" };
      await call({ method: "PATCH", path, query, body: object, contentType: APPLY });
    },
    async create(resource, object) {
      const path = pathOf(resource, object.metadata.namespace);
      return (await call({ method: "POST", path, query: { fieldManager: MANAGER }, body: object })) as KubeObject;
    },
    async replace(resource, object) {
      const path = pathOf(resource, object.metadata.namespace, object.metadata.name);
      return (await call({ method: "PUT", path, query: { fieldManager: MANAGER }, body: object })) as KubeObject;
    },
    async remove(resource, place: Place, { uid, resourceVersion, graceSeconds }) {
      const body = {
        apiVersion: "v1",
        kind: "DeleteOptions",
        preconditions: { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
        propagationPolicy: "Background",
        ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }),
      };
      try {
        await call({ method: "DELETE", path: pathOf(resource, place.namespace, place.name), body });
      } catch (error) {
        if (!(error instanceof KubeError) || error.failure !== "not-found") throw error;
      }
    },
    watch(resource, options, tell) {
      const watch = createListWatch(
        {
          list: () => list(resource, options),
          open: (resourceVersion, timeoutSeconds, signal) =>
            send(config, {
              method: "GET",
              path: pathOf(resource, options.namespace),
              query: {
                watch: "true",
                allowWatchBookmarks: "true",
                labelSelector: options.selector,
                resourceVersion,
                timeoutSeconds: String(timeoutSeconds),
              },
              signal,
            }),
        },
        ports,
        { resource, resyncMs: options.resyncMs },
        tell,
      );
      watches.add(watch);
      return {
        end() {
          watches.delete(watch);
          watch.end();
        },
      };
    },
    silentMs: () => Math.max(0, ...silences()),
    unheardMs: () => (watches.size === 0 ? 0 : Math.min(...silences())),
  };
}
