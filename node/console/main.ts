/**
 * The console: one page that shows what one node knows of its cluster, live.
 *
 *   node ── /v1/events, once a second ──> look ──> verdict, tiles, members, zones, change
 *        ── /v1/ring, when the epoch or the phase has moved on ──> ring
 *
 * No library and no build but the compiler; everything is shown as text, never as markup.
 */
import type { ConsoleLook } from "../core/watch/console-look.ts";
import { createChangePanel } from "./change.ts";
import { coloursOf } from "./colours.ts";
import { askJson, type ConnectionState, forgetTokens, isNoAnswer, setToken, token, watchNode } from "./connection.ts";
import { byId, setAttributes, setText } from "./dom.ts";
import { createLooker } from "./looker.ts";
import { createMembersTable, createZones } from "./members.ts";
import { homeCounts, partitionText, type RingAnswer } from "./ring-answer.ts";
import { createRingPicture } from "./ring-picture.ts";
import { createTiles } from "./tiles.ts";
import { createVerdict } from "./verdict.ts";

const STATES: Readonly<Record<ConnectionState, string>> = {
  connecting: "Connecting",
  live: "● Live",
  lost: "✕ Not live",
  refused: "✕ Needs a token",
};
const THEME = "annulus-theme";

let look: ConsoleLook | undefined;
let ring: RingAnswer | undefined;
let ringKey = "";
let isRingAsked = false;
let chosen: string | undefined;
let partition = 0;

const showVerdict = createVerdict();
const showTiles = createTiles(byId("tiles", HTMLElement));
const showChange = createChangePanel((id) => askJson(`v1/cluster/changes/${id}`));
const showZones = createZones(byId("zones", HTMLElement));
const showMembers = createMembersTable(byId("members", HTMLElement), (name) => {
  chosen = chosen === name ? undefined : name;
  render();
});
const slider = byId("partition", HTMLInputElement);
const picture = createRingPicture(byId("ring-picture", HTMLElement), (pointed) => {
  partition = pointed;
  slider.value = String(pointed);
  render();
});
slider.addEventListener("input", () => {
  partition = Number(slider.value);
  render();
});

createLooker(
  (name) => look?.cluster.members.find((member) => member.name === name)?.health ?? "not known",
  (found) => {
    partition = found;
    slider.value = String(found);
    render();
  },
);

function render(): void {
  if (look === undefined) return;
  const colours = coloursOf(look.cluster.members);
  const homes = ring === undefined ? new Map<string, number>() : homeCounts(ring.preferenceLists);
  const view = { look, colours, homes, chosen };
  showMembers(view);
  showZones(view);
  if (ring === undefined) return;
  picture.mark(new Map(look.cluster.members.map(({ name, health }) => [name, health])), { member: chosen, partition });
  setText(byId("partition-homes", HTMLElement), partitionText(ring, partition));
}

async function readRing(now: ConsoleLook): Promise<void> {
  const { ringEpoch, transition } = now.cluster;
  const key = `${ringEpoch} ${transition?.id ?? ""} ${transition?.phase ?? ""}`;
  if (key === ringKey || isRingAsked || ringEpoch === 0) return;
  isRingAsked = true;
  try {
    ring = await askJson<RingAnswer>("v1/ring");
    ringKey = key;
    partition = Math.min(partition, ring.partitions - 1);
    setAttributes(slider, { max: ring.partitions - 1 });
    picture.show(ring, coloursOf(now.cluster.members));
    const names = ["first", "second", "third", "fourth", "fifth"].slice(0, ring.n).join(", ");
    setText(
      byId("ring-legend", HTMLElement),
      `From the outside in: each partition's ${names} home. Hatched: its home is down; dotted: suspect. The outermost marks: partitions that move.`,
    );
    render();
  } finally {
    isRingAsked = false;
  }
}

/** What a request for more than the stream gives may end with is told by the stream as well. */
async function orElseStream(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNoAnswer(error)) throw error;
  }
}

function showLook(now: ConsoleLook): void {
  look = now;
  const { id, node, ringEpoch } = now.cluster;
  document.title = `${now.findings.some(({ severity }) => severity !== "note") ? "▲ " : ""}${id} – Annulus console`;
  setText(byId("cluster-name", HTMLElement), id);
  setText(byId("told-by", HTMLElement), `as ${node} sees it, ring epoch ${ringEpoch}`);
  showVerdict(now);
  showTiles(now);
  render();
  void orElseStream(readRing(now));
  void orElseStream(showChange(now));
}

function showState(state: ConnectionState, why: string): void {
  const badge = byId("connection", HTMLElement);
  badge.dataset.state = state;
  setText(badge, why === "" ? STATES[state] : `${STATES[state]}: ${why}`);
  document.body.classList.toggle("stale", state !== "live");
  byId("token-form", HTMLFormElement).hidden = state !== "refused";
  byId("token-forget", HTMLElement).hidden = token() === undefined && token("keys") === undefined;
  if (state === "refused") {
    setText(byId("token-why", HTMLElement), why);
    byId("token", HTMLInputElement).focus();
  }
}

const watchAnew = watchNode({ look: showLook, state: showState });

byId("token-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("token", HTMLInputElement);
  setToken(field.value.trim());
  field.value = "";
  watchAnew();
});
byId("token-forget", HTMLElement).addEventListener("click", () => {
  forgetTokens();
  location.reload();
});

const theme = byId("theme", HTMLSelectElement);
function showTheme(): void {
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem(THEME, theme.value);
}
theme.value = localStorage.getItem(THEME) ?? "auto";
theme.addEventListener("change", showTheme);
showTheme();
