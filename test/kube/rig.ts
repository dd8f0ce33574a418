/** The rig's faults, which no Kubernetes can do to itself: the tools that `KUBE_RIG` names. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { run } from "./kubectl.ts";

const rig = process.env.KUBE_RIG ?? join(import.meta.dirname, "..", "..", "..", "shared", "kube");

/** Runs one of them; fails the test when it fails. Resolves with what it printed. */
export async function tool(program: "node" | "zone", ...args: string[]): Promise<string> {
  const ran = await run(join(rig, program), args);
  assert.equal(ran.code, 0, `${program} ${args.join(" ")}: ${ran.err}`);
  return ran.out;
}

/** Lets the API server stand still, so that nobody is answered and no connection ends; resolves with what undoes it. */
export async function stopApiServer(): Promise<() => Promise<void>> {
  const signal = (name: string) =>
    tool("node", "exec", "control-plane", "sh", "-c", `kill -${name} $(pidof kube-apiserver)`);
  await signal("STOP");
  return async () => {
    await signal("CONT");
  };
}
