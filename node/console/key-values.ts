/** The values of a key side by side, and the form that makes one of several. */

import { byId, element, setText } from "./dom.ts";
import type { ShownValue } from "./key-data.ts";
import { textOfValue } from "./value-text.ts";
import { bytesText, countText } from "./words.ts";

/** What a person decides: to keep one of the values as it is, to write a text in place of all, or to delete the key. */
export type Decision =
  | { readonly kind: "keep"; readonly value: ShownValue & { readonly bytes: Uint8Array<ArrayBuffer> } }
  | { readonly kind: "write"; readonly text: string; readonly contentType: string }
  | { readonly kind: "delete" };

const TEXT_TYPE = "text/plain; charset=utf-8";

/** @param decide Told of what is to become of several values. */
export function createKeyValues(
  decide: (decision: Decision) => void,
): (values: readonly ShownValue[], typed?: string) => void {
  const list = byId("key-values", HTMLElement);
  const form = byId("settle-form", HTMLFormElement);
  const merged = byId("settle-text", HTMLTextAreaElement);
  let shown: readonly ShownValue[] = [];

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [type = TEXT_TYPE, ...others] = new Set(
      shown.flatMap(({ bytes, contentType }) => (bytes === undefined ? [] : [contentType])),
    );
    decide({ kind: "write", text: merged.value, contentType: others.length === 0 ? type : TEXT_TYPE });
  });
  byId("settle-delete", HTMLButtonElement).addEventListener("click", () => {
    if (confirm("Delete the key, with all the values that are shown?")) decide({ kind: "delete" });
  });

  return (values, typed) => {
    shown = values;
    const isOne = values.length < 2;
    list.replaceChildren(...values.map((value, index) => articleOf(value, index, isOne ? undefined : decide)));
    form.hidden = isOne;
    const texts = values.flatMap(({ bytes }) => (bytes === undefined ? [] : [textOfValue(bytes)]));
    // Empty, it would put nothing in place of bytes that nobody could edit here.
    merged.required = !texts.some(({ isText }) => isText);
    merged.value = typed ?? texts.find(({ isText, isWhole }) => isText && isWhole)?.text ?? "";
    setText(byId("settle-title", HTMLElement), `Settle the ${countText(values.length, "value")}`);
  };
}

function articleOf(value: ShownValue, index: number, decide: ((decision: Decision) => void) | undefined): HTMLElement {
  const { bytes, contentType, writtenAt } = value;
  const title = `Value ${index + 1}`;
  const when = writtenAt === undefined ? "" : `written ${writtenAt}`;
  if (bytes === undefined) {
    return element("article", {}, element("h3", {}, title), element("p", {}, `A deletion, ${when}`));
  }
  const { text, isText, isWhole } = textOfValue(bytes);
  const about = [contentType, bytesText(bytes.length), when].filter((part) => part !== "").join(", ");
  const cut = isWhole ? "" : "The rest is left out here.";
  const kind = isText ? "" : "No text; as hex digits:";
  const article = element(
    "article",
    {},
    element("h3", {}, title),
    element("p", { class: "quiet" }, about),
    ...[kind].filter(Boolean).map((note) => element("p", { class: "quiet" }, note)),
    element("pre", { tabindex: 0, "aria-label": title }, text),
    ...[cut].filter(Boolean).map((note) => element("p", { class: "quiet" }, note)),
  );
  if (decide === undefined) return article;
  const keep = element("button", { type: "button" }, `Keep value ${index + 1}`);
  keep.addEventListener("click", () => decide({ kind: "keep", value: { ...value, bytes } }));
  article.append(keep);
  return article;
}
