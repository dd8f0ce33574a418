/** All states that an object goes through, not only those that somebody happens to ask for. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { KubeObject } from "../../operator/core/objects.ts";

export type Watching<Value> = {
  /** Ends the watch; resolves with what each state came to, the first one included. */
  end(): Promise<Value[]>;
};

/** Watches one object from now on. Resolves when its present state is seen. */
export async function watching<Value>(
  namespace: string,
  kind: string,
  name: string,
  read: (object: KubeObject) => Value,
): Promise<Watching<Value>> {
  const args = ["-n", namespace, "get", kind, name, "--watch", "-o", "jsonpath={@}{'\\n'}"];
  const child = spawn("kubectl", args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  const seen: Value[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => seen.push(read(JSON.parse(line) as KubeObject)));
  await once(lines, "line");
  return {
    async end() {
      child.kill();
      await closed;
      return seen;
    },
  };
}
