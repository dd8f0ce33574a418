/**
 * What a regular expression can cost on hostile text: nothing that is shipped may take more than linear time.
 *
 * Two analyses. scslre, of the authors of eslint-plugin-regexp, finds quantifiers that can trade or repeat each other's characters, and
 * searches that begin anew at each of them; and what it does not look for, alternatives within a repetition that can begin
 * alike, is refused here: where the next character says which alternative it is, nothing is ever tried twice.
 */
import { RegExpParser, visitRegExpAST } from "@eslint-community/regexpp";
import type { CapturingGroup, Group } from "@eslint-community/regexpp/ast";
import { getFirstConsumedChar, toCache } from "regexp-ast-analysis";
import { analyse } from "scslre";

/** What is wrong with the expression `/source/flags`; empty where nothing is. */
export function slowness(source: string, flags: string): string[] {
  const { reports } = analyse({ source, flags });
  const slow = reports.map(({ type, exponential }) => {
    const how = type !== "Move" && exponential ? "exponential" : "more than linear";
    return `/${source}/ takes ${how} time on some text (${type}): anchor it, tell its parts apart, or do without`;
  });
  const alike = `/${source}/ repeats alternatives that can begin alike, or be empty: tell them apart by their first character`;
  return [...slow, ...(repeatsAlike(source, flags) ? [alike] : [])];
}

function repeatsAlike(source: string, flags: string): boolean {
  const literal = new RegExpParser().parseLiteral(`/${source}/${flags}`);
  const cache = toCache(literal.flags);
  const isAlike = ({ alternatives }: Group | CapturingGroup) => {
    const firsts = alternatives.map((one) => getFirstConsumedChar(one, "ltr", cache));
    return firsts.some(
      ({ char, empty }, index) =>
        firsts.length > 1 && (empty || firsts.slice(index + 1).some((other) => !char.isDisjointWith(other.char))),
    );
  };
  let found = false;
  const look = (group: Group | CapturingGroup) => {
    found ||= isAlike(group);
  };
  visitRegExpAST(literal, {
    onQuantifierEnter({ max, element }) {
      if (max > 1) visitRegExpAST(element, { onGroupEnter: look, onCapturingGroupEnter: look });
    },
  });
  return found;
}
