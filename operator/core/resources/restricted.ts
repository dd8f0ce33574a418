/** What the restricted Pod Security Standard asks of every pod that the operator has made, and the images' user. */

/** The images' user. */
const USER = 65_532;

/** Of the pod; volumes are for the user's group. */
export const POD_SECURITY = {
  runAsNonRoot: true,
  runAsUser: USER,
  runAsGroup: USER,
  fsGroup: USER,
  fsGroupChangePolicy: "OnRootMismatch",
  seccompProfile: { type: "RuntimeDefault" },
} as const;

/** Of each container: a read-only file system with volumes as the one place to write. */
export const CONTAINER_SECURITY = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  capabilities: { drop: ["ALL"] },
} as const;

/** Keys and tokens are for the pod's own group, which is that of its user. */
export const SECRET_MODE = 0o440;

/** Quantities as the API server gives them back: `2` is "2". */
function texts(quantities: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(quantities).map(([name, value]) => [name, String(value)]));
}

type Quantities = Readonly<Record<string, string | number>>;

/**
 * A container's resources, with presets for what is neither requested nor limited.
 *
 * @param presets Requests: an autoscaler, for one, needs a CPU request to measure against.
 */
export function resourcesOf(
  { limits, requests }: { readonly limits?: Quantities | undefined; readonly requests?: Quantities | undefined },
  presets: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const missing = Object.entries(presets).filter(([name]) => limits?.[name] === undefined);
  return {
    ...(limits === undefined ? {} : { limits: texts(limits) }),
    requests: texts({ ...Object.fromEntries(missing), ...requests }),
  };
}
