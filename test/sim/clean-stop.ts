/** How a node is stopped that runs by itself: as `main.ts` does it when it is told to, with the same bound on its time. */
import { KvError } from "../../node/core/errors.ts";
import type { StorageNode } from "../../node/node.ts";
import type { SimulatedCluster, SimulatedNode } from "./cluster.ts";

const told = new WeakSet<StorageNode>();

/** Ends the parts of a running node, then its store. @returns Undefined where nothing runs, or it was told so before. */
export function stopParts({ node, engine }: SimulatedNode): Promise<void> | undefined {
  if (node === undefined || engine === undefined || told.has(node)) return undefined;
  told.add(node);
  return node.stop().then(() => engine.close());
}

/** A node that takes longer is killed, in ms of virtual time. */
export const STOP_WITHIN_MS = 10_000;

/**
 * Tells the node of a machine to stop; its process hears of it when it is not held up. From then on it takes no client's
 * requests; those it has are answered for a while, or are left to it. In the end the process is gone, in one way or another.
 *
 * @param answeringMs For how long it answers what it took before.
 * @param ended Is told how it went, unless something else ended the process before.
 */
export function stopCleanly(
  cluster: SimulatedCluster,
  machine: SimulatedNode,
  answeringMs: number,
  ended: (how: string) => void,
): void {
  const { simulator } = cluster;
  const { process, node, engine, name } = machine;
  if (process === undefined || node === undefined) return;
  const end = (how: string) => {
    if (machine.process !== process) return;
    simulator.tell(`${name} ${how}`);
    cluster.crash(machine, "process");
    ended(how);
  };
  const failed = (error: unknown) => {
    if (machine.process !== process) return;
    // Anything else would have ended it as a bug, and does here.
    if (!(error instanceof KvError)) cluster.bug ??= error;
    end(`did not stop cleanly: ${error instanceof Error ? error.message : String(error)}`);
  };
  const begin = () => {
    if (machine.node !== node) return;
    simulator.tell(`stop ${name}`);
    // Its port for clients is closed.
    machine.node = undefined;
    node.status.drain();
    const parts = () => stopParts({ ...machine, node, engine })?.then(() => end("stopped cleanly"), failed);
    simulator.after(answeringMs, () => void parts(), process);
  };
  simulator.after(0, begin, process);
  simulator.after(STOP_WITHIN_MS, () => end(`did not stop within ${STOP_WITHIN_MS} ms`));
}
