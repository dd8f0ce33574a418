/** What `npm run gen` writes: the files in `crds/` and `charts/` that are made from the types. */
import { stringify } from "yaml";
import { backupDefinition, clusterDefinition, type Json } from "./crd.ts";

const header = (files: string) => `# Made by \`npm run gen\` from operator/api/${files}. Do not edit.\n`;

/** Each generated file's path from the repository's top, and its text. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ...filesOf("kvclusters.yaml", header("kvcluster.ts and rules.ts"), clusterDefinition()),
    ...filesOf("kvbackups.yaml", header("kvbackup.ts and backup-rules.ts"), backupDefinition()),
  ]);
}

function filesOf(name: string, head: string, definition: Json): (readonly [string, string])[] {
  // YAML 1.1, as kubectl reads it: there a bare `n` is a word for false, and must be quoted as a key.
  const options = { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false } as const;
  const text = head + stringify(definition, options);
  return ["crds", "charts/annulus/files"].map((folder) => [`${folder}/${name}`, text]);
}
