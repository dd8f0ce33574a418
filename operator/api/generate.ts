/** What `npm run gen` writes: the files in `crds/` and `charts/` that are made from the types. */
import { stringify } from "yaml";
import { customResourceDefinition } from "./crd.ts";

const HEADER = "# Made by `npm run gen` from operator/api/kvcluster.ts and rules.ts. Do not edit.\n";

/** Each generated file's path from the repository's top, and its text. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const crd = HEADER + stringify(customResourceDefinition(), { lineWidth: 0, aliasDuplicateObjects: false });
  return new Map([
    ["crds/kvclusters.yaml", crd],
    ["charts/annulus/files/kvclusters.yaml", crd],
  ]);
}
