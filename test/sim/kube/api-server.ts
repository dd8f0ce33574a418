/**
 * An API server in virtual time: requests take time, fail before or after they took effect, or meet a server that is away;
 * watches lag, break and are told everything again, or go silent.
 *
 * What it stores and which rules it keeps to is the store of the operator's own tests (`test/operator/fake-kube.ts`). A
 * request that has left its sender is carried out whether or not the sender lives to hear of it.
 */
import type { KubeObject } from "../../../operator/core/objects.ts";
import { type Kube, KubeError, type Resource, type Time, type Watching } from "../../../operator/ports.ts";
import { FakeKube } from "../../operator/fake-kube.ts";
import type { Ratio, SeededRandom } from "../random.ts";
import type { Process, Simulator } from "../simulator.ts";

export type ApiFaults = {
  /** One way of a request, in ms: lowest and highest. */
  latencyMs: readonly [number, number];
  /** Requests that are refused for the moment, with nothing done. */
  refused: Ratio;
  /** Requests that are carried out, and whose answer is lost. */
  answersLost: Ratio;
  /** How much later a watch tells of a change, in ms. */
  watchLagMs: readonly [number, number];
  /** Changes at which a watch breaks: it is opened again, and told of everything that is there. */
  watchBreaks: Ratio;
};

export const CALM_API: ApiFaults = {
  latencyMs: [1, 5],
  refused: [0, 1],
  answersLost: [0, 1],
  watchLagMs: [1, 20],
  watchBreaks: [0, 1],
};

/** The longest that a request to the server, or its answer, is on its way. */
export const REQUEST_MS_MAX = 1_500;
/** How long a request waits for a server that is away. */
const TIMEOUT_MS = 5_000;
/** A watch that broke is opened again after so long. */
const REOPEN_MS = 1_000;

/** What a request asks for, told to who watches over operators. */
export type ApiCall = { readonly verb: string; readonly kind: string; readonly isWrite: boolean };

type SimulatedWatch = { sever(): void };
type WatchOptions = Parameters<Kube["watch"]>[1];

export class SimulatedApiServer {
  faults: ApiFaults = { ...CALM_API };
  /** Until when nobody can reach it. */
  awayUntilMs = 0;
  /** Until when watches tell nothing, though their connections stand. */
  silentUntilMs = 0;
  /** How often each fault was met, and each verb was carried out. */
  readonly counters = new Map<string, number>();
  /** Is told of each request of an operator right before and right after it is carried out: there it may be killed. */
  onCall: (process: Process, call: ApiCall, when: "before" | "after") => void = () => undefined;
  readonly #store = new FakeKube();
  readonly #simulator: Simulator;
  readonly #random: SeededRandom;
  readonly #time: Time;
  readonly #watches = new Set<SimulatedWatch>();

  constructor(simulator: Simulator, random: SeededRandom) {
    this.#simulator = simulator;
    this.#random = random;
    this.#time = simulator.timeOf(simulator.createProcess("api server"));
  }

  /** What it holds, at this moment: for the controllers beside it and for those who judge. */
  get store(): FakeKube {
    this.#store.nowMs = this.#time.wallMs();
    return this.#store;
  }

  /** Ends all faults. */
  heal(): void {
    this.faults = { ...CALM_API };
    this.awayUntilMs = 0;
    this.silentUntilMs = 0;
  }

  /** Breaks every watch at once, as a server that is restarted does. */
  severWatches(): void {
    for (const watch of this.#watches) watch.sever();
  }

  /** The API as one process reaches it. */
  of(process: Process): Kube {
    const ask = <T>(verb: string, kind: string, run: () => Promise<T>) =>
      this.#ask(process, { verb, kind, isWrite: verb !== "read" && verb !== "list" }, run);
    return {
      read: (resource, place) => ask("read", resource.kind, () => this.store.read(resource, place)),
      list: (resource, options) => {
        const namespace = options.namespace === "" ? undefined : options.namespace;
        return ask("list", resource.kind, () => this.store.list(resource, { ...options, namespace }));
      },
      apply: (resource, object, options) =>
        ask("apply", resource.kind, () => this.store.apply(resource, object, options)),
      create: (resource, object) => ask("create", resource.kind, () => this.store.create(resource, object)),
      replace: (resource, object) => ask("replace", resource.kind, () => this.store.replace(resource, object)),
      remove: (resource, place, options) =>
        ask("remove", resource.kind, () => this.store.remove(resource, place, options)),
      watch: (resource, options, tell) => this.#watch(process, { resource, options, tell }),
    };
  }

  #count(what: string): void {
    this.counters.set(what, (this.counters.get(what) ?? 0) + 1);
  }

  #between([low, high]: readonly [number, number]): number {
    return low + (this.#random.uint32() / 2 ** 32) * (high - low);
  }

  #ask<T>(process: Process, call: ApiCall, run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (why: string, afterMs: number) => {
        this.#count(`api: ${why}`);
        this.#simulator.after(afterMs, () => reject(new KubeError("unavailable", why)), process);
      };
      this.#simulator.after(this.#between(this.faults.latencyMs), () => {
        if (this.#simulator.nowMs < this.awayUntilMs) return fail("away", TIMEOUT_MS);
        if (this.#random.chance(this.faults.refused)) return fail("refused", this.#between(this.faults.latencyMs));
        this.onCall(process, call, "before");
        if (!process.alive && this.#random.chance([1, 2])) return;
        const reply = (settle: () => void) => {
          if (this.#random.chance(this.faults.answersLost)) return fail("answer lost", TIMEOUT_MS);
          this.#simulator.after(this.#between(this.faults.latencyMs), settle, process);
        };
        if (call.isWrite) this.#count(`api: ${call.verb} ${call.kind}`);
        run().then(
          (answer) => reply(() => resolve(answer)),
          (error: unknown) => {
            if (error instanceof KubeError) this.#count(`api: ${error.failure}`);
            reply(() => reject(error));
          },
        );
        this.onCall(process, call, "after");
      });
    });
  }

  #watch(
    process: Process,
    { resource, options, tell }: { resource: Resource; options: WatchOptions; tell: (object: KubeObject) => void },
  ): Watching {
    let isEnded = false;
    let isBroken = false;
    let lastMs = 0;
    const { namespace, selector, resyncMs } = options;
    const isMeant = (object: KubeObject) =>
      namespace === undefined || namespace === "" || object.metadata.namespace === namespace;
    const tellLater = (object: KubeObject) => {
      if (isEnded || !isMeant(object)) return;
      // In order: what is told of later was changed later.
      const { nowMs } = this.#simulator;
      lastMs = Math.max(lastMs, nowMs + this.#between(this.faults.watchLagMs));
      this.#simulator.after(lastMs - nowMs, () => isEnded || tell(object), process);
    };
    const tellAll = () => {
      for (const object of this.store.all(resource.kind)) if (isSelected(object, selector)) tellLater(object);
    };
    const sever = () => {
      if (isBroken || isEnded) return;
      isBroken = true;
      this.#count("api: watch broke");
      this.#simulator.after(REOPEN_MS + Math.max(0, this.awayUntilMs - this.#simulator.nowMs), () => {
        isBroken = false;
        tellAll();
      });
    };
    const resync = () => {
      this.#simulator.after(resyncMs, () => {
        if (isEnded || !process.alive) return;
        tellAll();
        resync();
      });
    };
    // It begins with everything that is there.
    const inner = this.store.watch(resource, { selector }, (object) => {
      if (isBroken || isEnded || !process.alive) return;
      if (this.#simulator.nowMs < this.silentUntilMs) return this.#count("api: watch was silent");
      if (this.#random.chance(this.faults.watchBreaks)) return sever();
      tellLater(object);
    });
    resync();
    const watch = { sever };
    this.#watches.add(watch);
    return {
      end: () => {
        isEnded = true;
        this.#watches.delete(watch);
        inner.end();
      },
    };
  }
}

function isSelected({ metadata }: KubeObject, selector: string | undefined): boolean {
  const terms = (selector ?? "").split(",").filter((term) => term !== "");
  return terms.every((term) => {
    const [name = "", value] = term.split("=");
    return metadata.labels?.[name] === value;
  });
}
