/**
 * Looks at the version of Node before the rest of the library is loaded: on an old one that would fail in the midst of a
 * call, with a riddle. It has to be the first that client.ts imports, and may itself use nothing new.
 */

/** What Undici needs, and `Promise.withResolvers`. */
const NEEDED = { major: 22, minor: 19 };

/** Why the library cannot be used on a Node of this version; undefined where it can. */
export function refusalOf(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > NEEDED.major || (major === NEEDED.major && minor >= NEEDED.minor)) return undefined;
  return (
    `Cannot load annulus/client: it needs Node ${NEEDED.major}.${NEEDED.minor} or newer, this is Node ${version}. ` +
    "Run the program with a newer one, or speak HTTP to the nodes without it (docs/api.md)."
  );
}

const refusal = refusalOf(process.versions.node);
if (refusal !== undefined) throw new Error(refusal);
