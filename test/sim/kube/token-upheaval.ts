/** What people do to tokens while a run goes on: the administrator's is taken away, and the nodes are opened to all and closed again. */
import { textAt } from "../../../operator/core/objects.ts";
import type { SeededRandom } from "../random.ts";
import type { KubeWorld } from "./kube-world.ts";

const EVERY_MS = [5_000, 25_000] as const;

/**
 * Goes on until `isOn` says that it is over; only in runs whose manifest has the nodes ask for tokens at first.
 *
 * @param count Is told of what happened.
 */
export function disturbTokens(
  world: KubeWorld,
  random: SeededRandom,
  { isOn, count }: { readonly isOn: () => boolean; readonly count: (what: string) => void },
): void {
  if (!world.options.asksForTokens) return;
  world.cluster.simulator.after(random.between(...EVERY_MS), () => {
    if (!isOn()) return;
    if (random.chance([1, 3])) {
      const mode = textAt(world.object, "spec", "access", "mode") === "tokens" ? "open" : "tokens";
      world.edit({ access: { mode } });
      world.cluster.simulator.tell(`upheaval: access, ${mode}`);
      count("kube: access");
    } else if (world.dropAdminToken()) {
      world.cluster.simulator.tell("upheaval: token taken away");
      count("kube: token taken away");
    }
    disturbTokens(world, random, { isOn, count });
  });
}
