/** A change of the ring as it moves: its steps, how much has moved, whom it waits for. Stays until the next one begins. */
import type { ConsoleLook } from "../core/watch/console-look.ts";
import { byId, element, reconcile, setAttributes, setText } from "./dom.ts";
import { bytesText, durationText } from "./words.ts";

type Moved = {
  readonly movedBytes: number;
  readonly totalBytes: number;
  readonly movedPartitions: number;
  readonly totalPartitions: number;
};

/** `GET /v1/cluster/changes/{id}`, as far as it is shown. */
type ChangeAnswer = Moved & {
  readonly id: string;
  readonly state: string;
  readonly kind?: string;
  readonly startedAt?: string;
  readonly waitsFor?: string;
  readonly members: readonly (Moved & { readonly name: string; readonly complete: boolean })[];
};

const STEPS = ["prepare", "switch", "cleaning", "done"];
const STEP_WORDS: Readonly<Record<string, string>> = {
  prepare: "Prepare: new homes copy",
  switch: "Switch: reads move over",
  cleaning: "Clean: old homes drop",
  done: "Done",
};

/**
 * Follows the change that looks name.
 *
 * @param askChange Asks the node for a change by its id.
 */
export function createChangePanel(
  askChange: (id: string) => Promise<ChangeAnswer>,
): (look: ConsoleLook) => Promise<void> {
  const card = byId("change", HTMLElement);
  const show = createChangeView();
  let id: string | undefined;
  let isAsking = false;
  let hasEnded = false;
  return async (look) => {
    const now = look.cluster.transition?.id;
    if (now !== undefined && now !== id) {
      id = now;
      hasEnded = false;
    }
    if (id === undefined || hasEnded || isAsking) return;
    isAsking = true;
    try {
      const answer = await askChange(id);
      card.hidden = false;
      show(answer, look.at);
      hasEnded = answer.state === "done" || answer.state === "cancelled";
    } finally {
      isAsking = false;
    }
  };
}

function createChangeView(): (change: ChangeAnswer, at: string) => void {
  const title = byId("change-title", HTMLElement);
  const progress = byId("change-progress", HTMLProgressElement);
  const steps = byId("change-steps", HTMLElement);
  const rows = new Map<string, HTMLLIElement>();
  const lines = new Map<string, HTMLLIElement>();
  return (change, at) => {
    const { kind = change.id, state, startedAt } = change;
    const since = startedAt === undefined ? "" : `, begun ${durationText(Date.parse(at) - Date.parse(startedAt))} ago`;
    setText(title, state === "cancelled" ? `Change cancelled: ${kind}` : `Change: ${kind}`);
    setText(byId("change-figures", HTMLElement), `${movedText(change)}${since}`);
    setText(byId("change-waits", HTMLElement), change.waitsFor === undefined ? "" : `Waits for ${change.waitsFor}.`);
    setAttributes(progress, { max: Math.max(1, change.totalPartitions), value: change.movedPartitions });
    byId("change", HTMLElement).dataset.state = state;
    reconcile(steps, rows, STEPS, {
      keyOf: (step) => step,
      make: (step) => element("li", {}, STEP_WORDS[step] ?? step),
      update(row, step) {
        const place = STEPS.indexOf(step) - STEPS.indexOf(state);
        row.dataset.state = place < 0 || state === "done" ? "past" : place === 0 ? "now" : "next";
        setAttributes(row, { "aria-current": place === 0 ? "step" : undefined });
      },
    });
    reconcile(
      byId("change-members", HTMLElement),
      lines,
      change.members.filter(({ totalPartitions }) => totalPartitions > 0),
      {
        keyOf: ({ name }) => name,
        make: () => element("li"),
        update: (row, member) => setText(row, `${member.name} got ${movedText(member)}`),
      },
    );
  };
}

function movedText({ movedPartitions, totalPartitions, movedBytes, totalBytes }: Moved): string {
  return `${movedPartitions} of ${totalPartitions} partitions, ${bytesText(movedBytes)} of ${bytesText(totalBytes)}`;
}
