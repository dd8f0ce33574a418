/**
 * The settings of who may do what: the file with the tokens, and the rights of callers without one.
 *
 * Not here: what stands in the file. It is read at the start and followed while the node runs
 * (adapters/http/token-file.ts).
 */
import { matching, oneOf } from "./config-kinds.ts";

/** Entries of the schema in `config.ts`. */
export const ACCESS_SETTINGS = {
  ANNULUS_ACCESS_FILE: matching(/^[^\0]+$/, "a file's path", {
    meaning:
      "JSON file with the digests and rights of the bearer tokens that the data and admin ports take; a changed file holds within 5 s, without a restart. Default: none, and everybody who reaches a port may do everything there.",
  }).optional(),
  ANNULUS_ANONYMOUS_DATA: oneOf(["none", "read", "read-write"], "none", {
    meaning: "With `ANNULUS_ACCESS_FILE`: what callers without a token may do with keys.",
  }),
  ANNULUS_ANONYMOUS_CLUSTER: oneOf(["none", "monitor"], "none", {
    meaning:
      "With `ANNULUS_ACCESS_FILE`: whether callers without a token may look at cluster and ring. Health and metrics they always may.",
  }),
};

/** What the node is told of access; undefined where everybody may do everything. */
export type AccessConfig =
  | {
      readonly file: string;
      /** The rights of callers without a token. */
      readonly anonymous: { readonly data: "none" | "read" | "read-write"; readonly cluster: "none" | "monitor" };
    }
  | undefined;

type AccessValues = {
  readonly ANNULUS_ACCESS_FILE?: string | undefined;
  readonly ANNULUS_ANONYMOUS_DATA: "none" | "read" | "read-write";
  readonly ANNULUS_ANONYMOUS_CLUSTER: "none" | "monitor";
};

/** The settings as a node uses them. */
export function toAccessConfig(settings: AccessValues): AccessConfig {
  const { ANNULUS_ACCESS_FILE: file } = settings;
  if (file === undefined) return undefined;
  return { file, anonymous: { data: settings.ANNULUS_ANONYMOUS_DATA, cluster: settings.ANNULUS_ANONYMOUS_CLUSTER } };
}

/** Settings that say something of a file that there is not: whoever wrote them believes the node to be closed. */
export function accessContradictions(settings: AccessValues): string[] {
  if (settings.ANNULUS_ACCESS_FILE !== undefined) return [];
  return (["ANNULUS_ANONYMOUS_DATA", "ANNULUS_ANONYMOUS_CLUSTER"] as const)
    .filter((name) => settings[name] !== "none")
    .map(
      (name) => `${name}: expected ANNULUS_ACCESS_FILE beside it, found none; without it everybody may do everything`,
    );
}
