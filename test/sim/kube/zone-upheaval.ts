/** A whole zone that is lost for good, machines and disks, with more than one member; and the person who says so after a while. */
import type { Faults } from "../faults.ts";
import type { SeededRandom } from "../random.ts";
import type { KubeWorld } from "./kube-world.ts";
import type { Machine } from "./machines.ts";
import type { Watchman } from "./watchman.ts";

const LOST_AFTER_MS = [5_000, 30_000] as const;
/** How soon to look again where no zone could be lost. */
const LOOK_MS = 500;
const SAID_AFTER_MS = [3_000, 20_000] as const;
/** A pod that Kubernetes has put in another's place knows nothing of what was said of that one. */
const SAID_AGAIN_MS = 3_000;
const NEW_AFTER_MS = [1_000, 10_000] as const;

/**
 * Happens in some runs, once at most and while `isOn`. That it is said goes on when nothing new begins any more: nobody else
 * mends it.
 *
 * @param parts `faults`: lets a disk be lost; as many homes of a partition are lost with a zone. `watchman`: knows which may be.
 * @param during `count`: is told of what happened.
 */
export function loseZone(
  { world, faults, watchman }: { readonly world: KubeWorld; readonly faults: Faults; readonly watchman: Watchman },
  random: SeededRandom,
  { isOn, count }: { readonly isOn: () => boolean; readonly count: (what: string) => void },
): void {
  if (!random.chance([1, 2])) return;
  const { simulator } = world.cluster;
  function look(): void {
    if (!isOn()) return;
    const zones = watchman.zonesToLose().filter((zone) => isSeen(world, zone));
    if (zones.length === 0 || !faults.takeDisk()) {
      simulator.after(LOOK_MS, look);
      return;
    }
    const isPutUpAgain = random.chance([2, 3]);
    lose(random.pick(zones), isPutUpAgain);
    count(isPutUpAgain ? "kube: zone lost" : "kube: zone lost for ever");
  }
  function lose(zone: string, isPutUpAgain: boolean): void {
    const lost = world.machines.all.filter((machine) => machine.zone === zone && !machine.isLost);
    simulator.tell(`upheaval: zone lost, ${zone}, with ${lost.flatMap((machine) => world.volumesOn(machine)).join()}`);
    for (const machine of lost) {
      world.powerOff(machine);
      world.lose(machine);
      // Else its members are made anew in other zones.
      if (isPutUpAgain) simulator.after(random.between(...NEW_AFTER_MS), () => world.machines.add(zone));
    }
    simulator.after(random.between(...SAID_AFTER_MS), () => say(world, lost));
  }
  simulator.after(random.between(...LOST_AFTER_MS), look);
}

/** Whoever knows of a zone knows all of its machines: nobody takes one for lost that is only away. */
function isSeen({ machines }: KubeWorld, zone: string): boolean {
  return machines.all.every((machine) => machine.zone !== zone || machine.isLost || machines.isReady(machine));
}

function say(world: KubeWorld, lost: readonly Machine[]): void {
  for (const machine of lost) for (const member of world.volumesOn(machine)) world.askReplacement(member, "lost");
  world.cluster.simulator.after(SAID_AGAIN_MS, () => say(world, lost));
}
