/** What each home holds of a key, as `GET /v1/versions/{key}` answers it: no values, only what tells versions apart. */
import { standingSiblings } from "../../core/version/closure.ts";
import type { HeldVersion, KeyVersions } from "../../core/version/key-versions.ts";
import type { KvRecord, Sibling } from "../../core/version/record.ts";
import { formatInstant } from "./respond.ts";

const HEX_DIGITS = 8;

/** The answer's body. */
export function versionsJson({ epoch, partition, homes }: KeyVersions): Record<string, unknown> {
  return { epoch, partition, homes: homes.map(homeJson) };
}

function homeJson(held: HeldVersion): Record<string, unknown> {
  const { name, zone } = held;
  if ("error" in held) {
    const { code, message } = held.error;
    return { name, zone, state: "unknown", error: { code, detail: message } };
  }
  if (held.record === undefined) return { name, zone, state: "absent" };
  return { name, zone, state: "present", ...recordJson(held.record, held.checksum ?? 0) };
}

function recordJson(record: KvRecord, checksum: number): Record<string, unknown> {
  return {
    version: checksum.toString(16).padStart(HEX_DIGITS, "0"),
    contextEntries: record.context.vector.length + record.context.dots.length,
    siblings: standingSiblings(record).map(siblingJson),
  };
}

function siblingJson({ dot, value, contentType, writtenAtMs, expiresAtMs }: Sibling): Record<string, unknown> {
  return {
    dot: `${dot.actor}.${dot.incarnation}:${dot.counter}`,
    deleted: value === undefined,
    contentType,
    sizeBytes: value?.length ?? 0,
    writtenAt: formatInstant(writtenAtMs),
    ...(expiresAtMs === undefined ? {} : { expiresAt: formatInstant(expiresAtMs) }),
  };
}
