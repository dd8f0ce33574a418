/** Changes as the node's service knows them, made into what the admin port shows: documents become figures and words. */
import type { ChangeRequest } from "../../core/ring/change.ts";
import { type MemberMoves, reportChange } from "../../core/ring/change-report.ts";
import type { MemberId, RingDocument } from "../../core/ring/document.ts";
import { reportPlan } from "../../core/ring/plan-report.ts";
import type { Changes, ChangeView, TransitionView } from "./admin-api.ts";

/** What a node's service of changes gives. */
export type ChangeService = {
  begin(
    request: ChangeRequest,
    options: { readonly dryRun: boolean },
  ): Promise<{
    readonly before: RingDocument;
    /** The document that begins the change. */
    readonly after: RingDocument;
    readonly partitionSizesBytes: readonly number[];
  }>;
  cancel(id: string): Promise<void>;
  state(id: string): Promise<{
    readonly id: string;
    readonly state: ChangeView["state"];
    readonly document: RingDocument;
    readonly members: ReadonlyMap<MemberId, MemberMoves>;
    readonly waitsFor: string | undefined;
  }>;
};

/** The admin port's changes over the node's. */
export function createChangesView(service: ChangeService): Changes {
  return {
    async begin(request, options) {
      const { before, after, partitionSizesBytes } = await service.begin(request, options);
      const id = options.dryRun ? undefined : after.transition?.id;
      return { id, plan: reportPlan(before, after, partitionSizesBytes) };
    },
    cancel: (id) => service.cancel(id),
    async progress(id) {
      const { state, document, members, waitsFor } = await service.state(id);
      return { id, state, waitsFor, ...reportChange(document, id, members) };
    },
  };
}

/** The change under way as `GET /v1/cluster` shows it; null when it has ended meanwhile. */
export async function viewTransition(service: ChangeService, id: string): Promise<TransitionView | null> {
  const { state: phase, document, members } = await service.state(id);
  if (phase !== "prepare" && phase !== "switch") return null;
  const {
    kind = "",
    startedAtMs = 0,
    movedBytes,
    totalBytes,
    movedPartitions,
    totalPartitions,
  } = reportChange(document, id, members);
  return { id, phase, kind, startedAtMs, movedBytes, totalBytes, movedPartitions, totalPartitions };
}
