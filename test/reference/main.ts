/** Writes `docs/reference.md`; a part of `npm run gen`. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkoutDirectory } from "../bench/processes.ts";
import { referencePage } from "./page.ts";

writeFileSync(join(checkoutDirectory(), "docs/reference.md"), referencePage());
