/**
 * The node, as the page speaks with it: requests with the token, and the stream of looks, taken up again when it breaks.
 *
 * The token lives in this tab's session storage and nowhere else; no cookie carries it, so that no other site can make the
 * browser use it.
 */
import type { ConsoleLook } from "../core/watch/console-look.ts";
import { createEventParser } from "./sse.ts";

export type ConnectionState = "connecting" | "live" | "lost" | "refused";

export type Heard = {
  readonly look: (look: ConsoleLook) => void;
  /** @param why Of what is lost or refused, in words. */
  readonly state: (state: ConnectionState, why: string) => void;
};

/** What a token is for: the cluster, or the values of keys, where that takes another one. */
export type TokenUse = "cluster" | "keys";

const TOKENS: Readonly<Record<TokenUse, string>> = { cluster: "annulus-token", keys: "annulus-key-token" };
/** The pause before the stream is asked for again, in ms. */
const AGAIN_MS = 1_000;
/** A node that says nothing for so many intervals is taken for lost: a cut link ends no stream. */
const SILENT_INTERVALS = 5;
/** How long anything but the stream may take: longer than a node gives its replicas. */
const ANSWER_MS = 15_000;
const FIRST_LOOK_MS = 10_000;

/** The token of this tab; undefined: none was given. */
export function token(use: TokenUse = "cluster"): string | undefined {
  return sessionStorage.getItem(TOKENS[use]) ?? undefined;
}

/** Keeps a token for this tab. */
export function setToken(text: string, use: TokenUse = "cluster"): void {
  sessionStorage.setItem(TOKENS[use], text);
}

/** Forgets all tokens of this tab. */
export function forgetTokens(): void {
  for (const name of Object.values(TOKENS)) sessionStorage.removeItem(name);
}

/** A refusal of the node, in its own words. */
export class RefusedError extends Error {
  readonly status: number;
  readonly headers: Headers;

  constructor({ status, headers }: Pick<Response, "status" | "headers">, message: string) {
    super(message);
    this.name = "RefusedError";
    this.status = status;
    this.headers = headers;
  }
}

/**
 * Asks the node. Paths are relative to the page, so that it works behind a proxy's path too.
 *
 * @param path Begins without a slash: `v1/ring`.
 * @param use Which token goes with it: without one for keys, that for the cluster does.
 * @throws {RefusedError} For any status of 400 and more.
 */
export async function ask(path: string, init: RequestInit = {}, use: TokenUse = "cluster"): Promise<Response> {
  const headers = new Headers(init.headers);
  const own = token(use) ?? token();
  if (own !== undefined) headers.set("Authorization", `Bearer ${own}`);
  const signal = init.signal ?? AbortSignal.timeout(ANSWER_MS);
  const response = await fetch(new URL(`../${path}`, document.baseURI), {
    ...init,
    signal,
    headers,
    cache: "no-store",
  });
  if (response.status < 400) return response;
  throw new RefusedError(response, await detailOf(response));
}

/** Whether a question failed as questions may: refused, or not answered. */
export function isNoAnswer(error: unknown): boolean {
  const isLate = error instanceof DOMException && error.name === "TimeoutError";
  return error instanceof RefusedError || error instanceof TypeError || isLate;
}

/** Asks the node for JSON. */
export async function askJson<Answer>(path: string): Promise<Answer> {
  return (await (await ask(path)).json()) as Answer;
}

async function detailOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return (JSON.parse(text) as { readonly detail?: string }).detail ?? text;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return text || response.statusText;
  }
}

/** Watches the node until the page goes away. The function that it returns begins anew at once: after a new token. */
export function watchNode(heard: Heard): () => void {
  let current = new AbortController();

  async function run(own: AbortController): Promise<void> {
    while (!own.signal.aborted) {
      const why = await streamOnce(own.signal, heard);
      if (own.signal.aborted || why.isFinal) return;
      await pause(AGAIN_MS, own.signal);
    }
  }
  void run(current);
  return () => {
    current.abort();
    current = new AbortController();
    void run(current);
  };
}

/** One stream, to its end. Final: it would end the same way again until the person does something. */
async function streamOnce(signal: AbortSignal, { look, state }: Heard): Promise<{ readonly isFinal: boolean }> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), FIRST_LOOK_MS);
  let isRefused = false;
  const refuse = (why: string) => {
    isRefused = true;
    state("refused", why);
  };
  try {
    const response = await ask("v1/events", { signal: AbortSignal.any([signal, silence.signal]) });
    const parse = createEventParser();
    const reader = (response.body as ReadableStream<BufferSource>).pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (const { name, data } of parse(value)) {
        if (name === "look") {
          const told = JSON.parse(data) as ConsoleLook;
          clearTimeout(timer);
          timer = setTimeout(() => silence.abort(), told.intervalMs * SILENT_INTERVALS);
          state("live", "");
          look(told);
        } else if (name === "refused") refuse(detailIn(data));
        else state("lost", detailIn(data));
      }
    }
    if (!isRefused) state("lost", "The node ended the stream.");
  } catch (error) {
    if (error instanceof RefusedError && (error.status === 401 || error.status === 403)) refuse(error.message);
    else if (!signal.aborted)
      state("lost", error instanceof RefusedError ? error.message : "The node does not answer.");
  } finally {
    clearTimeout(timer);
  }
  return { isFinal: isRefused };
}

function detailIn(data: string): string {
  return (JSON.parse(data) as { readonly detail: string }).detail;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
