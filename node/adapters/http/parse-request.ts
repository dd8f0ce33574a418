/**
 * What a client of `/v1/kv/{key}` asks for, checked against every bound before a service hears of it.
 *
 * On the hot path: a request without a query costs one pass over its key and a few header look-ups. The tables here
 * are what the OpenAPI document is proven against.
 */
import type { IncomingMessage } from "node:http";
import { KvError } from "../../core/errors.ts";
import type { Mode } from "../../core/ring/document.ts";
import type { Base, RequestOptions } from "../../services/coordinator.ts";
import { parseKey } from "./parse-key.ts";
import { parseInteger, parseQuery, parseWord } from "./parse-query.ts";
import { invalid, quote } from "./problem.ts";

export const KV_PREFIX = "/v1/kv/";
export const KV_METHODS = ["GET", "HEAD", "PUT", "DELETE"] as const;
export type KvMethod = (typeof KV_METHODS)[number];

/** Which methods take which query parameter. */
export const KV_PARAMETERS: Readonly<Record<string, readonly KvMethod[]>> = {
  r: KV_METHODS,
  w: KV_METHODS,
  consistency: KV_METHODS,
  mode: KV_METHODS,
  zones: KV_METHODS,
  timeout: KV_METHODS,
  ttl: ["PUT"],
  blind: ["PUT"],
};

export const TIMEOUT_MS_MAX = 600_000;
/** A hundred years: far beyond any use, and its end is still a date. */
export const TTL_S_MAX = 3_155_760_000;
export const CONTENT_TYPE_BYTES_MAX = 255;
export const IDEMPOTENCY_KEY_BYTES_MAX = 64;
export const CONTENT_TYPE_DEFAULT = "application/octet-stream";

/** What the ring allows a request to ask for. */
export type RingBounds = {
  /** N: the most replies that can be asked for; 0 while there is no ring. */
  readonly replicationFactor: number;
  /** Distinct zones of the ring's members. */
  readonly zoneCount: number;
  /** The ring's epoch; 0 while there is none. Sent as `KV-Epoch`. */
  readonly epoch: number;
};

export type KvRequest =
  | { readonly method: "GET" | "HEAD"; readonly key: Uint8Array; readonly options: RequestOptions }
  | {
      readonly method: "PUT";
      readonly key: Uint8Array;
      readonly options: RequestOptions;
      readonly contentType: string;
      readonly base: Base;
      readonly ttlS: number | undefined;
      readonly idempotencyKey: Uint8Array | undefined;
      /** Nothing was sent under the `idempotencyKey` before. */
      readonly isFirstAttempt: boolean;
      readonly onlyIfAbsent: boolean;
    }
  | {
      readonly method: "DELETE";
      readonly key: Uint8Array;
      readonly options: RequestOptions;
      readonly context: string | undefined;
      readonly idempotencyKey: Uint8Array | undefined;
    };

/** What the query of one request said. */
type Choices = {
  readonly options: RequestOptions;
  readonly ttlS: number | undefined;
  readonly blind: "overwrite" | "sibling" | undefined;
};

/** Shared by every request that leaves all to the configuration, so that it costs nothing. */
const DEFAULTS: Choices = { options: Object.freeze({}), ttlS: undefined, blind: undefined };

/**
 * Reads path, query and headers of one request; never touches its body.
 *
 * @param bounds The ring's, asked for only when a parameter depends on them.
 * @throws {KvError} INVALID_REQUEST, NOT_FOUND (more than one segment), METHOD_NOT_ALLOWED, NOT_READY (no ring yet).
 */
export function parseKvRequest(request: IncomingMessage, bounds: () => RingBounds): KvRequest {
  const url = request.url ?? "";
  const question = url.indexOf("?", KV_PREFIX.length);
  const key = parseKey(url, KV_PREFIX.length, question < 0 ? url.length : question);
  const method = parseMethod(request.method);
  const { options, ttlS, blind } = question < 0 ? DEFAULTS : parseChoices(method, url.slice(question + 1), bounds);
  if (method === "GET" || method === "HEAD") {
    if (request.headers["if-none-match"] !== undefined) throw badCondition("If-None-Match", "goes with PUT only");
    return { method, key, options };
  }
  const { headers } = request;
  if (headers["if-match"] !== undefined) throw badCondition("If-Match", KV_CONTEXT_INSTEAD);
  if (headers["if-unmodified-since"] !== undefined) throw badCondition("If-Unmodified-Since", KV_CONTEXT_INSTEAD);
  const context = singleHeader(request, "kv-context");
  const idempotencyKey = parseIdempotencyKey(singleHeader(request, "idempotency-key"));
  if (method === "DELETE") {
    if (headers["if-none-match"] !== undefined) throw badCondition("If-None-Match", "goes with PUT only");
    return { method, key, options, context, idempotencyKey };
  }
  if (context !== undefined && blind !== undefined) {
    throw invalid('Cannot use the parameter "blind": a write that sends KV-Context is not blind; send one of the two.');
  }
  if (headers["content-range"] !== undefined) {
    throw invalid("Cannot write a part of a value: expected no Content-Range, found one.");
  }
  refuseCodings(headers);
  return {
    method,
    key,
    options,
    contentType: parseContentType(headers["content-type"]),
    base: context === undefined ? (blind ?? "overwrite") : { context },
    ttlS,
    idempotencyKey,
    isFirstAttempt: parseAttempt(singleHeader(request, "kv-attempt")) === 1,
    onlyIfAbsent: parseOnlyIfAbsent(headers["if-none-match"]),
  };
}

function parseMethod(method: string | undefined): KvMethod {
  switch (method) {
    case "GET":
    case "HEAD":
    case "PUT":
    case "DELETE":
      return method;
    default:
      throw new KvError(
        "METHOD_NOT_ALLOWED",
        `Cannot ${quote(method ?? "")} a key: expected ${KV_METHODS.join(", ")}; the Allow header lists them.`,
      );
  }
}

function parseChoices(method: KvMethod, query: string, bounds: () => RingBounds): Choices {
  const values = parseQuery(query, (name) => Object.hasOwn(KV_PARAMETERS, name) && takes(method, name));
  if (values.size === 0) return DEFAULTS;
  const ttl = values.get("ttl");
  const blind = values.get("blind");
  return {
    options: parseOptions(method, values, bounds),
    ttlS: ttl === undefined ? undefined : parseInteger("ttl", ttl, { min: 1, max: TTL_S_MAX }),
    blind: blind === undefined ? undefined : parseWord("blind", blind, ["overwrite", "sibling"] as const),
  };
}

function takes(method: KvMethod, name: string): boolean {
  return KV_PARAMETERS[name]?.includes(method) === true;
}

function parseOptions(method: KvMethod, values: ReadonlyMap<string, string>, bounds: () => RingBounds): RequestOptions {
  const quorum = parseQuorum(method, values, bounds);
  const mode = values.get("mode");
  const zones = values.get("zones");
  const timeout = values.get("timeout");
  return {
    readQuorum: quorum.read,
    writeQuorum: quorum.write,
    mode: mode === undefined ? undefined : parseWord<Mode>("mode", mode, ["strict", "sloppy"]),
    zones: zones === undefined ? undefined : parseInteger("zones", zones, { min: 1, max: boundsOf(bounds).zoneCount }),
    timeoutMs: timeout === undefined ? undefined : parseInteger("timeout", timeout, { min: 1, max: TIMEOUT_MS_MAX }),
  };
}

/** R and W as asked for. A read is given no W by `consistency`: that word speaks of what the call itself does. */
function parseQuorum(
  method: KvMethod,
  values: ReadonlyMap<string, string>,
  bounds: () => RingBounds,
): { readonly read: number | undefined; readonly write: number | undefined } {
  const r = values.get("r");
  const w = values.get("w");
  const consistency = values.get("consistency");
  if (consistency === undefined) {
    return {
      read: r === undefined ? undefined : parseInteger("r", r, { min: 1, max: boundsOf(bounds).replicationFactor }),
      write: w === undefined ? undefined : parseInteger("w", w, { min: 1, max: boundsOf(bounds).replicationFactor }),
    };
  }
  const level = parseWord("consistency", consistency, ["one", "quorum", "all"]);
  if (r !== undefined || w !== undefined) {
    throw invalid('Cannot use the parameter "consistency" together with "r" or "w": send one or the other.');
  }
  const { replicationFactor } = boundsOf(bounds);
  const count = level === "one" ? 1 : level === "all" ? replicationFactor : Math.floor(replicationFactor / 2) + 1;
  return { read: count, write: method === "GET" || method === "HEAD" ? undefined : count };
}

function boundsOf(bounds: () => RingBounds): RingBounds {
  const found = bounds();
  if (found.replicationFactor > 0) return found;
  throw new KvError("NOT_READY", "Cannot serve yet: this node has no ring; try another node or wait.");
}

/**
 * A header that must not be repeated. Node joins repetitions with a comma, so only a value with one is looked at again.
 */
function singleHeader(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  if (typeof value !== "string") return undefined;
  if (value.includes(",") && (request.headersDistinct[name]?.length ?? 0) > 1) {
    throw invalid(`Cannot use the header ${name}: expected it once, found it repeated.`);
  }
  return value;
}

/** Which attempt this is of all those under its `Idempotency-Key`; undefined where that is not said. */
function parseAttempt(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw invalid(`Cannot use the header KV-Attempt: expected a whole number from 1, found ${JSON.stringify(text)}.`);
}

function parseIdempotencyKey(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  if (text.length >= 1 && text.length <= IDEMPOTENCY_KEY_BYTES_MAX) return Buffer.from(text, "latin1");
  throw invalid(
    `Cannot use the header Idempotency-Key: expected 1 to ${IDEMPOTENCY_KEY_BYTES_MAX} bytes, found ${text.length}.`,
  );
}

const PRINTABLE = /^[\t\x20-\x7e]+$/;

/** Whether a content type can be sent as a header and stored; also asked of what peers stored. */
export function isContentType(text: string): boolean {
  return text.length <= CONTENT_TYPE_BYTES_MAX && PRINTABLE.test(text);
}

function parseContentType(text: string | undefined): string {
  if (text === undefined || text === "") return CONTENT_TYPE_DEFAULT;
  if (isContentType(text)) return text;
  const expected = `at most ${CONTENT_TYPE_BYTES_MAX} printable ASCII characters`;
  throw invalid(`Cannot store the Content-Type: expected ${expected}, found ${quote(text)}.`);
}

/** The coding would not be given back with the value, and whoever reads it would take what is compressed for the value. */
function refuseCodings(headers: IncomingMessage["headers"]): void {
  const { "content-encoding": coding, "transfer-encoding": transfer } = headers;
  if (coding !== undefined && !/^(identity)?$/i.test(coding)) {
    throw invalid(
      `Cannot store a Content-Encoding: expected none, found ${quote(coding)}; say it in the Content-Type, or send the value as it is.`,
    );
  }
  if (transfer !== undefined && !/^chunked$/i.test(transfer)) {
    throw invalid(`Cannot undo the Transfer-Encoding: expected chunked or none, found ${quote(transfer)}.`);
  }
}

function parseOnlyIfAbsent(text: string | undefined): boolean {
  if (text === undefined) return false;
  if (text === "*") return true;
  throw badCondition("If-None-Match", `expected *, found ${quote(text)}; values have no entity tags`);
}

const KV_CONTEXT_INSTEAD = "is not known here; send KV-Context instead";

/** A condition that is silently ignored would be a lost update. */
function badCondition(header: string, why: string): KvError {
  return invalid(`Cannot use the header ${header}: ${why}.`);
}

/**
 * Whether an `Accept` header lets `application/json` through (RFC 9110 §12.5.1): the most specific range decides.
 * Asked only when a read finds siblings.
 */
export function acceptsJson(accept: string | undefined): boolean {
  if (accept === undefined || accept.trim() === "") return true;
  let best = -1;
  let accepted = false;
  for (const part of accept.toLowerCase().split(",")) {
    const [range = "", ...parameters] = part.split(";").map((piece) => piece.trim());
    const specificity = range === "application/json" ? 2 : range === "application/*" ? 1 : range === "*/*" ? 0 : -1;
    if (specificity < 0 || specificity < best) continue;
    const quality = parameters.find((parameter) => parameter.startsWith("q="));
    const allowed = quality === undefined || Number.parseFloat(quality.slice(2)) > 0;
    accepted = specificity === best ? accepted || allowed : allowed;
    best = specificity;
  }
  return accepted;
}
