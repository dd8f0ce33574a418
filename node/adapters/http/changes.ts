/**
 * Changes of the ring on the admin port: asking for one, looking at how far it is, taking it back.
 *
 * The body is read strictly: a field that is not known is refused, for a misspelt `forse` that is ignored would be
 * found in production. What the fields may hold beyond their types is the ring document's affair.
 */
import type { Request, Response } from "express";
import { z } from "zod";
import type { ChangeRequest } from "../../core/ring/change.ts";
import type { Moved } from "../../core/ring/change-report.ts";
import type { Changes, ChangeView, TransitionView } from "./admin-api.ts";
import { type Route, sendJson } from "./express-parts.ts";
import { parseQuery, queryOf } from "./parse-query.ts";
import { invalid, quote } from "./problem.ts";
import { readJson } from "./read-json.ts";
import { formatInstant } from "./respond.ts";

/** Query parameters of asking for a change, for the OpenAPI check. */
export const CHANGE_PARAMETERS: readonly string[] = ["dryRun"];

/** Room for some thousand members. */
export const CHANGE_BYTES_MAX = 262_144;

const name = z.string().min(1).max(63);
const whole = z.int().min(0);
const ZONE_DEFAULT = "default";
const WEIGHT_DEFAULT = 100;

/** The body of `POST /v1/cluster/changes`. */
export const ChangeBody = z.strictObject({
  join: z
    .array(
      z.strictObject({
        name,
        address: z.string().min(1).max(300),
        zone: name.default(ZONE_DEFAULT),
        weight: whole.default(WEIGHT_DEFAULT),
      }),
    )
    .default([]),
  leave: z.array(name).default([]),
  replace: z.array(name).default([]),
  weights: z.record(name, whole).default({}),
  zones: z.record(name, name).default({}),
  quorum: z
    .strictObject({ r: whole.optional(), w: whole.optional(), mode: z.enum(["strict", "sloppy"]).optional() })
    .default({}),
  force: z.boolean().default(false),
});

/** The routes of `/v1/cluster/changes`. */
export function changeRoutes(changes: Changes): readonly Route[] {
  const template = "/v1/cluster/changes/{id}";
  const path = "/v1/cluster/changes/:id";
  return [
    {
      template: "/v1/cluster/changes",
      method: "POST",
      need: "admin",
      answer: (request, response) => begin(changes, request, response),
    },
    {
      template,
      path,
      need: "monitor",
      answer: async (request, response) => sendJson(response, changeJson(await changes.progress(idOf(request)))),
    },
    {
      template,
      path,
      method: "DELETE",
      need: "admin",
      answer: async (request, response) => {
        await changes.cancel(idOf(request));
        response.statusCode = 204;
        response.end();
      },
    },
  ];
}

async function begin(changes: Changes, request: Request, response: Response): Promise<void> {
  const dryRun = isDryRun(request);
  const body = await readJson(request, response, { of: "the change", shape: ChangeBody, bytesMax: CHANGE_BYTES_MAX });
  if (body === undefined) return;
  const { id, plan } = await changes.begin(changeOf(body), { dryRun });
  if (id !== undefined) {
    response.statusCode = 202;
    response.setHeader("Location", `/v1/cluster/changes/${id}`);
  }
  sendJson(response, { id, ...plan });
}

/** The change that a body asks for. */
export function changeOf(body: z.output<typeof ChangeBody>): ChangeRequest {
  const { r: readQuorum, w: writeQuorum, mode } = body.quorum;
  return { ...body, quorum: { readQuorum, writeQuorum, mode } };
}

function isDryRun(request: Request): boolean {
  const value =
    parseQuery(queryOf(request), (parameter) => CHANGE_PARAMETERS.includes(parameter)).get("dryRun") ?? "false";
  if (value === "true" || value === "false") return value === "true";
  throw invalid(`Cannot use the parameter "dryRun": expected true or false, found ${quote(value)}.`);
}

function idOf(request: Request): string {
  return String(request.params.id);
}

/** The change under way, as `GET /v1/cluster` shows it. */
export function transitionJson({ id, phase, kind, startedAtMs, ...moved }: TransitionView) {
  return { id, phase, kind, startedAt: formatInstant(startedAtMs), ...movedOf(moved) };
}

function changeJson(change: ChangeView): object {
  const { id, state, kind, startedAtMs, epoch, waitsFor, members } = change;
  // What is undefined is left out by JSON.stringify.
  return {
    id,
    state,
    kind,
    startedAt: startedAtMs === undefined ? undefined : formatInstant(startedAtMs),
    epoch,
    ...movedOf(change),
    waitsFor,
    members: members.map((member) => {
      return { name: member.name, epoch: member.epoch, complete: member.complete, ...movedOf(member) };
    }),
  };
}

function movedOf({ movedBytes, totalBytes, movedPartitions, totalPartitions }: Moved): Moved {
  return { movedBytes, totalBytes, movedPartitions, totalPartitions };
}
