/** Members that are met with another data directory than the ring lists, and what that means for the cluster. Pure. */
import type { Look, SeenRing } from "./look.ts";

/** What one look tells of the directories behind the members' names. */
export type Directories = {
  /** Names whose directory is another than the ring lists: a new one that is not listed yet, or one of before. */
  readonly unlisted: ReadonlySet<string>;
  /** Those of them that count for nothing now. Where no ring can be chosen that lists them, new ones have to do. */
  readonly outside: ReadonlySet<string>;
  /** How many members vote about the next ring, and how many of those are unlisted. */
  readonly voters: number;
  readonly lostVoters: number;
  /** So many voters have other directories than are listed that no further ring can be chosen. */
  readonly isPastChanging: boolean;
};

/** Compares what each node meets with the newest ring. */
export function directoriesOf(look: Look): Directories {
  const { ring } = look;
  const unlisted = new Set<string>();
  for (const { name, state, actor } of ring?.members ?? []) {
    const met = state === "left" ? undefined : metActor(look, name);
    if (actor !== undefined && met !== undefined && met !== actor) unlisted.add(name);
  }
  const voters = ring === undefined ? [] : votersOf(ring);
  const lostVoters = voters.filter((name) => unlisted.has(name)).length;
  // As `isPastChanging` of services/listing.ts; a majority of the voters has to be left.
  const isPastChanging = voters.length > 0 && (voters.length - lostVoters) * 2 <= voters.length;
  const saysItself = (name: string) => look.views.some(({ cluster, notReady }) => cluster.node === name && notReady);
  const outside = new Set([...unlisted].filter((name) => !isPastChanging || saysItself(name)));
  return { unlisted, outside, voters: voters.length, lostVoters, isPastChanging };
}

/** The directory that a member says it has, else that one of those has met it with who do not take it for down. */
function metActor({ views }: Look, name: string): string | undefined {
  const own = views.toSorted((a, b) => Number(b.cluster.node === name) - Number(a.cluster.node === name));
  for (const { cluster } of own) {
    const member = cluster.members.find((each) => each.name === name);
    const isTelling = cluster.node === name || member?.health !== "down";
    if (isTelling && typeof member?.actor === "string") return member.actor;
  }
  return undefined;
}

/** As the members count them: those with homes, or a right to them, whose disks are not given up. */
function votersOf({ members, preferenceLists }: SeenRing): readonly string[] {
  return members.flatMap(({ name, state, isDestroyed }) => {
    if (isDestroyed === true) return [];
    if (state === "active" || state === "rebuilding") return [name];
    return state === "leaving" && preferenceLists.some((homes) => homes.includes(name)) ? [name] : [];
  });
}
