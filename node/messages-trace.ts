/** The last field of a request of a sampled trace; see `TraceContext`. All others do without it. */
import type { Request, TraceContext } from "./messages.ts";

const TRACE_BYTES = 25;

/** Adds the last field of a request, which only one of a sampled trace has. */
export function withTrace(fields: unknown[], trace: TraceContext | undefined): unknown[] {
  if (trace !== undefined) fields.push(trace);
  return fields;
}

/**
 * The request with its place in a trace. Whoever does not trace sends no such field, and what else may stand there is a
 * later release's: nothing that a request could be refused for depends on a trace.
 */
export function traced<T extends Request>(request: T, field: unknown): T {
  return field instanceof Uint8Array && field.length === TRACE_BYTES ? { ...request, trace: field } : request;
}
