/**
 * What nodes know of tokens: the file in the Secret that their pods mount, which follows what is stored late, and is never older
 * than it was before. Who asks for none, by its pod's settings, lets everybody do everything.
 */
import { parseTokens } from "../../../node/adapters/http/token-file.ts";
import { type ClusterRight, type Grant, grantOf, mayDo, type TokenEntry } from "../../../node/core/access.ts";
import { TABLE_FILE } from "../../../operator/core/access.ts";
import { fileOf } from "../../../operator/core/certificates.ts";
import { type KubeObject, listAt, textAt } from "../../../operator/core/objects.ts";
import type { SeededRandom } from "../random.ts";
import type { Simulator } from "../simulator.ts";
import type { SimulatedApiServer } from "./api-server.ts";

/** How old a mounted Secret may be, with the pause between a node's looks at its file, in ms. */
const STALE_MS = 10_000;

type Parts = {
  readonly server: SimulatedApiServer;
  readonly simulator: Simulator;
  readonly random: SeededRandom;
  /** Name of the Secret that pods mount. */
  readonly secret: string;
};

type Version = { readonly sinceMs: number; readonly text: string; readonly table: readonly TokenEntry[] };

export class TokenTables {
  readonly #versions: Version[] = [];
  /** By uid of a pod: the newest version that its node has looked at. */
  readonly #seen = new Map<string, number>();
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Takes note of what is stored now. */
  look(): void {
    const { server, simulator, secret } = this.#parts;
    const text = fileOf(server.store.find("Secret", secret), TABLE_FILE);
    if (text === undefined || text === this.#versions.at(-1)?.text) return;
    this.#versions.push({ sinceMs: simulator.nowMs, text, table: parseTokens(text) });
  }

  /** Whether a pod cannot be started yet, for there is no Secret to mount. */
  isAwaited(pod: KubeObject): boolean {
    return asksForTokens(pod) && this.#versions.length === 0;
  }

  /** What a request without the right is answered: 401 without a known token, 403 with one; undefined: it has it. */
  refusal(pod: KubeObject, token: string | undefined, need: "open" | "monitor" | "admin"): 401 | 403 | undefined {
    if (!asksForTokens(pod)) return undefined;
    const anonymous: Grant = {
      ...{ name: "anonymous", data: "none", prefixes: undefined },
      cluster: (settingOf(pod, "ANNULUS_ANONYMOUS_CLUSTER") ?? "none") as ClusterRight,
    };
    const grant = token === undefined ? anonymous : grantOf(this.#tableOf(pod), token);
    if (grant === undefined) return 401;
    if (mayDo([grant, anonymous], need)) return undefined;
    return token === undefined ? 401 : 403;
  }

  #tableOf({ metadata }: KubeObject): readonly TokenEntry[] {
    const { simulator, random } = this.#parts;
    const atMs = simulator.nowMs - random.below(STALE_MS);
    const found = this.#versions.findLastIndex(({ sinceMs }) => sinceMs <= atMs);
    const newest = Math.max(0, found, this.#seen.get(metadata.uid ?? "") ?? 0);
    this.#seen.set(metadata.uid ?? "", newest);
    return this.#versions[newest]?.table ?? [];
  }
}

/** Whether the node of a pod asks for tokens. */
export function asksForTokens(pod: KubeObject | undefined): boolean {
  return settingOf(pod, "ANNULUS_ACCESS_FILE") !== undefined;
}

function settingOf(pod: KubeObject | undefined, name: string): string | undefined {
  return textAt(
    listAt(pod, "spec", "containers", 0, "env").find((entry) => textAt(entry, "name") === name),
    "value",
  );
}
