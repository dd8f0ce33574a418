/** Kubernetes objects as plain JSON, and how a wanted one is compared with a found one. */
import { createHash } from "node:crypto";
import type { Json } from "../api/crd.ts";
import { isSameQuantity } from "../api/quantity.ts";

export type { Json } from "../api/crd.ts";

export type OwnerReference = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
};

/** Any object. Fields beyond these are read through `at`. */
export type KubeObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly generation?: number;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly OwnerReference[];
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
};

/** Reads a path of an object whose shape nobody vouches for; undefined where it breaks off. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let place = value;
  for (const step of path) {
    if (typeof place !== "object" || place === null) return undefined;
    place = (place as Record<string | number, unknown>)[step];
  }
  return place;
}

/** The text at a path, or undefined. */
export function textAt(value: unknown, ...path: readonly (string | number)[]): string | undefined {
  const found = at(value, ...path);
  return typeof found === "string" ? found : undefined;
}

/** The number at a path, or undefined. */
export function numberAt(value: unknown, ...path: readonly (string | number)[]): number | undefined {
  const found = at(value, ...path);
  return typeof found === "number" ? found : undefined;
}

/** The list at a path; empty where there is none. */
export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** On each applied object: what was wanted when it was applied, so that a field that is no longer wanted shows. */
const APPLIED_ANNOTATION = "annulus.dev/applied";

/** The object with the mark of its own content. */
export function marked(object: KubeObject): KubeObject {
  const digest = createHash("sha256").update(JSON.stringify(object)).digest("hex").slice(0, 16);
  const annotations = { ...object.metadata.annotations, [APPLIED_ANNOTATION]: digest };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

/** Whether `found` is what `wanted` (marked) asks for: everything in it, and applied from just this content. */
export function isApplied(wanted: KubeObject, found: KubeObject | undefined): boolean {
  return found !== undefined && holds(found, wanted);
}

/**
 * Whether everything that `wanted` asks for is in `found`, by what an API server makes of it. It leaves out what is empty,
 * and writes quantities in its own way; in a list of named items others may stand besides, which no apply takes away.
 */
function holds(found: unknown, wanted: unknown, isQuantities = false): boolean {
  if (isEmpty(wanted) && (found === undefined || isEmpty(found))) return true;
  if (Array.isArray(wanted)) {
    if (!Array.isArray(found)) return false;
    if (wanted.every((item) => textAt(item, "name") !== undefined))
      return wanted.every((item) => found.some((other) => holds(other, item)));
    return found.length === wanted.length && wanted.every((item, i) => holds(found[i], item));
  }
  if (typeof wanted === "object" && wanted !== null)
    return Object.entries(wanted).every(([key, value]) => {
      return holds(at(found, key), value, key === "requests" || key === "limits" || isQuantities);
    });
  return found === wanted || (isQuantities && isSameQuantity(found, wanted));
}

function isEmpty(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === "";
}

/** Whether `found` was made from just the content of `wanted` (marked), whatever became of it since. */
export function isMadeFrom(wanted: KubeObject, found: KubeObject): boolean {
  const mark = (object: KubeObject) => object.metadata.annotations?.[APPLIED_ANNOTATION];
  return mark(found) === mark(wanted);
}

/** Whether everything in `wanted` is in `found`; the API server fills in more. */
function covers(found: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(found) && found.length === wanted.length && wanted.every((item, i) => covers(found[i], item));
  }
  if (typeof wanted === "object" && wanted !== null) {
    return (
      typeof found === "object" &&
      found !== null &&
      Object.entries(wanted).every(([key, value]) => covers((found as Record<string, unknown>)[key], value))
    );
  }
  return found === wanted;
}

/** Whether two JSON values are equal, whatever the order of their keys. */
export function isEqual(a: unknown, b: unknown): boolean {
  return covers(a, b) && covers(b, a);
}

/** A copy without undefined fields, which JSON does not have. */
export function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/**
 * A status as it is applied: to the object that was read, as it was read, and to no other. One that was made anew under the name
 * meanwhile has another resourceVersion, and must not be told what its predecessor was. Its uid would not do: on a custom
 * resource's status the API server overlooks it.
 */
export function statusOf({ apiVersion, kind, metadata }: ReadObject, status: unknown): KubeObject {
  const { name, namespace, resourceVersion } = metadata;
  const asRead = resourceVersion === undefined ? {} : { resourceVersion };
  return { apiVersion, kind, metadata: { name, namespace, ...asRead }, status };
}

/**
 * An object to be stored only in the place of the one that was looked at, if there was one: a conflict where that has changed
 * meanwhile. By its uid, too, for one that was deleted meanwhile would be made anew, whatever version is named.
 */
export function inPlaceOf(seen: KubeObject | undefined, object: KubeObject): KubeObject {
  const { uid, resourceVersion } = seen?.metadata ?? {};
  if (uid === undefined || resourceVersion === undefined) return object;
  return { ...object, metadata: { ...object.metadata, uid, resourceVersion } };
}

type ReadObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly resourceVersion?: string | undefined;
  };
};

export type JsonObject = { readonly [key: string]: Json };
