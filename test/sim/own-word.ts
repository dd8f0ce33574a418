/** What a simulated node says of itself. */
import type { SimulatedNode } from "./cluster.ts";

/** Whether it serves as a member of a ring, and is not being rebuilt by its own word. */
export function saysItIsWhole({ name, node }: SimulatedNode): boolean {
  const own = node?.status.cluster().members.find((member) => member.name === name);
  return own !== undefined && own.state !== "rebuilding";
}
