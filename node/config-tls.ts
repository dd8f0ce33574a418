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
  ANNULUS_DATA_TLS_CERTIFICATE_FILE: file(
    "PEM certificate of the data port, for servers; with it the port speaks TLS 1.3 only. Intermediate ones after it.",
  ),
  ANNULUS_DATA_TLS_KEY_FILE: file("PEM private key of that certificate, without a passphrase."),
  ANNULUS_DATA_TLS_CLIENT_CA_FILE: file(
    "PEM certificates of authorities; a client without a certificate of one of them is refused. Default: none is asked for.",
  ),
  ANNULUS_ADMIN_TLS_CERTIFICATE_FILE: file("As that of the data port, for the admin port."),
  ANNULUS_ADMIN_TLS_KEY_FILE: file("PEM private key of that certificate, without a passphrase."),
  ANNULUS_ADMIN_TLS_CLIENT_CA_FILE: file(
    "As that of the data port, for the admin port. The probes of Kubernetes show no certificate, and would be refused.",
  ),
  ANNULUS_TLS_RELOAD_INTERVAL_MS: whole(
    { min: 100, max: 86_400_000, preset: 10_000 },
    {
      unit: "ms",
      meaning: "Time between two looks at the TLS files; changed ones serve new connections without a restart.",
      growth: "a renewed certificate is used later",
    },
  ),
};

type FileName = Extract<keyof typeof TLS_SETTINGS, `${string}_FILE`>;
type TlsValues = { readonly [name in FileName]?: string | undefined } & {
  readonly ANNULUS_PEER_TLS: "off" | "allow" | "require";
  readonly ANNULUS_PEER_TLS_DOMAIN?: string | undefined;
  readonly ANNULUS_TLS_RELOAD_INTERVAL_MS: number;
};

/** The PEM files of a port that clients reach. */
export type PortFiles = {
  readonly certificate: string;
  readonly key: string;
  /** Undefined where clients show no certificates. */
  readonly authorities: string | undefined;
};

/** What the node is told of TLS. */
export type TlsConfig = {
  /** Undefined where the members speak plainly. */
  readonly peer:
    | {
        readonly mode: "allow" | "require";
        readonly files: PortFiles & { readonly authorities: string };
        /** What follows a member's name in its certificate. */
        readonly domain: string | undefined;
      }
    | undefined;
  /** Undefined where the port is plain. */
  readonly data: PortFiles | undefined;
  readonly admin: PortFiles | undefined;
  /** Time between two looks at the files, in ms. */
  readonly reloadIntervalMs: number;
};

/** The settings as a node uses them; what `tlsContradictions` objects to is left out. */
export function toTlsConfig(settings: TlsValues): TlsConfig {
  const mode = settings.ANNULUS_PEER_TLS;
  const files = filesOf(
    settings.ANNULUS_PEER_TLS_CERTIFICATE_FILE,
    settings.ANNULUS_PEER_TLS_KEY_FILE,
    settings.ANNULUS_PEER_TLS_CA_FILE,
  );
  const isPeer = mode !== "off" && files?.authorities !== undefined;
  return {
    peer: isPeer
      ? { mode, files: { ...files, authorities: files.authorities }, domain: settings.ANNULUS_PEER_TLS_DOMAIN }
      : undefined,
    data: filesOf(
      settings.ANNULUS_DATA_TLS_CERTIFICATE_FILE,
      settings.ANNULUS_DATA_TLS_KEY_FILE,
      settings.ANNULUS_DATA_TLS_CLIENT_CA_FILE,
    ),
    admin: filesOf(
      settings.ANNULUS_ADMIN_TLS_CERTIFICATE_FILE,
      settings.ANNULUS_ADMIN_TLS_KEY_FILE,
      settings.ANNULUS_ADMIN_TLS_CLIENT_CA_FILE,
    ),
    reloadIntervalMs: settings.ANNULUS_TLS_RELOAD_INTERVAL_MS,
  };
}

function filesOf(
  certificate: string | undefined,
  key: string | undefined,
  authorities: string | undefined,
): PortFiles | undefined {
  return certificate === undefined || key === undefined ? undefined : { certificate, key, authorities };
}

const PEER_FILES: readonly FileName[] = [
  "ANNULUS_PEER_TLS_CERTIFICATE_FILE",
  "ANNULUS_PEER_TLS_KEY_FILE",
  "ANNULUS_PEER_TLS_CA_FILE",
];

/** What is set and has no effect, or is missing: nobody may believe in a protection that is not there. */
export function tlsContradictions(settings: TlsValues): string[] {
  return [...peerContradictions(settings), ...portContradictions(settings)];
}

function peerContradictions(settings: TlsValues): string[] {
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

function portContradictions(settings: TlsValues): string[] {
  const problems: string[] = [];
  for (const port of ["DATA", "ADMIN"] as const) {
    const names = [
      `ANNULUS_${port}_TLS_CERTIFICATE_FILE`,
      `ANNULUS_${port}_TLS_KEY_FILE`,
      `ANNULUS_${port}_TLS_CLIENT_CA_FILE`,
    ] as const;
    const set = names.find((name) => settings[name] !== undefined);
    if (set === undefined) continue;
    for (const name of names.slice(0, 2)) {
      if (settings[name] === undefined)
        problems.push(`${name}: expected a file's path, since ${set} is set; found none`);
    }
  }
  return problems;
}
