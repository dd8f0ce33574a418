/** What nodes answer, as a caller takes it. */
import { SiblingsError } from "./errors.ts";
import { headerOf, type WholeAnswer } from "./exchange.ts";
import { errorOf } from "./failure.ts";
import type { Done } from "./operation.ts";
import type { Resolve } from "./options.ts";
import { bodyOf, Found, isDeletion, parseReceipt, type Reading, Sibling, Value, type Written } from "./values.ts";

/**
 * What a read showed.
 *
 * @throws {AnnulusError} The answer is an error.
 */
export function readingOf(done: Done): Reading {
  const { answer } = done;
  const about = {
    context: headerOf(answer, "kv-context"),
    node: headerOf(answer, "kv-node"),
    receipt: parseReceipt(headerOf(answer, "kv-receipt")),
  };
  if (answer.status === 404) return { siblings: [], ...about };
  if (answer.status === 200) return { siblings: [onlySibling(answer)], ...about };
  if (answer.status === 300) return { siblings: siblingsOf(answer), ...about };
  throw errorOf(answer, done);
}

function onlySibling(answer: WholeAnswer): Sibling {
  const value = new Value(answer.body, headerOf(answer, "content-type") ?? "application/octet-stream");
  return new Sibling(value, { isDeleted: false, writtenAt: undefined });
}

type SiblingJson = {
  readonly contentType: string;
  readonly value?: string;
  readonly writtenAt: string;
  readonly deleted: boolean;
};

function siblingsOf({ body }: WholeAnswer): readonly Sibling[] {
  const { siblings } = JSON.parse(body.toString("utf8")) as { readonly siblings: readonly SiblingJson[] };
  return siblings.map(({ contentType, value = "", writtenAt, deleted }) => {
    const bytes = new Value(Buffer.from(value, "base64"), contentType);
    return new Sibling(bytes, { isDeleted: deleted, writtenAt: new Date(writtenAt) });
  });
}

/**
 * The one value of what was read; undefined when there is none.
 *
 * @throws {SiblingsError} There are several, and nothing settles them.
 */
export function settle({ siblings, context = "", node }: Reading, resolve: Resolve | undefined): Found | undefined {
  const [only] = siblings;
  if (only === undefined) return undefined;
  if (siblings.length === 1) return new Found(only, { context, siblings: 1 });
  if (resolve === undefined) throw new SiblingsError(siblings, context, node);
  const content = resolve(siblings);
  if (content === undefined || isDeletion(content)) return undefined;
  const { body, contentType } = bodyOf(content);
  return new Found(new Value(Buffer.from(body), contentType), { context, siblings: siblings.length });
}

/**
 * What became of a write.
 *
 * @throws {AnnulusError} It was not taken.
 */
export function writtenOf(done: Done): Written {
  const { answer } = done;
  const context = headerOf(answer, "kv-context");
  if (answer.status !== 204 || context === undefined) {
    throw errorOf(answer, { ...done, isUnknown: done.isUnknown || answer.status < 400 });
  }
  return { context, node: headerOf(answer, "kv-node"), receipt: parseReceipt(headerOf(answer, "kv-receipt")) };
}
