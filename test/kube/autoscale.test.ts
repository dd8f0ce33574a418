/**
 * A store that an autoscaler sizes by its members' CPU: load raises the number of members, quiet lowers it, and the data
 * stays; and one whose size is only recommended. Needs the metrics API.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { API_VERSION, KIND } from "../../operator/api/kvcluster.ts";
import { INSTANCE_LABEL } from "../../operator/core/names.ts";
import { at, type KubeObject, listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { apply, get, kubectl, list, until } from "./kubectl.ts";
import { press, underLoad } from "./load.ts";
import { condition, createStore, NAME, tell, timed } from "./store.ts";
import { watching } from "./watching.ts";

const NAMESPACE = "annulus-autoscale";
const store = createStore(NAMESPACE);
const MIN = 3;
const MAX = 5;
const STABILIZATION_SECONDS = 15;

const policies = [{ type: "Pods", value: 2, periodSeconds: 5 }];
const spec = {
  storage: { size: "1Gi" },
  partitions: 64,
  resources: { requests: { cpu: "100m", memory: "128Mi" } },
  autoscaling: {
    minReplicas: MIN,
    maxReplicas: MAX,
    // Well above what idle members and moving data use on a busy machine, and well below what the load makes them use.
    targetCPUUtilizationPercentage: 100,
    cooldownSeconds: 10,
    behavior: {
      scaleUp: { stabilizationWindowSeconds: 0, policies },
      scaleDown: { stabilizationWindowSeconds: STABILIZATION_SECONDS, policies },
    },
  },
};

const autoscaler = () => get(NAMESPACE, "hpa", NAME);

/** Why the size is what it is, for a test that gave up. */
const explain = () => kubectl(["-n", NAMESPACE, "describe", "hpa", NAME]);

/** Settled with as many members as the spec asks for, and that is `size`. */
async function untilSize(size: number, seconds: number): Promise<void> {
  await until(
    `${size} members`,
    seconds,
    async () => {
      const found = await store.cluster();
      const isCalm = condition(found, "Progressing").reason === "AsWanted";
      return (
        isCalm && numberAt(found, "spec", "replicas") === size && listAt(found, "status", "members").length === size
      );
    },
    explain,
  );
}

/** Who wrote a field, by the names of the field's owners: `f:spec`, `f:replicas`. */
function writers(object: KubeObject | undefined, ...path: string[]): string[] {
  return listAt(object, "metadata", "managedFields").flatMap((entry) =>
    at(entry, "fieldsV1", ...path) === undefined ? [] : [textAt(entry, "manager") ?? ""],
  );
}

/** A list without repetitions of what came just before. */
const turns = (values: readonly number[]) => values.filter((value, index) => value !== values[index - 1]);

beforeAll(() => store.install(spec));

afterAll(() => store.uninstall());

describe("an autoscaler of which a manifest says nothing", () => {
  const OTHER = "by-default";

  it("is slow on purpose, and the operator cools down for five minutes", async () => {
    const metadata = { name: OTHER, namespace: NAMESPACE };
    const ran = await apply({ apiVersion: API_VERSION, kind: KIND, metadata, spec: { autoscaling: {} } });
    assert.equal(ran.code, 0, ran.err);
    const made = await until("an autoscaler", 60, async () => get(NAMESPACE, "hpa", OTHER));
    const target = { type: "Utilization", averageUtilization: 70 };
    assert.deepEqual(made.spec, {
      scaleTargetRef: { apiVersion: API_VERSION, kind: KIND, name: OTHER },
      minReplicas: 3,
      maxReplicas: 9,
      metrics: [{ type: "Resource", resource: { name: "cpu", target } }],
      behavior: {
        scaleUp: {
          stabilizationWindowSeconds: 60,
          selectPolicy: "Max",
          policies: [{ type: "Pods", value: 2, periodSeconds: 60 }],
        },
        scaleDown: {
          stabilizationWindowSeconds: 600,
          selectPolicy: "Max",
          policies: [{ type: "Pods", value: 1, periodSeconds: 600 }],
        },
      },
    });
    const found = await get(NAMESPACE, "kvc", OTHER);
    const autoscaling = ["mode", "cooldownSeconds", "diskUsedPercentMax"].map((field) =>
      at(found, "spec", "autoscaling", field),
    );
    assert.deepEqual(autoscaling, ["automatic", 300, 70]);
    tell("autoscaler by default: 3 to 9 at 70 % CPU, up after 60 s by 2, down after 600 s by 1, cool-down 300 s");
    await kubectl(["-n", NAMESPACE, "delete", "kvc", OTHER]);
    await until("all of it is gone", 120, async () => {
      const left = await list(NAMESPACE, "pods,hpa", "-l", `${INSTANCE_LABEL}=${OTHER}`);
      return left.length === 0;
    });
  });
});

describe("a store with an autoscaler", () => {
  it("is measured before there is any load, and stays at its minimum", async () => {
    await timed("store settled to autoscaler active", () =>
      until(
        "the autoscaler can scale and knows the CPU",
        120,
        async () => {
          const found = await autoscaler();
          return ["AbleToScale", "ScalingActive"].every((type) => condition(found, type).status === "True");
        },
        explain,
      ),
    );
    assert.equal(numberAt(await store.cluster(), "spec", "replicas"), MIN);
  });

  it("grows under load to its maximum and no further, shrinks in quiet, turns once, and loses nothing", async () => {
    const seen = await watching(NAMESPACE, "kvc", NAME, (object) => numberAt(object, "spec", "replicas") ?? 0);
    await underLoad(store, "autoscaled", async () => {
      const pressure = await press(store);
      try {
        await timed(`load to ${MAX} members`, () => untilSize(MAX, 180));
        await until("more is wanted than may be", 60, async () => {
          const limited = condition(await autoscaler(), "ScalingLimited");
          return limited.status === "True" && limited.reason === "TooManyReplicas";
        });
      } finally {
        await pressure.end();
      }
      await timed(`quiet to ${MIN} members`, () => untilSize(MIN, 240));
    });
    const sizes = turns(await seen.end());
    tell(`sizes that the autoscaler asked for: ${sizes.join(", ")}`);
    const peak = sizes.indexOf(MAX);
    assert.ok(peak > 0);
    assert.deepEqual(sizes, [
      ...sizes.slice(0, peak + 1).sort((a, b) => a - b),
      ...sizes.slice(peak + 1).sort((a, b) => b - a),
    ]);
    assert.ok(sizes.every((size) => size >= MIN && size <= MAX));
  });

  it("has one writer for each number of replicas", async () => {
    const cluster = await get(NAMESPACE, "kvc", NAME, "--show-managed-fields");
    const statefulSet = await get(NAMESPACE, "statefulset", NAME, "--show-managed-fields");
    assert.deepEqual(writers(cluster, "f:spec", "f:replicas"), ["kube-controller-manager"]);
    assert.deepEqual(writers(statefulSet, "f:spec", "f:replicas"), ["annulus-operator"]);
  });

  it("keeps its size when the same manifest is applied again", async () => {
    await kubectl(["-n", NAMESPACE, "scale", "kvc", NAME, "--replicas=4"]);
    const manifest = {
      apiVersion: "annulus.dev/v1alpha1",
      kind: "KVCluster",
      metadata: { name: NAME, namespace: NAMESPACE },
    };
    const ran = await apply({ ...manifest, spec });
    assert.equal(ran.code, 0, ran.err);
    // The autoscaler may have come in between; whoever wrote the size last, the manifest takes no part in it.
    const found = await get(NAMESPACE, "kvc", NAME, "--show-managed-fields");
    const [writer, ...more] = writers(found, "f:spec", "f:replicas");
    assert.ok(writer !== undefined && writer !== "kubectl-client-side-apply" && more.length === 0, `${writer} ${more}`);
    if (writer !== "kube-controller-manager") assert.equal(numberAt(found, "spec", "replicas"), 4);
    await timed("a size set by hand to the autoscaler's", () => untilSize(MIN, 240));
  });
});

describe("a store whose size is recommended", () => {
  const recommendation = async () => at(await store.cluster(), "status", "recommendation");

  const untilRecommended = (size: number, seconds: number) =>
    until(
      `${size} members are recommended`,
      seconds,
      async () => numberAt(await recommendation(), "replicas") === size,
      async () => JSON.stringify(await recommendation()),
    );

  it("has no autoscaler, and says what one would ask for: more under load, fewer in quiet", async () => {
    const mode = { spec: { autoscaling: { mode: "recommend" } } };
    await kubectl(["-n", NAMESPACE, "patch", "kvc", NAME, "--type=merge", "-p", JSON.stringify(mode)]);
    await until("the autoscaler is gone", 60, async () => (await autoscaler()) === undefined);
    await timed(`autoscaler gone to ${MIN} recommended`, () => untilRecommended(MIN, 120));
    const pressure = await press(store);
    let found: unknown;
    try {
      await timed(`load to ${MAX} recommended`, () => untilRecommended(MAX, 180));
      found = await recommendation();
    } finally {
      await pressure.end();
    }
    tell(`recommended: ${JSON.stringify(found)}`);
    assert.match(textAt(found, "reason") ?? "", /^CPU is at \d+ % of what is requested, the target is 100 %$/);
    // What is still in the members' logs alone counts for nothing, so that it may be 0.
    assert.ok(numberAt(found, "movedBytes") !== undefined);
    await timed(`quiet to ${MIN} recommended`, () => untilRecommended(MIN, 180));
    assert.equal(numberAt(await store.cluster(), "spec", "replicas"), MIN);
  });
});
