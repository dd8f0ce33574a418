/** Parts that the schemas of several kinds are made of. Each is bounded: the API server estimates a rule's cost by the bounds. */
import { z } from "zod";

/** A whole number within bounds. */
export const whole = (min: number, max: number) => z.int().min(min).max(max);

/** A size as Kubernetes writes it: `10Gi`. */
export const quantity = z
  .string()
  .max(32)
  .regex(/^[1-9][0-9]{0,14}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$/);

const intOrString = z.union([z.int(), z.string().max(64)]).meta({ "x-kubernetes-int-or-string": true });

/** A map with bounded keys. */
export const mapOf = <Value extends z.ZodType>(value: Value, maxProperties: number) =>
  z.record(z.string(), value).meta({ maxProperties });

/** Passed through to an object of Kubernetes, which checks it. */
export const opaque = z.looseObject({}).meta({ "x-kubernetes-preserve-unknown-fields": true });

/** As in a container. @param who Whose they are, for the descriptions. */
export const resources = (who: string) =>
  z.object({
    requests: mapOf(intOrString, 16).optional().describe(`What ${who} is promised.`),
    limits: mapOf(intOrString, 16).optional().describe(`What ${who} may use at most.`),
  });

/** An instant, RFC 3339. */
export const time = z.string().max(40).meta({ format: "date-time" });

/** A text within a bound. */
export const text = (max: number) => z.string().max(max);

export const Condition = z.object({
  type: text(316),
  status: z.enum(["True", "False", "Unknown"]),
  observedGeneration: z.int().min(0).optional(),
  lastTransitionTime: time,
  reason: text(1024).min(1),
  message: text(32_768),
});

/** The conditions of a status. */
export const conditions = z
  .array(Condition)
  .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
  .optional();

/** What of a stored object's metadata is used. */
export const Metadata = z.looseObject({
  name: z.string(),
  namespace: z.string(),
  uid: z.string(),
  resourceVersion: z.string().optional(),
  generation: z.int().default(1),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  annotations: z.record(z.string(), z.string()).default({}),
});

export type Condition = z.output<typeof Condition>;
