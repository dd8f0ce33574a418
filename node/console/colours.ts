/**
 * Each zone has a hue, each of its members a shade of it. Pure.
 *
 * Lightness and strength come from the theme (console.css); colour only helps: every member and zone is named as well.
 */

export type Colour = {
  /** Degrees, as in OKLCH. */
  readonly hue: number;
  /** Added to the theme's lightness, −0.12 .. 0.12. */
  readonly shade: number;
};

/** Far apart also for people who see fewer colours: blue, orange, teal, purple, then what is left between them. */
const HUES = [255, 60, 175, 320, 110, 25, 210, 290];
const SHADE_MAX = 0.12;

/** A colour for every member, the same on every page that shows the same members. */
export function coloursOf(
  members: readonly { readonly name: string; readonly zone: string }[],
): ReadonlyMap<string, Colour> {
  const zones = [...new Set(members.map(({ zone }) => zone))].sort();
  return new Map(
    zones.flatMap((zone, index) => {
      const names = members.filter((member) => member.zone === zone).map(({ name }) => name);
      return names.sort().map((name, at): [string, Colour] => {
        const shade = names.length === 1 ? 0 : ((at / (names.length - 1)) * 2 - 1) * SHADE_MAX;
        return [name, { hue: HUES[index % HUES.length] ?? 0, shade }];
      });
    }),
  );
}

/** Gives an element its colour; what it colours is the style sheet's to say. */
export function paint(target: SVGElement | HTMLElement, colour: Colour | undefined): void {
  target.style.setProperty("--hue", String(colour?.hue ?? 0));
  target.style.setProperty("--shade", String(colour?.shade ?? 0));
}
