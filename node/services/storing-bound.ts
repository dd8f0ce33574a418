/**
 * Keeps places for reads: of what one peer has in service, requests that wait for this node's disk to write take only so many.
 *
 * A disk that hangs, rather than failing, answers none of them, for as long as it hangs. A link reads no further once it has
 * as many requests in service as it takes (adapters/tcp/limits.ts); were all of them writes, nothing would be served that the
 * peer asks, not even what memory could answer, while this node goes on saying that it lives.
 */
import { KvError } from "../core/errors.ts";
import type { MemberId } from "../core/ring/document.ts";
import type { Reply, Request } from "../messages.ts";
import type { PeerIdentity, RequestHandler, Telemetry } from "../ports.ts";

/** Requests of one peer that wait for the disk: three quarters of what a link takes into service. */
export const STORING_MAX = 768;

/** Leaves are listed once everything that was on its way to the disk has ended. */
const STORING: ReadonlySet<Request["kind"]> = new Set(["stamp", "merge", "leaves", "promise", "accept"]);

/** @param serve Answers requests; those beyond the bound it does not see: they are refused with nothing done. */
export function boundStoring(serve: RequestHandler, telemetry: Telemetry): RequestHandler {
  const storing = new Map<MemberId, number>();

  async function store(from: PeerIdentity, request: Request, budgetMs: number): Promise<Reply> {
    const before = storing.get(from.name) ?? 0;
    if (before >= STORING_MAX) {
      telemetry.count("annulus.transport.writes_refused");
      throw tooMany(from.name);
    }
    storing.set(from.name, before + 1);
    try {
      return await serve(from, request, budgetMs);
    } finally {
      const left = (storing.get(from.name) ?? 0) - 1;
      if (left > 0) storing.set(from.name, left);
      else storing.delete(from.name);
    }
  }

  return (from, request, budgetMs) =>
    STORING.has(request.kind) ? store(from, request, budgetMs) : serve(from, request, budgetMs);
}

function tooMany(peer: MemberId): KvError {
  return new KvError(
    "OVERLOADED",
    `Cannot store for ${peer}: expected at most ${STORING_MAX} of its requests to wait for the disk.`,
    { details: { retryAfterS: 1 } },
  );
}
