/**
 * Server-sent events out of a stream of text (WHATWG HTML, §9.2.6, as far as the node uses it: `event` and `data`). Pure.
 *
 * The page reads the stream itself, for the browser's own EventSource cannot send a token.
 */

export type ServerEvent = { readonly name: string; readonly data: string };

/** Takes pieces of the stream, in order; gives the events that are whole. */
export function createEventParser(): (piece: string) => readonly ServerEvent[] {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop() ?? "";
    return blocks.map((block) => {
      const fields = block.split("\n").map((line) => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon), line.slice(colon + 2)] as const;
      });
      const of = (wanted: string) => fields.flatMap(([name, value]) => (name === wanted ? [value] : [])).join("\n");
      return { name: of("event"), data: of("data") };
    });
  };
}
