/** The first thing on the page: whether anything is wrong, what, and what to do. */
import type { ConsoleLook } from "../core/watch/console-look.ts";
import { byId, element, reconcile, setText } from "./dom.ts";
import { countText } from "./words.ts";

const WORDS: Readonly<Record<string, string>> = { critical: "✖ Critical", warning: "▲ Warning", note: "ℹ Note" };

/** Shows what each look finds. Only a changed headline is read out. */
export function createVerdict(): (look: ConsoleLook) => void {
  const card = byId("verdict", HTMLElement);
  const title = byId("verdict-title", HTMLElement);
  const list = byId("findings", HTMLElement);
  const rows = new Map<string, HTMLLIElement>();
  return ({ findings }) => {
    const count = (severity: string) => findings.filter((finding) => finding.severity === severity).length;
    const worst = findings.find(({ severity }) => severity !== "note")?.severity ?? "well";
    card.dataset.severity = worst;
    setText(title, headline(count("critical"), count("warning")));
    reconcile(list, rows, findings, {
      keyOf: ({ check, what }) => `${check} ${what.replace(/\d+/g, "#")}`,
      make: ({ severity }) =>
        element("li", { "data-severity": severity }, element("strong"), " ", element("span"), " ", element("em")),
      update(row, { severity, what, advice }) {
        const [word, sentence, next] = row.children;
        row.dataset.severity = severity;
        if (word !== undefined) setText(word, `${WORDS[severity] ?? severity}`);
        if (sentence !== undefined) setText(sentence, `${what}.`);
        if (next !== undefined) setText(next, `→ ${sentenceOf(advice)}`);
      },
    });
  };
}

function headline(critical: number, warnings: number): string {
  if (critical > 0) return `✖ ${critical} critical, ${countText(warnings, "warning")}`;
  return warnings > 0 ? `▲ ${countText(warnings, "warning")}` : "✔ All well";
}

/** Advice is half a line in a terminal; here it is a sentence. */
function sentenceOf(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return first.endsWith(".") ? first : `${first}.`;
}
