/**
 * Which node is asked next for a key. Pure.
 *
 * A node that is home to the key spares a hop, and half of a quorum. A blind write is stamped by the first home that is
 * up, so that it goes there; anything else goes to a home in the client's own zone, and among equals to the one with the
 * fewest requests on their way. Where no home can be asked, any node will do: it passes the request on.
 */

/** What is known of a node when one has to be chosen. */
export type Candidate = {
  readonly zone: string | undefined;
  /** Requests of this client that it has not answered yet. */
  readonly inFlight: number;
  /** Until when it is passed over where another will do, for it did not answer; ms of a monotonic clock. */
  readonly awayUntilMs: number;
};

/** `first`: the first home is the best; `near`: all homes are alike, and the nearest is the best. */
export type Wish = "first" | "near";

export type Choosing<Node extends Candidate> = {
  /** The key's home replicas that are known, in the ring's order. */
  readonly homes: readonly Node[];
  /** Every node that is known, homes among them or not. */
  readonly all: readonly Node[];
  /** Nodes that were asked already and are not to be asked again. */
  readonly tried: ReadonlySet<Node>;
  readonly wish: Wish;
  /** The client's own zone. */
  readonly zone: string | undefined;
  readonly nowMs: number;
  /** Grows with each request: among equals they take turns. */
  readonly turn: number;
};

/** The node to ask; undefined when each has been tried. */
export function chooseNode<Node extends Candidate>(choosing: Choosing<Node>): Node | undefined {
  const { homes, all, tried, wish, nowMs } = choosing;
  const isFit = (node: Node) => !tried.has(node) && node.awayUntilMs <= nowMs;
  const home = wish === "first" ? homes.find(isFit) : best(homes, isFit, choosing);
  return home ?? best(all, isFit, choosing) ?? soonest(all, tried);
}

function best<Node extends Candidate>(
  nodes: readonly Node[],
  isFit: (node: Node) => boolean,
  { zone, turn }: Choosing<Node>,
): Node | undefined {
  let found: Node | undefined;
  for (let step = 0; step < nodes.length; step++) {
    const node = nodes[(turn + step) % nodes.length] as Node;
    if (isFit(node) && (found === undefined || isBetter(node, found, zone))) found = node;
  }
  return found;
}

function isBetter(node: Candidate, other: Candidate, zone: string | undefined): boolean {
  const [isNear, isOtherNear] = [node.zone === zone, other.zone === zone];
  if (zone !== undefined && isNear !== isOtherNear) return isNear;
  return node.inFlight < other.inFlight;
}

/** Of those that are away, the one whose time ends first. */
function soonest<Node extends Candidate>(nodes: readonly Node[], tried: ReadonlySet<Node>): Node | undefined {
  let found: Node | undefined;
  for (const node of nodes) {
    if (!tried.has(node) && (found === undefined || node.awayUntilMs < found.awayUntilMs)) found = node;
  }
  return found;
}
