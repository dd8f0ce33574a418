/** The table of members and the list of zones: who is there, how it is, what it has. */
import type { ConsoleLook, ConsoleMember } from "../core/watch/console-look.ts";
import { type Colour, paint } from "./colours.ts";
import { element, reconcile, setAttributes, setText } from "./dom.ts";
import { msText, numberText } from "./words.ts";

/** What each state of health looks like besides its colour. */
const SIGNS: Readonly<Record<string, string>> = { up: "●", suspect: "◐", down: "✕" };

export type MembersView = {
  readonly look: ConsoleLook;
  readonly colours: ReadonlyMap<string, Colour>;
  /** Places in preference lists, by member; empty until the ring is known. */
  readonly homes: ReadonlyMap<string, number>;
  readonly chosen: string | undefined;
};

/** @param choose Told of the member whose button is pressed. */
export function createMembersTable(body: Element, choose: (name: string) => void): (view: MembersView) => void {
  const rows = new Map<string, HTMLTableRowElement>();
  return ({ look, colours, homes, chosen }) => {
    const { members, hints, node } = look.cluster;
    const waiting = new Map(hints.waiting.map(({ target, count }) => [target, count]));
    const all = [...homes.values()].reduce((sum, count) => sum + count, 0);
    reconcile(
      body,
      rows,
      members.filter(({ state }) => state !== "left"),
      {
        keyOf: ({ name }) => name,
        make: (member) => rowOf(member.name, choose),
        update(row, member) {
          const [name, zone, health, phi, state, weight, count, latency, hinted] = row.cells;
          if (name === undefined || zone === undefined || health === undefined) return;
          const own = homes.get(member.name) ?? 0;
          const share = all === 0 ? "" : ` (${((own / all) * 100).toFixed(0)} %)`;
          row.dataset.health = member.health;
          const button = name.firstElementChild as HTMLButtonElement;
          setAttributes(button, { "aria-pressed": String(chosen === member.name) });
          paint(button, colours.get(member.name));
          setText(button, member.name);
          setText(zone, member.zone);
          setText(health, `${SIGNS[member.health] ?? ""} ${member.health}`);
          setTextOf(phi, member.name === node ? "this node" : (member.phi?.toFixed(1) ?? "–"));
          setTextOf(state, member.state);
          setTextOf(weight, String(member.weight));
          setTextOf(count, homes.size === 0 ? "–" : `${own}${share}`);
          setTextOf(latency, member.name === node ? "–" : msText(member.latencyMs));
          setTextOf(hinted, numberText(waiting.get(member.name) ?? 0));
        },
      },
    );
  };
}

function setTextOf(cell: Element | undefined, text: string): void {
  if (cell !== undefined) setText(cell, text);
}

function rowOf(name: string, choose: (name: string) => void): HTMLTableRowElement {
  const button = element("button", { type: "button", class: "member", title: "Show on the ring" });
  button.addEventListener("click", () => choose(name));
  const cell = (isNumber: boolean) => element("td", isNumber ? { class: "number" } : {});
  const cells = [false, false, true, false, true, true, true, true].map(cell);
  cells[1]?.classList.add("health");
  return element("tr", {}, element("th", { scope: "row" }, button), ...cells);
}

/** The zones, each with its members, its share of the homes and the share that weights ask for. */
export function createZones(list: Element): (view: MembersView) => void {
  const rows = new Map<string, HTMLLIElement>();
  return ({ look, colours, homes }) => {
    const members = look.cluster.members.filter(({ state }) => state !== "left");
    const zones = [...Map.groupBy(members, ({ zone }) => zone)].sort(([a], [b]) => (a < b ? -1 : 1));
    const all = {
      homes: sumOf(members, ({ name }) => homes.get(name) ?? 0),
      weight: sumOf(members, (one) => one.weight),
    };
    reconcile(list, rows, zones, {
      keyOf: ([zone]) => zone,
      make: ([zone]) =>
        element("li", {}, element("h3", {}, zone), element("p"), element("div", { class: "chips" }), element("p")),
      update(row, [, own]) {
        const [, summary, chips, shares] = row.children;
        const up = own.filter(({ health }) => health === "up").length;
        row.dataset.health = up === own.length ? "up" : "down";
        if (summary !== undefined)
          setText(summary, `${SIGNS[up === own.length ? "up" : "down"]} ${up} of ${own.length} up`);
        if (chips !== undefined) showChips(chips, own, colours);
        if (shares !== undefined) setText(shares, sharesText(own, homes, all));
      },
    });
  };
}

function showChips(parent: Element, members: readonly ConsoleMember[], colours: ReadonlyMap<string, Colour>): void {
  const wanted = members.map(({ name, health }) => `${SIGNS[health] ?? ""} ${name}`);
  if ([...parent.children].map(({ textContent }) => textContent).join() === wanted.join()) return;
  const chips = members.map(({ name, health }, index) => {
    const chip = element("span", { class: "chip", "data-health": health }, wanted[index] ?? name);
    paint(chip, colours.get(name));
    return chip;
  });
  parent.replaceChildren(...chips);
}

function sharesText(
  members: readonly ConsoleMember[],
  homes: ReadonlyMap<string, number>,
  all: { readonly homes: number; readonly weight: number },
): string {
  if (all.homes === 0 || all.weight === 0) return "";
  const share = (sumOf(members, ({ name }) => homes.get(name) ?? 0) / all.homes) * 100;
  const wanted = (sumOf(members, ({ weight }) => weight) / all.weight) * 100;
  return `${share.toFixed(0)} % of the homes, ${wanted.toFixed(0)} % of the weight`;
}

function sumOf<Item>(items: readonly Item[], figure: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + figure(item), 0);
}
