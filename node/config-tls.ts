/**
 * The settings of TLS: for each port where its PEM files are, and how the members hold each other to theirs.
 *
 * Not here: what stands in the files. They are read at the start and followed while the node runs
 * (adapters/tls/credentials.ts).
 */
import { matching, oneOf, whole } from "./config-kinds.ts";

const file = (meaning: string) => matching(/^[^\0]+$/, "a file's path", { meaning }).optional();

/** Entries of the schema in `config.ts`. */
export const TLS_SETTINGS = {
  ANNULUS_PEER_TLS: oneOf(["off", "allow", "require"], "off", {
    meaning:
      "Whether members show each other certificates: `off` is plain; `require` refuses whoever has no certificate of its member's name by an authority of `ANNULUS_PEER_TLS_CA_FILE`; `allow` takes both and tells of what `require` would refuse, for the change from one to the other.",
  }),
  ANNULUS_PEER_TLS_CERTIFICATE_FILE: file(
    "PEM certificate of this member, for servers and clients, with its name as a DNS name; intermediate ones after it.",
  ),
  ANNULUS_PEER_TLS_KEY_FILE: file("PEM private key of that certificate, without a passphrase."),
  ANNULUS_PEER_TLS_CA_FILE: file("PEM certificates of the authorities that members' certificates come from."),
  ANNULUS_PEER_TLS_DOMAIN: matching(/^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,188})$/, "a domain of at most 189 characters", {
    meaning:
      "What follows a member's name in its certificate: `annulus-0` is certified as `annulus-0.DOMAIN`. Default: nothing, the bare name.",
  }).optional(),
  ANNULUS_TLS_RELOAD_INTERVAL_MS: whole(
    { min: 100, max: 86_400_000, preset: 10_000 },
    {
      unit: "ms",
      meaning: "Time between two looks at the TLS files; changed ones serve new connections without a restart.",
      growth: "a renewed certificate is used later",
    },
  ),
};

type TlsValues = {
  readonly ANNULUS_PEER_TLS: "off" | "allow" | "require";
  readonly ANNULUS_PEER_TLS_CERTIFICATE_FILE?: string | undefined;
  readonly ANNULUS_PEER_TLS_KEY_FILE?: string | undefined;
  readonly ANNULUS_PEER_TLS_CA_FILE?: string | undefined;
  readonly ANNULUS_PEER_TLS_DOMAIN?: string | undefined;
  readonly ANNULUS_TLS_RELOAD_INTERVAL_MS: number;
};

/** What the node is told of TLS. */
export type TlsConfig = {
  /** Undefined where the members speak plainly. */
  readonly peer:
    | {
        readonly mode: "allow" | "require";
        readonly files: { readonly certificate: string; readonly key: string; readonly authorities: string };
        /** What follows a member's name in its certificate. */
        readonly domain: string | undefined;
      }
    | undefined;
  /** Time between two looks at the files, in ms. */
  readonly reloadIntervalMs: number;
};

/** The settings as a node uses them; what `tlsContradictions` objects to is left out. */
export function toTlsConfig(settings: TlsValues): TlsConfig {
  const mode = settings.ANNULUS_PEER_TLS;
  const certificate = settings.ANNULUS_PEER_TLS_CERTIFICATE_FILE;
  const key = settings.ANNULUS_PEER_TLS_KEY_FILE;
  const authorities = settings.ANNULUS_PEER_TLS_CA_FILE;
  const isComplete = certificate !== undefined && key !== undefined && authorities !== undefined;
  const peer =
    mode !== "off" && isComplete
      ? { mode, files: { certificate, key, authorities }, domain: settings.ANNULUS_PEER_TLS_DOMAIN }
      : undefined;
  return { peer, reloadIntervalMs: settings.ANNULUS_TLS_RELOAD_INTERVAL_MS };
}

const PEER_FILES = [
  "ANNULUS_PEER_TLS_CERTIFICATE_FILE",
  "ANNULUS_PEER_TLS_KEY_FILE",
  "ANNULUS_PEER_TLS_CA_FILE",
] as const;

/** What is set and has no effect, or is missing: nobody may believe in a protection that is not there. */
export function tlsContradictions(settings: TlsValues): string[] {
  const mode = settings.ANNULUS_PEER_TLS;
  if (mode !== "off") {
    return PEER_FILES.filter((name) => settings[name] === undefined).map(
      (name) => `${name}: expected a file's path, since ANNULUS_PEER_TLS is ${mode}; found none`,
    );
  }
  const idle = PEER_FILES.filter((name) => settings[name] !== undefined);
  if (idle.length === 0) return [];
  return [`ANNULUS_PEER_TLS: expected \`allow\` or \`require\`, since ${idle.join(", ")} is set; found "off"`];
}
