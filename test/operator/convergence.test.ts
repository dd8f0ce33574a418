/**
 * Whatever happens in whatever order, with the operator killed between any two calls: nothing that is needed is taken
 * away (the watchman of `fake-cluster.ts`), one change runs at a time, and when it stops happening, all is as wanted.
 */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { readPod } from "../../operator/core/facts.ts";
import { numberAt } from "../../operator/core/objects.ts";
import { FakeCluster, NAME } from "./fake-cluster.ts";

type Happening =
  | { readonly kind: "scale"; readonly replicas: number }
  | { readonly kind: "image"; readonly image: string }
  | { readonly kind: "weigh"; readonly ordinal: number; readonly weight: number }
  | { readonly kind: "crash" | "mend"; readonly ordinal: number }
  | { readonly kind: "machine"; readonly index: number; readonly isDown: boolean }
  | { readonly kind: "cut" | "heal" }
  | { readonly kind: "replace"; readonly ordinal: number }
  | { readonly kind: "forget" }
  | { readonly kind: "upgrade"; readonly adminTls: boolean }
  | { readonly kind: "time"; readonly seconds: number; readonly calls: number | undefined };

const ordinal = fc.integer({ min: 0, max: 6 });
const HAPPENINGS = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("time" as const),
        seconds: fc.integer({ min: 1, max: 25 }),
        calls: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("scale" as const), replicas: fc.integer({ min: 3, max: 7 }) }),
    },
    fc.record({
      kind: fc.constant("image" as const),
      image: fc.constantFrom("annulus:good", "annulus:bad", "annulus:other"),
    }),
    fc.record({ kind: fc.constant("weigh" as const), ordinal, weight: fc.constantFrom(50, 100, 200) }),
    fc.record({ kind: fc.constantFrom("crash" as const, "mend" as const), ordinal }),
    fc.record({ kind: fc.constant("machine" as const), index: fc.integer({ min: 0, max: 5 }), isDown: fc.boolean() }),
    fc.record({ kind: fc.constantFrom("cut" as const, "heal" as const) }),
    fc.record({ kind: fc.constant("replace" as const), ordinal }),
    fc.record({ kind: fc.constant("forget" as const) }),
  ),
  { minLength: 1, maxLength: 25 },
);

/** An operator that has admin ports speak TLS comes in the middle of it: what happens then is met with a mix of them. */
const WITH_UPGRADE = fc
  .tuple(HAPPENINGS, HAPPENINGS)
  .map(([before, after]): Happening[] => [...before, { kind: "upgrade", adminTls: true }, ...after]);

async function happen(cluster: FakeCluster, event: Happening): Promise<void> {
  switch (event.kind) {
    case "scale":
      return cluster.edit({ replicas: event.replicas });
    case "image":
      return cluster.edit({ image: event.image });
    case "weigh":
      return cluster.edit({ weights: { byNode: { [`sessions-${event.ordinal}`]: event.weight } } });
    case "crash":
    case "mend":
      return cluster.crash(`sessions-${event.ordinal}`, event.kind === "crash");
    case "machine":
      return cluster.setMachineDown(cluster.machines[event.index] as string, event.isDown);
    case "cut":
      for (const name of cluster.members) cluster.nodes.unreachable.add(name);
      return;
    case "heal":
      return cluster.nodes.unreachable.clear();
    case "replace":
      return cluster.annotate("Pod", `sessions-${event.ordinal}`, { "annulus.dev/replace": "true" });
    case "forget":
      return cluster.dropStatefulSet();
    case "upgrade":
      return cluster.upgrade({ adminTls: event.adminTls });
    case "time":
      for (let second = 0; second < event.seconds; second += 1) {
        await cluster.reconcile(event.calls);
        cluster.tick();
      }
  }
}

async function happenAndEnd(happenings: readonly Happening[]): Promise<FakeCluster> {
  const cluster = new FakeCluster({ recovery: { replaceAfterSeconds: 30 } });
  for (const event of happenings) await happen(cluster, event);
  cluster.nodes.unreachable.clear();
  for (const machine of cluster.machines) cluster.setMachineDown(machine, false);
  for (let index = 0; index < 7; index += 1) cluster.crash(`sessions-${index}`, false);
  cluster.edit({ image: "annulus:last" });
  const isRolled = () => cluster.pods.every(({ spec }) => (spec as { image: string }).image === "annulus:last");
  await cluster.until("all is as wanted", () => cluster.isSettled() && isRolled(), 600);
  assert.equal(cluster.members.length, numberAt(cluster.cluster, "spec", "replicas") ?? 3);
  return cluster;
}

describe("a cluster to which anything happens", () => {
  it("loses nothing meanwhile, and is as wanted once it ends", async () => {
    let changes = 0;
    await fc.assert(
      fc.asyncProperty(HAPPENINGS, async (happenings) => {
        changes += (await happenAndEnd(happenings)).nodes.changes;
      }),
      { numRuns: Number(process.env.RUNS ?? 60) },
    );
    assert.ok(changes > 5, `too little happened to prove anything: ${changes} changes`);
  });

  it("loses nothing either when its admin ports come to speak TLS meanwhile, and all do once it ends", async () => {
    await fc.assert(
      fc.asyncProperty(WITH_UPGRADE, async (happenings) => {
        const { pods } = await happenAndEnd(happenings);
        assert.ok(pods.every((pod) => readPod(pod, NAME)?.isAdminSecure));
      }),
      // Each look reads certificates then.
      { numRuns: Number(process.env.RUNS ?? 6) },
    );
  });
});
