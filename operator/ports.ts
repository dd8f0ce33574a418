/**
 * The outside world of the operator, on one page: the API server, the nodes' admin ports, and time, randomness and
 * telemetry as the nodes have them.
 *
 * Services see only these types. Production gives them HTTP (`adapters/`); tests and the simulation an API server and
 * nodes in memory. Every read is of the present: caches would have to be judged for their age, and a reconciler that
 * reads a few lists every few seconds does not need them. Only rings are kept, which do not age. Watches only say that it is worth looking.
 */
import type { KubeObject } from "./core/objects.ts";
import type { ChangeRequest, NodeAnswer, RingDocument } from "./core/world.ts";

export type { LogLevel, Random, Telemetry, Time, Timer } from "../node/ports.ts";

/** A kind of object, by its place in the API. */
export type Resource = {
  readonly apiVersion: string;
  readonly kind: string;
  /** As in the path: `statefulsets`. */
  readonly plural: string;
  readonly isNamespaced: boolean;
};

export type Place = { readonly namespace?: string | undefined; readonly name: string };

/** Why the API server did not do what it was asked. */
export type KubeFailure =
  | "not-found"
  /** Somebody else changed the object, or it has another uid than was demanded. */
  | "conflict"
  /** It will not be done, however often it is asked: a rule, a right, a field. */
  | "refused"
  /** It may be done or not; ask again. */
  | "unavailable";

/** What a call of `Kube` rejects with. */
export class KubeError extends Error {
  readonly failure: KubeFailure;

  constructor(failure: KubeFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KubeError";
    this.failure = failure;
  }
}

export type Watching = {
  /** Ends the watch; nothing is told afterwards. */
  end(): void;
};

export type Kube = {
  /** The object as it is now, or undefined when there is none. */
  read(resource: Resource, place: Place): Promise<KubeObject | undefined>;
  /** All objects of a kind, as they are now; in all namespaces where none is named. */
  list(
    resource: Resource,
    options: {
      readonly namespace?: string | undefined;
      readonly selector?: string | undefined;
      /** How long it may take at most, where that is less than any request may. */
      readonly timeoutMs?: number;
    },
  ): Promise<readonly KubeObject[]>;
  /**
   * Server-side apply as the one field manager, taking over what others had set of these fields; "conflict" where the object
   * names a resourceVersion that is not the present one.
   */
  apply(resource: Resource, object: KubeObject, options?: { readonly subresource?: "status" }): Promise<void>;
  /** Makes a new object; "conflict" when the name is taken. */
  create(resource: Resource, object: KubeObject): Promise<KubeObject>;
  /** Replaces an object; "conflict" unless its resourceVersion is the present one. */
  replace(resource: Resource, object: KubeObject): Promise<KubeObject>;
  /**
   * Deletes just the object with this uid, and of this resourceVersion where one is named ("conflict" else); done when it
   * is gone or marked. No error when it was gone before.
   */
  remove(
    resource: Resource,
    place: Place,
    options: {
      readonly uid: string;
      readonly resourceVersion?: string | undefined;
      readonly graceSeconds?: number | undefined;
    },
  ): Promise<void>;
  /**
   * Tells of every object of a kind at first, and then of each that came, changed or went; for ever, over broken
   * connections and restarts of the server, after which all are told of again. It may tell too often, never too seldom
   * for longer than `resyncMs`.
   */
  watch(
    resource: Resource,
    options: {
      readonly namespace?: string | undefined;
      readonly selector?: string | undefined;
      readonly resyncMs: number;
    },
    tell: (object: KubeObject) => void,
  ): Watching;
};

/** What a node answers to a change that it is asked for. */
export type ChangeAnswer =
  | { readonly kind: "accepted"; readonly id: string }
  /** `409`, or a bad request: the reason is the node's. */
  | { readonly kind: "refused"; readonly why: string };

/** A pod that is asked on its admin port. */
export type AdminTarget = {
  readonly pod: string;
  readonly ip: string;
  /** Where the port speaks TLS: the authorities' certificates (PEM), and the DNS name that the pod's must hold. */
  readonly tls?: { readonly authorities: string; readonly name: string };
  /** Where it asks for tokens: the one to show. In no log, and in no error. */
  readonly token?: string;
};

/** A certificate with its key, as PEM. */
export type Issued = { readonly certificate: string; readonly key: string };

/** From when until when a certificate is valid, by the wall clock in ms. */
export type Span = { readonly fromMs: number; readonly untilMs: number };

/** Nothing can be issued from an authority: somebody's hand was in its files. The message names no part of a key. */
export class AuthorityError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AuthorityError";
  }
}

/** Makes keys and certificates. */
export type CertificateMaker = {
  /** A new authority, certified by itself. */
  createAuthority(name: string, span: Span): Promise<Issued>;
  /** A certificate for servers and clients, with a new key, of these DNS names; rejects with an `AuthorityError`. */
  issue(authority: Issued, names: readonly string[], span: Span): Promise<Issued>;
};

/** The rings of a cluster, each of which is read of one node instead of of all. */
export type Rings = {
  /**
   * The document of an epoch of the cluster with this id.
   *
   * @param read Asks the node for it, where it is not known. What it rejects with is passed on.
   * @returns Undefined where the node has none, or where nobody needs it: a newer one is known.
   */
  of(
    ring: { readonly id: string; readonly epoch: number },
    read: () => Promise<RingDocument | undefined>,
  ): Promise<RingDocument | undefined>;
};

/** The nodes' admin API. Calls reject with a `NodeSilentError` when there is no answer that can be understood. */
export type NodeAdmin = {
  /** Status of one node, and its ring: out of `rings` where they are given. */
  ask(target: AdminTarget, rings?: Rings, options?: { readonly withoutDisk?: boolean }): Promise<NodeAnswer>;
  change(target: AdminTarget, request: ChangeRequest): Promise<ChangeAnswer>;
  cancel(target: AdminTarget, id: string): Promise<ChangeAnswer>;
};

/** A node gave no answer: unreachable, too late, or not understood. Nothing follows from it. */
export class NodeSilentError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "NodeSilentError";
  }
}
