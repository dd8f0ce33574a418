/**
 * Both sides of a cut: two members in each of three zones, and one zone is cut off. Pods of a cut zone have no DNS. Needs
 * the rig's tools.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { ADMIN_URL_IN_POD } from "./admin-port.ts";
import { until } from "./kubectl.ts";
import { underLoad } from "./load.ts";
import { farMembers, inContainer, type Placed, placedMembers, resetConnections, tool } from "./rig.ts";
import { createStore, tell, timed } from "./store.ts";

const NAMESPACE = "annulus-cut-zone";
const store = createStore(NAMESPACE);
const PEER_PORT = 7402;
const MEMBERS = 6;
const KEYS = 40;

beforeAll(() => store.install({ replicas: MEMBERS, storage: { size: "1Gi" }, partitions: 64, zones: { minimum: 3 } }));

afterAll(() => store.uninstall());

/** To how many others a member has links, by its own metrics. */
async function linksOf(member: Placed): Promise<number> {
  const script = `fetch("${ADMIN_URL_IN_POD}/metrics").then((r) => r.text())
    .then((text) => console.log(/^annulus_transport_links(?:{[^}]*})? (\\S+)/m.exec(text)[1]))`;
  return Number(await inContainer(member, script));
}

async function untilLinks(members: readonly Placed[], links: number): Promise<void> {
  const counts = () => Promise.all(members.map(linksOf));
  await until(
    `${links} links at each of ${members.map(({ name }) => name).join(", ")}`,
    180,
    async () => (await counts()).every((count) => count === links),
    async () => `links: ${await counts()}`,
  );
}

/** What the resolver of a member's pod says of another's name: a code, or "found". */
function resolves(member: Placed, other: Placed): Promise<string> {
  const host = `${other.name}.sessions-peers.${NAMESPACE}.svc`;
  return inContainer(member, `require("dns").lookup("${host}", (error) => console.log(error?.code ?? "found"))`);
}

/** Breaks the links between two members, by their machines, and times how long they take to find each other again. */
async function relink(pair: readonly [Placed, Placed]): Promise<void> {
  const undo: (() => Promise<void>)[] = [];
  try {
    for (const { machine } of new Map(pair.map((one) => [one.machine, one])).values())
      undo.push(await resetConnections(machine, PEER_PORT));
    await untilLinks(pair, 0);
  } finally {
    for (const step of undo) await step();
  }
  await timed("cut-off side, without DNS: connections reset to linked again", () => untilLinks(pair, 1));
}

/** Writes keys through one member and reads them through the other, within the cut-off zone. */
async function writeWithin(writer: Placed, reader: Placed): Promise<void> {
  const repeated = `
    const again = async (request, wanted) => {
      for (let n = 0; n < 20; n++) {
        if (await request().then(wanted, () => false)) return true;
        await new Promise((r) => setTimeout(r, 500));
      }
      return false;
    };
    const url = (i) => "http://127.0.0.1:7400/v1/kv/within-" + i;`;
  const wrote = await inContainer(
    writer,
    `${repeated}
    (async () => {
      let done = 0;
      for (let i = 0; i < ${KEYS}; i++)
        if (await again(() => fetch(url(i), {method: "PUT", body: "v" + i, headers: {"Idempotency-Key": "within" + i}}),
          (r) => r.status === 204)) done++;
      console.log(done);
    })();`,
  );
  assert.equal(Number(wrote), KEYS, "every write through the cut-off side is acknowledged");
  const read = await inContainer(
    reader,
    `${repeated}
    (async () => {
      let found = 0;
      for (let i = 0; i < ${KEYS}; i++)
        if (await again(() => fetch(url(i)), async (r) => r.status === 200 && await r.text() === "v" + i)) found++;
      console.log(found);
    })();`,
  );
  assert.equal(Number(read), KEYS, "the other member of the cut-off side shows each");
  tell(`cut-off side: ${wrote} writes acknowledged by two members without DNS, ${read} read through the other`);
}

/** How many of the keys that the cut-off side wrote are missing, seen from the client's side. */
async function missing(): Promise<number> {
  const script = `
    (async () => {
      let lost = 0;
      for (let i = 0; i < ${KEYS}; i++)
        if (await fetch("http://sessions:7400/v1/kv/within-" + i).then((r) => r.text()) !== "v" + i) lost++;
      console.log(lost);
    })();`;
  return Number(await store.inPod(script));
}

describe("a zone with two members that is cut off", () => {
  it("goes on by itself without DNS, as the others do, and nothing that either side took is lost", async () => {
    const [{ zone }] = await farMembers(store);
    const members = await placedMembers(store);
    const within = members.filter((one) => one.zone === zone);
    const outside = members.filter((one) => one.zone !== zone);
    const [one, other] = within;
    assert.ok(one !== undefined && other !== undefined && within.length === 2, "two members in the zone");
    await untilLinks(members, MEMBERS - 1);
    await underLoad(store, "cut-zone", async () => {
      await tool("zone", "cut", zone);
      try {
        await timed("zone cut to links on its side only", () => untilLinks(within, 1));
        await timed("zone cut to links on the other side only", () => untilLinks(outside, MEMBERS - 3));
        const answer = await timedAnswer(() => resolves(one, other));
        tell(`cut-off side: a name resolves to ${answer.value} after ${answer.seconds.toFixed(1)} s`);
        assert.notEqual(answer.value, "found");
        await relink([one, other]);
        await writeWithin(one, other);
      } finally {
        await tool("zone", "heal", zone);
      }
      await timed("zone healed to settled", () => store.untilSettled("whole again", 240));
    });
    assert.equal(await missing(), 0);
    tell(`cut-off side: 0 of ${KEYS} lost after healing`);
  });
});

async function timedAnswer<Value>(ask: () => Promise<Value>): Promise<{ value: Value; seconds: number }> {
  const beganMs = performance.now();
  const value = await ask();
  return { value, seconds: (performance.now() - beganMs) / 1000 };
}
