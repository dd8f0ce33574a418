/**
 * The console's page: static files, read once at the start and served from memory with a strict Content-Security-Policy.
 *
 * They are public as the OpenAPI document is: what they show they ask for under `/v1/`, with the token that the person
 * gives. Only names found in the directory at the start are ever served, so that no path can lead out of it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import type { Response } from "express";
import { KvError } from "../../core/errors.ts";
import type { Route } from "./express-parts.ts";

/** Files by name: what `/console/<name>` answers. */
export type ConsoleFiles = ReadonlyMap<string, { readonly type: string; readonly body: Uint8Array }>;

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};
const INDEX = "index.html";
const PREFIX = "/console/";

/** Everything from this origin, nothing inline, nothing framed, no form sent anywhere by the browser itself. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");
const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  // A node of the next release serves other files under the same names.
  "Cache-Control": "no-cache",
};

/**
 * Reads the files that a browser needs; others (maps, types) stay behind.
 *
 * @returns Empty where the directory is missing: a node keeps data without its console.
 */
export function readConsoleFiles(directory: string): ConsoleFiles {
  try {
    const names = readdirSync(directory).filter((name) => extname(name) in TYPES);
    return new Map(
      names.map((name) => [name, { type: TYPES[extname(name)] ?? "", body: readFileSync(join(directory, name)) }]),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return new Map();
  }
}

/** The routes of the page. */
export function consoleRoutes(files: ConsoleFiles): readonly Route[] {
  return [
    {
      template: "/console",
      need: "open",
      answer(_request, response) {
        response.statusCode = 308;
        // Relative, so that it holds behind a proxy that serves the port under a path of its own.
        response.setHeader("Location", "console/");
        response.end();
      },
    },
    { template: "/console/", need: "open", answer: (_request, response) => answerFile(files, INDEX, response) },
    {
      template: "/console/{file}",
      path: /^\/console\/[^/]+$/,
      need: "open",
      answer: (request, response) => answerFile(files, request.path.slice(PREFIX.length), response),
    },
  ];
}

function answerFile(files: ConsoleFiles, name: string, response: Response): void {
  const file = files.get(name);
  if (file === undefined) throw new KvError("NOT_FOUND", "Cannot find this file of the console.");
  for (const [header, value] of Object.entries(HEADERS)) response.setHeader(header, value);
  response.setHeader("Content-Type", file.type);
  response.setHeader("Content-Length", file.body.length);
  response.end(file.body);
}
