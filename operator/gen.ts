/** `npm run gen`: writes the files that are made from the types. Run from anywhere. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generatedFiles } from "./api/generate.ts";

/** The repository's top, seen from `dist/operator/`. */
const TOP = join(import.meta.dirname, "..", "..");

for (const [path, text] of generatedFiles()) {
  mkdirSync(dirname(join(TOP, path)), { recursive: true });
  writeFileSync(join(TOP, path), text);
}
