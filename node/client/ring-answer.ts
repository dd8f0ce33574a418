/** The ring as the data port tells it, read with care: a URL may name anything. */
import type { ClientRing } from "../core/ring/client-ring.ts";

const PARTITIONS_MAX = 65_536;

/** Reads `GET /v1/ring`; undefined when the text is no ring. */
export function parseClientRing(text: string): ClientRing | undefined {
  let ring: Partial<ClientRing> | null;
  try {
    ring = JSON.parse(text) as Partial<ClientRing> | null;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
  const { cluster, epoch, partitions, n, members, preferenceLists } = ring ?? {};
  const isRing =
    typeof cluster === "string" &&
    isCount(epoch) &&
    isCount(n) &&
    isCount(partitions) &&
    partitions <= PARTITIONS_MAX &&
    (partitions & (partitions - 1)) === 0 &&
    Array.isArray(members) &&
    members.every((member) => [member?.name, member?.host, member?.zone].every((text) => typeof text === "string")) &&
    Array.isArray(preferenceLists) &&
    preferenceLists.length === partitions &&
    preferenceLists.every((list) => Array.isArray(list) && list.every((name) => typeof name === "string"));
  return isRing ? { cluster, epoch, partitions, n, members, preferenceLists } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1;
}
