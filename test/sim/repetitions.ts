/**
 * Whoever sends a write again under its name although it was acknowledged: a proxy or a queue that lost the answer. It is the
 * same event still, wherever it arrives: nothing that came after it may go, and nothing that went may come back. What it is
 * answered is held to that as well (acknowledgements.ts).
 */
import { KvError } from "../../node/core/errors.ts";
import type { Coordinator, WriteAnswer } from "../../node/services/coordinator.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import { Client } from "./client.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { Write } from "./writes.ts";

/** How often at most, and how soon after the answer or the time before: so soon its name is remembered by whoever has it. */
const TIMES_MAX = 2;
const PAUSE_MS_MAX = 400;

/** How a write is sent once more, and what its answers are held to. */
type Sending = {
  readonly send: (coordinator: Coordinator) => Promise<WriteAnswer>;
  readonly acknowledgements: Acknowledgements;
};

export class Repetitions {
  readonly #cluster: SimulatedCluster;
  readonly #sender: Client;
  /** After it was asked for, a stamp may be made for so long. */
  readonly #stampingMs: number;

  constructor(cluster: SimulatedCluster, stampingMs: number) {
    this.#cluster = cluster;
    this.#sender = new Client("sender of repetitions", cluster.random);
    this.#stampingMs = stampingMs;
  }

  /** Begins to send an acknowledged write again, or not: that is drawn. */
  begin(write: Write, sending: Sending, times = TIMES_MAX): void {
    const { random } = this.#sender;
    const { simulator } = this.#cluster;
    if (times === 0 || random.chance([1, 2])) return;
    const pauseMs = random.below(PAUSE_MS_MAX);
    // Whoever judges has to know before it happens.
    write.restamps = Math.max(1, write.restamps ?? 0);
    write.stampableUntilMs = Math.max(write.stampableUntilMs, simulator.nowMs + pauseMs + this.#stampingMs);
    simulator.after(pauseMs, () => {
      this.#send(write, sending).then(
        () => this.begin(write, sending, times - 1),
        (error: unknown) => {
          this.#cluster.bug ??= error;
        },
      );
    });
  }

  async #send({ id, key }: Write, { send, acknowledgements }: Sending): Promise<void> {
    const { counters } = this.#cluster;
    const take = (given: WriteAnswer | KvError) => acknowledgements.take(given);
    const asking = `again write ${id} to ${key}`;
    const answer = await this.#sender.ask(this.#cluster, asking, send, take).answer;
    if (answer !== undefined) take(answer);
    const what = answer === undefined ? "unanswered" : answer instanceof KvError ? "refused" : "acknowledged";
    const name = `simulated.repetitions.${what}`;
    counters.set(name, (counters.get(name) ?? 0) + 1);
  }
}
