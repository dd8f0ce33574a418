/** One client of a simulated cluster: what it remembers, and how it reaches a node. */
import { KvError } from "../../node/core/errors.ts";
import type { Coordinator } from "../../node/services/coordinator.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";
import type { Ratio, SeededRandom } from "./random.ts";
import type { WriteId } from "./writes.ts";

/** What a client remembers of a key: the token of what it last saw or wrote, and the writes that stand behind it. */
export type Memory = { readonly context: string; readonly past: ReadonlySet<WriteId> };

/** Longest that a client waits for an answer; a node that died never gives one. */
const PATIENCE_MS = 1_500;
/** Answers that are lost on their way, in runs where some are: after the node has given them, whatever they say. */
const LOST: Ratio = [1, 50];
const LOST_ANSWERS = "simulated.lost_answers";
/** How soon a client knows that no node can be reached. */
const UNREACHABLE_MS = 50;

export class Client {
  readonly memory = new Map<string, Memory>();
  readonly random: SeededRandom;
  /** Of what it asks for beyond what the ring says. */
  readonly wishes: SeededRandom;
  readonly name: string;
  /** Of what becomes of the answers that it is sent. */
  readonly #answers: SeededRandom;

  /** @param random Of the run. */
  constructor(name: string, random: SeededRandom) {
    this.random = random.stream(name);
    this.wishes = random.stream(`wishes of ${name}`);
    this.#answers = random.stream(`answers to ${name}`);
    this.name = name;
  }

  /**
   * Asks any node that serves. What is sent to a process that is held up waits with it, unless the client gives up first.
   *
   * @param whenLost Is told of an answer that was given and that the client never hears.
   * @returns `answer`: a `KvError`, or undefined when none came, for the node may have died. `reachedMs`: when the node
   *   took the request; undefined: it never did, and never will. `restamps`: how often at most another member was asked to
   *   stamp for it so far, for it is counted for all requests of that node.
   */
  ask<T>(
    cluster: SimulatedCluster,
    what: string,
    request: (coordinator: Coordinator) => Promise<T>,
    whenLost: (answer: T | KvError) => void = () => undefined,
  ): {
    readonly answer: Promise<T | KvError | undefined>;
    readonly reachedMs: () => number | undefined;
    readonly restamps: () => number;
  } {
    const { simulator, machines } = cluster;
    const serving = machines.filter(({ node }) => node !== undefined);
    const machine: SimulatedNode | undefined = serving.length === 0 ? undefined : this.random.pick(serving);
    const restampsSoFar = () => (machine === undefined ? 0 : (cluster.stampRetries.get(machine.name) ?? 0));
    const restampsBefore = restampsSoFar();
    let reachedMs: number | undefined;
    const answer = new Promise<T | KvError | undefined>((resolve, reject) => {
      if (machine === undefined) {
        // Whoever finds nobody looks again a little later.
        simulator.after(UNREACHABLE_MS, () => resolve(undefined));
        return;
      }
      let hasGivenUp = false;
      const timer = simulator.after(PATIENCE_MS, () => {
        hasGivenUp = true;
        arrival.cancel();
        resolve(undefined);
      });
      const arrival = simulator.after(
        0,
        () => {
          const coordinator = machine.node?.coordinator;
          if (coordinator === undefined) return;
          reachedMs = simulator.nowMs;
          simulator.note(`${this.name} > ${machine.name}: ${what}`);
          const told = (given: T | KvError): void => {
            if (hasGivenUp) return whenLost(given);
            if (this.#isLost(cluster)) {
              simulator.note(`${this.name} never hears what ${machine.name} says of: ${what}`);
              whenLost(given);
              // The connection breaks, or nothing is heard any more.
              if (this.#answers.chance([1, 2])) return;
              timer.cancel();
              return resolve(undefined);
            }
            timer.cancel();
            resolve(given);
          };
          request(coordinator)
            .then(told, (error: unknown) => {
              if (!(error instanceof KvError)) throw error;
              told(error);
            })
            .catch((error: unknown) => {
              // Nobody may wait for it any more.
              cluster.bug ??= error;
              reject(error);
            });
        },
        machine.process,
      );
    });
    return { answer, reachedMs: () => reachedMs, restamps: () => restampsSoFar() - restampsBefore };
  }

  #isLost({ options, counters }: SimulatedCluster): boolean {
    if (options.requests?.lostAnswers !== true || !this.#answers.chance(LOST)) return false;
    counters.set(LOST_ANSWERS, (counters.get(LOST_ANSWERS) ?? 0) + 1);
    return true;
  }
}
