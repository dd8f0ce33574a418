/**
 * The operator's settings: `ANNULUS_OPERATOR_...`, read once, checked, frozen. An unknown name of this prefix, or a value
 * out of its bounds, stops the start with one message that names them all.
 */
import { z } from "zod";

const milliseconds = (min: number, max: number) => z.coerce.number().int().min(min).max(max);

export const OperatorSettings = z
  .strictObject({
    /** Namespace of the lease, and the one that NetworkPolicies let through to the nodes' admin ports. */
    ANNULUS_OPERATOR_NAMESPACE: z.string().min(1).max(63),
    /** This process among its replicas: the pod's name. */
    ANNULUS_OPERATOR_IDENTITY: z.string().min(1).max(253),
    /** Image of a KVCluster that names none: the release that this operator was tested with. */
    ANNULUS_OPERATOR_NODE_IMAGE: z.string().min(1).max(512),
    /** The one namespace whose KVClusters it sees to; empty: all. */
    ANNULUS_OPERATOR_WATCH_NAMESPACE: z.string().max(63).default(""),
    /** Port of health and metrics. */
    ANNULUS_OPERATOR_PORT: z.coerce.number().int().min(1).max(65_535).default(8080),
    /** How long a leader that went silent keeps the others away. Longer: a takeover later, fewer by mistake. */
    ANNULUS_OPERATOR_LEASE_DURATION_MS: milliseconds(3_000, 300_000).default(15_000),
    /** Whether the admin ports of KVClusters that do not say (`tls.admin`) speak TLS; so without the chart as with it. */
    ANNULUS_OPERATOR_ADMIN_TLS: z
      .enum(["true", "false"])
      .default("true")
      .transform((text) => text === "true"),
    ANNULUS_OPERATOR_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  })
  .readonly();

export type OperatorConfig = z.output<typeof OperatorSettings>;

/** Why the operator cannot start: one problem a line. */
export class OperatorConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(`Cannot start: settings are wrong.\n  ${problems.join("\n  ")}`);
    this.name = "OperatorConfigError";
  }
}

const PREFIX = "ANNULUS_OPERATOR_";

/**
 * Reads and checks all settings.
 *
 * @throws {OperatorConfigError} Names every one that is unknown, missing or out of bounds.
 */
export function loadOperatorConfig(environment: Readonly<Record<string, string | undefined>>): OperatorConfig {
  const own = Object.entries(environment).filter(([name, value]) => name.startsWith(PREFIX) && value !== undefined);
  const parsed = OperatorSettings.safeParse(Object.fromEntries(own));
  if (parsed.success) return parsed.data;
  throw new OperatorConfigError(
    parsed.error.issues.map((issue) =>
      issue.code === "unrecognized_keys"
        ? `there are no such settings: ${issue.keys.join(", ")}`
        : `${issue.path.join(".")}: ${issue.message}`,
    ),
  );
}
