/** What `npm run gen` writes: the files in `crds/` and `charts/` that are made from the types. */
import { stringify } from "yaml";
import { customResourceDefinition } from "./crd.ts";

const HEADER = "# Made by `npm run gen` from operator/api/kvcluster.ts and rules.ts. Do not edit.\n";

/** Each generated file's path from the repository's top, and its text. */
export function generatedFiles(): ReadonlyMap<string, string> {
  // YAML 1.1, as kubectl reads it: there a bare `n` is a word for false, and must be quoted as a key.
  const options = { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false } as const;
  const crd = HEADER + stringify(customResourceDefinition(), options);
  return new Map([
    ["crds/kvclusters.yaml", crd],
    ["charts/annulus/files/kvclusters.yaml", crd],
  ]);
}
