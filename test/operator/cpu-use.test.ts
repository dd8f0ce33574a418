/** How many members a use of CPU calls for: as a HorizontalPodAutoscaler counts. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import fc from "fast-check";
import { loadOf, stabilized } from "../../operator/core/cpu-use.ts";
import type { CpuUse, PodFacts } from "../../operator/core/world.ts";

type Member = { readonly usedCores?: number; readonly requestedCores?: number; readonly isStarting?: boolean };

/** Members that request a core each, unless they say otherwise; the others of its facts say nothing here. */
function seen(members: readonly Member[]): { pods: PodFacts[]; cpuUse: CpuUse } {
  const pods = members.map(({ requestedCores = 1, isStarting = false }, index) => {
    const pod: Pick<PodFacts, "name" | "isStarting" | "isDeleting" | "requestedCores"> = {
      ...{ name: `n-${index}`, isStarting, isDeleting: false, requestedCores },
    };
    return pod as PodFacts;
  });
  const cores = members.flatMap(({ usedCores }, index) =>
    usedCores === undefined ? [] : [[`n-${index}`, usedCores] as const],
  );
  return { pods, cpuUse: { kind: "told", cores: new Map(cores) } };
}

function sizeOf(members: readonly Member[], targetPercent = 50): number | string {
  const load = loadOf(seen(members), { replicas: members.length, targetPercent });
  return load.kind === "known" ? load.replicas : load.why;
}

const uses = (...cores: number[]): Member[] => cores.map((usedCores) => ({ usedCores }));

describe("the size that a load calls for", () => {
  it("is the number of members times the use over the target, rounded up", () => {
    assert.equal(sizeOf(uses(0.8, 0.8, 0.8)), 5);
    assert.equal(sizeOf(uses(0.25, 0.25, 0.25, 0.25)), 2);
    assert.equal(sizeOf(uses(0.9, 0.1, 0.5, 0.5)), 4);
    assert.equal(sizeOf(uses(0, 0, 0)), 0);
  });

  it("is the present one where the use is within a tenth of the target", () => {
    assert.equal(sizeOf(uses(0.55, 0.55, 0.55)), 3);
    assert.equal(sizeOf(uses(0.45, 0.45, 0.45)), 3);
    assert.equal(sizeOf(uses(0.56, 0.56, 0.56)), 4);
  });

  it("counts in whole percent", () => {
    assert.equal(sizeOf(uses(0.835, 0.835, 0.835)), 5);
  });

  it("takes a member of which nothing is known for idle where more are called for, for busy where fewer are", () => {
    assert.equal(sizeOf([...uses(0.9, 0.9), {}]), 4);
    assert.equal(sizeOf([...uses(0.6, 0.6), {}]), 3);
    assert.equal(sizeOf([...uses(0.1, 0.1), {}]), 3);
    assert.equal(sizeOf([...uses(0.1, 0.1, 0.1, 0.1, 0.1), {}]), 3);
  });

  it("leaves those that are starting out where fewer are called for, and has them use nothing where more are", () => {
    assert.equal(sizeOf([...uses(0.1, 0.1, 0.1), { usedCores: 1, isStarting: true }]), 1);
    assert.equal(sizeOf([...uses(0.8, 0.8, 0.8), { usedCores: 1, isStarting: true }]), 5);
  });

  it("is not known where a member requests no CPU, or none tells what it uses", () => {
    const [pod, ...more] = seen(uses(0.5, 0.5)).pods;
    const pods = [{ ...pod, requestedCores: undefined } as PodFacts, ...more];
    const { cpuUse } = seen(uses(0.5, 0.5));
    const load = loadOf({ pods, cpuUse }, { replicas: 2, targetPercent: 50 });
    assert.deepEqual(load, { kind: "unknown", why: "a container of n-0 requests no CPU" });
    assert.equal(sizeOf([{}, {}]), "the metrics API tells of no member that has started");
  });

  it("never goes against the use: more above the target, fewer below, whoever is silent", () => {
    const member = fc.record({
      usedCores: fc.option(fc.double({ min: 0, max: 4, noNaN: true }), { nil: undefined }),
      isStarting: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(member, { minLength: 1, maxLength: 9 }), (drawn) => {
        const members = drawn.map(({ usedCores, isStarting }) => ({
          isStarting,
          ...(usedCores === undefined ? {} : { usedCores }),
        }));
        const load = loadOf(seen(members), { replicas: members.length, targetPercent: 50 });
        if (load.kind === "unknown") return;
        if (load.percent > 50) assert.ok(load.replicas >= members.length);
        if (load.percent < 50) assert.ok(load.replicas <= members.length);
      }),
    );
  });
});

describe("the windows of a behaviour", () => {
  const autoscaling = {
    mode: "recommend",
    minReplicas: 3,
    maxReplicas: 9,
    targetCPUUtilizationPercentage: 50,
    cooldownSeconds: 0,
    diskUsedPercentMax: 70,
  } as const;
  const window = (up: number, down: number) => ({
    ...autoscaling,
    behavior: { scaleUp: { stabilizationWindowSeconds: up }, scaleDown: { stabilizationWindowSeconds: down } },
  });
  const nowMs = 1_000_000;
  const history = (...sizes: (readonly [secondsAgo: number, replicas: number])[]) => ({
    ...{ before: 5, nowMs },
    wanted: sizes.map(([secondsAgo, replicas]) => ({ atMs: nowMs - secondsAgo * 1_000, replicas })),
  });

  it("let it go down to the most, and up to the least, that was called for in them", () => {
    assert.equal(stabilized(window(0, 60), history([90, 9], [50, 4], [20, 3], [0, 3])), 4);
    assert.equal(stabilized(window(60, 0), history([90, 2], [50, 7], [20, 6], [0, 9])), 6);
  });

  it("keep the present size until they are over", () => {
    assert.equal(stabilized(window(60, 60), history([30, 3], [0, 3])), 5);
    assert.equal(stabilized(window(60, 60), history([30, 9], [0, 9])), 5);
    assert.equal(stabilized(window(0, 0), history([0, 9])), 9);
  });

  it("are an hour at most, as Kubernetes has them", () => {
    assert.equal(stabilized(window(9_999, 0), history([3_600, 9], [0, 9])), 9);
  });

  it("keep it for good where a direction is switched off", () => {
    const off = { ...autoscaling, behavior: { scaleDown: { selectPolicy: "Disabled" } } };
    assert.equal(stabilized(off, history([4_000, 3], [0, 3])), 5);
    assert.equal(stabilized(off, history([4_000, 9], [0, 9])), 9);
  });
});
