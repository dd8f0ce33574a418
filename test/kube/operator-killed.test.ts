/**
 * The operator killed in each phase of a ring change, under writes: nothing is lost, the change is ended, and at no moment
 * does the status say that something is done which is not.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { listAt, numberAt, textAt } from "../../operator/core/objects.ts";
import { get, kubectl, until } from "./kubectl.ts";
import { underLoad } from "./load.ts";
import { killPod } from "./rig.ts";
import { followRing, type RingMoment } from "./ring-follower.ts";
import { condition, createStore, figure, NAME, SYSTEM } from "./store.ts";
import { watching } from "./watching.ts";

const store = createStore("annulus-killed");
const OPERATOR = ["-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/name=annulus-operator", "-o", "name"];
/** A phase may end before the kill arrives; then the next change is tried. */
const ATTEMPTS = 5;
const PAIRS = 3_000;

const SIZES = [3, 4] as const;

async function scale(size: number): Promise<void> {
  await kubectl(["-n", store.namespace, "scale", "kvc", NAME, `--replicas=${size}`]);
}

async function grow(): Promise<void> {
  await scale(SIZES[1]);
  await store.untilSettled(`${SIZES[1]} members`, 120);
}

/** What the status told, and what the ring was when that was heard. */
type Told = {
  readonly isDone: boolean;
  readonly transition: string | undefined;
  readonly epoch: number;
  readonly ring: RingMoment;
};

/** Lets the ring change, kills the operator in a phase of that, and waits for the end; whether the phase was met. */
async function killIn(phase: RingMoment["phase"], size: number): Promise<boolean> {
  const pod = (await kubectl(OPERATOR)).trim();
  const ring = await followRing(store.namespace, `${NAME}-0`);
  const status = await watching(store.namespace, "kvc", NAME, (object): Told => {
    const isCurrent = numberAt(object, "status", "observedGeneration") === object.metadata.generation;
    return {
      isDone: isCurrent && condition(object, "Progressing").reason === "AsWanted",
      transition: textAt(object, "status", "transition", "id"),
      epoch: numberAt(object, "status", "ringEpoch") ?? 0,
      ring: ring.latest(),
    };
  });
  try {
    await scale(size);
    await ring.until(phase, 180_000);
    // Without a chance to end what it is at, or to say goodbye to its lease.
    await killPod(SYSTEM, pod.replace("pod/", ""));
    const { phase: met } = ring.latest();
    const beganMs = performance.now();
    const settled = await store.untilSettled(`${size} members`, 120);
    figure(`operator killed in ${phase} (${met} when it was gone) to settled`, (performance.now() - beganMs) / 1000);
    assert.notEqual((await kubectl(OPERATOR)).trim(), pod);
    assert.equal(listAt(settled, "status", "members").length, size);
    // At rest the operator looks twice a minute, and the ring may list one more disk meanwhile.
    await until("the ring's epoch is told", 90, async () => {
      return numberAt(await store.cluster(), "status", "ringEpoch") === ring.latest().epoch;
    });
    checkTold(await status.end(), ring.moments());
    return met === phase;
  } finally {
    await status.end();
    await ring.end();
  }
}

/** The status may be late, but never ahead: of no change is it said that it is over while the nodes are at it. */
function checkTold(told: readonly Told[], moments: readonly RingMoment[]): void {
  const [change, ...more] = new Set(moments.flatMap(({ id }) => (id === undefined ? [] : [id])));
  assert.ok(change !== undefined && more.length === 0, "one change of the ring");
  for (const { transition } of told) assert.ok(transition === undefined || transition === change, transition);
  assert.ok(
    told.some(({ transition }) => transition === change),
    "the change was told while it ran",
  );
  const done = told.slice(1).filter(({ isDone }) => isDone);
  assert.ok(done.length > 0);
  for (const { ring } of done) assert.ok(ring.phase === "done", `told as done in ${ring.phase}`);
  for (const [index, { epoch: one }] of told.entries()) assert.ok(one >= (told[index - 1]?.epoch ?? 0));
}

beforeAll(async () => {
  // So slow that the operator can be killed while partitions are on their way, and that its successor, who waits for the lease of
  // the dead one to run out, is there before they have come.
  const config = { ANNULUS_BACKGROUND_BYTES_PER_SECOND: "65536" };
  await store.install({ storage: { size: "1Gi" }, partitions: 64, config });
  const written = await store.inPod(`
    (async () => {
      const base = "http://${NAME}:7400/v1/kv/ballast-";
      for (let i = 0; i < ${PAIRS}; i += 50)
        await Promise.all(Array.from({length: 50}, (_, j) => fetch(base + (i + j), {method: "PUT", body: "x".repeat(1024)})
          .then((r) => { if (r.status !== 204) throw new Error(String(r.status)); })));
      console.log("written");
    })();`);
  assert.equal(written.trim(), "written");
});

afterAll(() => store.uninstall());

describe("a store whose operator is killed", () => {
  it.each(["prepare", "switch", "cleaning"] as const)(
    "loses nothing, and tells the truth, when it is in %s",
    async (phase) => {
      await underLoad(store, `killed-in-${phase}`, async () => {
        for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
          const isSmall = numberAt(await store.cluster(), "spec", "replicas") === SIZES[0];
          // Only where somebody leaves is something cleaned up.
          if (phase === "cleaning" && isSmall) await grow();
          if (await killIn(phase, isSmall && phase !== "cleaning" ? SIZES[1] : SIZES[0])) return;
        }
        assert.fail(`in none of ${ATTEMPTS} changes it could be killed in ${phase}`);
      });
    },
  );

  it("has volumes, pods and members as the spec asks for at the end", async () => {
    const replicas = numberAt(await store.cluster(), "spec", "replicas");
    await until("as many pods as members", 60, async () => (await store.pods()).length === replicas);
    assert.equal(numberAt(await get(store.namespace, "statefulset", NAME), "spec", "replicas"), replicas);
  });
});
