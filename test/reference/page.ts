/** `docs/reference.md`: both OpenAPI documents as one page. */
import { adminDocument } from "../../node/adapters/http/openapi-admin.ts";
import { dataDocument } from "../../node/adapters/http/openapi-data.ts";
import { openapiMarkdown } from "./markdown.ts";

/** The default bound of a pair, which the data port's document names. */
const PAIR_BYTES_MAX = 10_240;

const HEAD = `# API reference

Made of the OpenAPI documents that nodes serve at \`/openapi.json\` (\`npm run gen\`); do not edit. [api.md](api.md) is the guide, with
examples.
`;

/** The page's text. */
export function referencePage(): string {
  return [
    HEAD,
    openapiMarkdown(dataDocument({ pairBytesMax: PAIR_BYTES_MAX })),
    openapiMarkdown(adminDocument({ pairBytesMax: PAIR_BYTES_MAX })),
  ].join("\n");
}
