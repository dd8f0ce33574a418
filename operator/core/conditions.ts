/** Conditions by the API conventions: a reason is a constant, a message a sentence for people. */
import type { Condition } from "../api/parts.ts";
import { formatInstant } from "./instant.ts";

/** What a condition says, without when it began to. */
export type Verdict = { readonly status: Condition["status"]; readonly reason: string; readonly message: string };

/** What conditions are about: the object as it was read, and now. */
export type Occasion = {
  readonly before: readonly Condition[] | undefined;
  readonly generation: number;
  readonly nowMs: number;
};

/** Far below what a condition may hold: with it the whole status would be refused. */
const MESSAGE_MAX = 4_096;

/** The condition of a type; the time of its last transition stays while its status does. */
export function condition(
  { before, generation, nowMs }: Occasion,
  type: string,
  { status, reason, message: whole }: Verdict,
): Condition {
  const message = whole.length <= MESSAGE_MAX ? whole : `${whole.slice(0, MESSAGE_MAX - 1)}…`;
  const last = before?.find((other) => other.type === type);
  const lastTransitionTime = last?.status === status ? last.lastTransitionTime : formatInstant(nowMs);
  return { type, status, observedGeneration: generation, lastTransitionTime, reason, message };
}

/** A clause as a sentence of its own. */
export function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}
