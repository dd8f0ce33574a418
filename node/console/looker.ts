/**
 * The key looker: where a key lives, what each of its homes holds, its values side by side, and one in place of several.
 *
 * Its place is for whoever may see the cluster; its values take a right on the key, which another token may carry.
 */
import { isNoAnswer, RefusedError, setToken, token } from "./connection.ts";
import { byId, element, setText } from "./dom.ts";
import {
  type HomeVersion,
  type KeyAnswer,
  type KeyPlace,
  locate,
  readKey,
  readVersions,
  settleKey,
  ttlOf,
  type Versions,
} from "./key-data.ts";
import { createKeyValues, type Decision } from "./key-values.ts";
import { countText } from "./words.ts";

/** What is shown at the moment. */
type Shown = { readonly key: string; readonly answer: KeyAnswer; readonly versions: Versions };

const SETTLED: Readonly<Record<Decision["kind"], string>> = {
  keep: "The value that you kept is written in place of all that was shown.",
  write: "Your text is written in place of all that was shown.",
  delete: "The key is deleted, with all that was shown.",
};

/**
 * Makes the forms work.
 *
 * @param healthOf What the node thinks of a member.
 * @param onFound Told of the key's partition.
 */
export function createLooker(healthOf: (name: string) => string, onFound: (partition: number) => void): void {
  const place = byId("key-place", HTMLElement);
  const told = byId("key-told", HTMLElement);
  const tokenForm = byId("key-token-form", HTMLFormElement);
  let shown: Shown | undefined;
  /** Answers of earlier questions are dropped. */
  let asked = 0;
  let isSettling = false;
  const showValues = createKeyValues((decision) => void settle(decision));

  /** @param typed A text that goes on being edited. @returns Whether it was shown. */
  async function find(key: string, typed?: string): Promise<boolean> {
    const question = ++asked;
    clear();
    try {
      const found = await locate(key);
      if (question !== asked) return false;
      setText(place, `${key} is in partition ${found.partition} (hash ${found.token}). Its homes, in order:`);
      showHomes(found, undefined, healthOf);
      onFound(found.partition);
      const [versions, answer] = await Promise.all([
        readVersions(key).then((told) => {
          // Also where no quorum gives a value: it is then that one wants to see who holds what.
          if (question === asked) showHomes(found, told.homes, healthOf);
          return told;
        }),
        readKey(key),
      ]);
      if (question !== asked) return false;
      shown = { key, answer, versions };
      showValues(answer.values, typed);
      setText(byId("key-state", HTMLElement), `${stateText(answer)} ${agreementText(versions.homes)}`);
      return true;
    } catch (error) {
      if (question === asked) refuse(error);
      return false;
    }
  }

  async function settle(decision: Decision): Promise<void> {
    const context = shown?.answer.context;
    if (shown === undefined || context === undefined || isSettling) return;
    const { key, versions } = shown;
    const value = writtenBy(decision, versions);
    if (value === "unknown") {
      setText(told, "How long this value is to live no home says at present, so that it is not written. Look again.");
      return;
    }
    const question = asked;
    isSettling = true;
    try {
      await settleKey(key, context, value);
    } catch (error) {
      if (question === asked) refuse(error);
      else setText(told, `${key} was not settled: ${error instanceof RefusedError ? error.message : "no answer"}`);
      return;
    } finally {
      isSettling = false;
    }
    if (question === asked && !(await find(key))) return;
    setText(told, `${key}: ${SETTLED[decision.kind]}`);
    told.focus();
  }

  function clear(): void {
    shown = undefined;
    for (const id of ["key-place", "key-state", "key-told"]) setText(byId(id, HTMLElement), "");
    byId("key-homes", HTMLElement).replaceChildren();
    byId("key-table", HTMLElement).hidden = true;
    showValues([]);
    tokenForm.hidden = true;
  }

  function refuse(error: unknown): void {
    if (!isNoAnswer(error)) throw error;
    setText(told, error instanceof RefusedError ? error.message : "The node does not answer. Look again.");
    tokenForm.hidden = !(error instanceof RefusedError && (error.status === 401 || error.status === 403));
  }

  byId("key-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void find(byId("key", HTMLInputElement).value);
  });
  tokenForm.addEventListener("submit", (event) => {
    event.preventDefault();
    const field = byId("key-token", HTMLInputElement);
    setToken(field.value.trim(), "keys");
    field.value = "";
    byId("token-forget", HTMLElement).hidden = token() === undefined && token("keys") === undefined;
    const typed = byId("settle-form", HTMLFormElement).hidden
      ? undefined
      : byId("settle-text", HTMLTextAreaElement).value;
    if (shown === undefined) void find(byId("key", HTMLInputElement).value);
    else void find(shown.key, typed);
  });
}

/** What a decision writes; undefined: a deletion; "unknown": the life of what is kept cannot be told. */
function writtenBy(decision: Decision, versions: Versions): Parameters<typeof settleKey>[2] | "unknown" {
  switch (decision.kind) {
    case "keep": {
      const { bytes, contentType } = decision.value;
      const life = ttlOf(decision.value, versions);
      if (life === "unknown") return life;
      return { bytes, contentType, ttlS: life === "for ever" ? undefined : life };
    }
    case "write":
      return { bytes: new TextEncoder().encode(decision.text), contentType: decision.contentType, ttlS: undefined };
    case "delete":
      return undefined;
  }
}

function showHomes(
  { homes }: KeyPlace,
  versions: readonly HomeVersion[] | undefined,
  healthOf: (name: string) => string,
): void {
  const rows = homes.map(({ name, zone, address }) => {
    const version = versions?.find((one) => one.name === name);
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("strong", {}, name)),
      element("td", {}, zone),
      element("td", {}, address),
      element("td", {}, healthOf(name)),
      element("td", {}, version === undefined ? "" : heldText(version)),
    );
  });
  byId("key-homes", HTMLElement).replaceChildren(...rows);
  byId("key-table", HTMLElement).hidden = false;
}

function heldText({ state, version, siblings = [], error }: HomeVersion): string {
  if (state === "absent") return "nothing";
  if (state === "unknown") return error?.detail ?? "no answer";
  const deletions = siblings.filter(({ deleted }) => deleted).length;
  const values = siblings.length - deletions;
  const held = [values > 0 ? countText(values, "value") : "", deletions > 0 ? countText(deletions, "deletion") : ""];
  return `${held.filter((part) => part !== "").join(" and ")}, version ${version ?? ""}`;
}

function stateText({ context, values }: KeyAnswer): string {
  if (context === undefined) return "It was never written, or its deletion is forgotten.";
  if (values.length === 0) return "It is deleted.";
  return values.length === 1
    ? "It has one value."
    : `It has ${values.length} concurrent values: one write settles them.`;
}

function agreementText(homes: readonly HomeVersion[]): string {
  const heard = homes.filter(({ state }) => state !== "unknown");
  if (heard.length === 0) return "None of its homes says what it holds.";
  if (new Set(heard.map(({ version = "" }) => version)).size > 1)
    return "Its homes differ; repair makes them equal by itself.";
  return heard.length === homes.length ? "All homes hold the same." : "The homes that answered hold the same.";
}
