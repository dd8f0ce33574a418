/**
 * Whether the spec still wants anything of the change that runs.
 *
 * Who comes and who goes is in the ring. Which weights and quorums are to be, nodes tell in words alone: `weight n1 200;
 * drain n2; w 3; strict` (node/core/ring/plan-report.ts). Words that are not known may say something that is wanted.
 */
import { weightOf } from "../founding.ts";
import { ordinalOf } from "../names.ts";
import type { RingView } from "../ring-view.ts";
import type { World } from "../world.ts";

/** Whether it may still be cancelled, and all that it does is no longer wanted. */
export function isUndone(world: World, ring: RingView): boolean {
  if (ring.change?.phase !== "prepare") return false;
  const { metadata, spec } = world.cluster;
  const moving = ring.present.filter(({ state }) => state === "joining" || state === "leaving");
  // Whatever else they were asked for with is asked for again.
  if (moving.length > 0)
    return moving.every(({ name, state }) => {
      const isWithin = (ordinalOf(metadata.name, name) ?? Number.POSITIVE_INFINITY) < spec.replicas;
      return isWithin === (state === "leaving");
    });
  const { kind } = ring.change;
  return kind !== undefined && !kind.split("; ").some((part) => isWanted(world, ring, part));
}

function isWanted({ cluster }: World, { members }: RingView, part: string): boolean {
  const { quorum } = cluster.spec;
  const [word, what = "", figure] = part.split(" ");
  const isWeighed = (weight: number) => weightOf(cluster, what, members.get(what)?.zone ?? "") === weight;
  switch (word) {
    case "weight":
      return isWeighed(Number(figure));
    case "drain":
      return isWeighed(0);
    case "r":
    case "w":
      return quorum[word] === Number(what);
    case "strict":
    case "sloppy":
      return quorum.mode === word;
    default:
      return true;
  }
}
