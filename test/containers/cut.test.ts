/**
 * Three containers of the image that ships, each pair of them on a network of its own: one of the three networks is cut,
 * so that two members do not reach each other while both reach the third.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import {
  GenericContainer,
  getContainerRuntimeClient,
  Network,
  type StartedNetwork,
  type StartedTestContainer,
  Wait,
} from "testcontainers";

const IMAGE = process.env.ANNULUS_TEST_IMAGE ?? "annulus:test";
const NAMES = ["a", "b", "c"] as const;
type Name = (typeof NAMES)[number];
const LINKS = ["ab", "bc", "ca"] as const;
type Link = (typeof LINKS)[number];
const DATA_PORT = 7400;
const ADMIN_PORT = 7401;
const PEER_PORT = 7402;
const WITHIN_MS = 180_000;

const networks = new Map<Link, StartedNetwork>();
const containers = new Map<Name, StartedTestContainer>();

const required = <Key, Value>(map: ReadonlyMap<Key, Value>, key: Key): Value =>
  map.get(key) ?? assert.fail(`there is no ${String(key)}`);
const linksOf = (name: Name) => LINKS.filter((link) => link.includes(name));
/** Where a port of a member is published: anew after each change of its networks. */
const published = new Map<string, string>();
const urlOf = (name: Name, port: number) => required(published, `${name}:${port}`);

/** Asks the engine which ports it publishes: it chooses others whenever a container's networks change. */
async function lookUpPorts(name: Name): Promise<void> {
  const { container } = await getContainerRuntimeClient();
  const started = required(containers, name);
  const { NetworkSettings } = await container.dockerode.getContainer(started.getId()).inspect();
  for (const port of [DATA_PORT, ADMIN_PORT]) {
    const [binding] = NetworkSettings.Ports[`${port}/tcp`] ?? [];
    assert.ok(binding, `port ${port} of ${name} is published`);
    published.set(`${name}:${port}`, `http://${started.getHost()}:${binding.HostPort}`);
  }
}

/** Puts a member on a network, or takes it off. */
async function link(name: Name, on: Link, isConnected: boolean): Promise<void> {
  const { container } = await getContainerRuntimeClient();
  const network = container.dockerode.getNetwork(required(networks, on).getId());
  const Container = required(containers, name).getId();
  if (isConnected) await network.connect({ Container, EndpointConfig: { Aliases: [name] } });
  else await network.disconnect({ Container });
  await lookUpPorts(name);
}

/** Asks until it is so: a request that fails meanwhile, as published ports change, is asked again. */
async function until(what: string, isDone: () => Promise<boolean>): Promise<number> {
  const beganMs = performance.now();
  while (!(await isDone().catch(() => false))) {
    assert.ok(performance.now() - beganMs < WITHIN_MS, `not within ${WITHIN_MS} ms: ${what}`);
    await sleep(100);
  }
  return performance.now() - beganMs;
}

/**
 * Whether a new connection from one member to the other's peer port can be made. Their health says less: each hears of
 * the other through the third.
 */
async function reaches(from: Name, to: Name): Promise<boolean> {
  const script = `
    const socket = require("node:net").connect({ host: "${to}", port: ${PEER_PORT} });
    socket.setTimeout(3000, () => process.exit(1));
    socket.on("error", () => process.exit(1));
    socket.on("connect", () => process.exit(0));`;
  return (await required(containers, from).exec(["node", "-e", script])).exitCode === 0;
}

/** How a member sees another. */
async function healthOf(name: Name, by: Name): Promise<string> {
  const response = await fetch(`${urlOf(by, ADMIN_PORT)}/v1/cluster`);
  const { members } = (await response.json()) as { members: { name: string; health: string }[] };
  return members.find((member) => member.name === name)?.health ?? "unknown";
}

const allUp = async () =>
  (await Promise.all(NAMES.flatMap((by) => NAMES.map((name) => healthOf(name, by))))).every(
    (health) => health === "up",
  );

/** Writes the same until it is acknowledged: what is promised is asked for here, not how soon. */
async function put(through: Name, key: string, value: string): Promise<void> {
  await until(`${key} is acknowledged through ${through}`, async () => {
    const response = await fetch(`${urlOf(through, DATA_PORT)}/v1/kv/${key}?w=2`, { method: "PUT", body: value });
    await response.body?.cancel();
    return response.status === 204;
  });
}

/** What a member answers with the agreement of `r` homes, as soon as it does: too few homes in time is asked again. */
async function read(through: Name, key: string, r: number): Promise<string> {
  let found = "";
  await until(`${key} is read by ${r} homes through ${through}`, async () => {
    const response = await fetch(`${urlOf(through, DATA_PORT)}/v1/kv/${key}?r=${r}`);
    found = response.status === 200 ? await response.text() : `status ${response.status}`;
    if (response.status !== 200) await response.body?.cancel();
    return response.status === 200 || response.status === 404;
  });
  return found;
}

beforeAll(async () => {
  for (const name of LINKS) networks.set(name, await new Network().start());
  const members = NAMES.map((name) => `${name}=${name}:${PEER_PORT}@zone-${name}`).join(",");
  await Promise.all(
    NAMES.map(async (name) => {
      const [first, second] = linksOf(name);
      assert.ok(first !== undefined && second !== undefined);
      const started = await new GenericContainer(IMAGE)
        .withEnvironment({
          ANNULUS_CLUSTER: "containers",
          ANNULUS_NODE: name,
          ANNULUS_ZONE: `zone-${name}`,
          ANNULUS_MEMBERS: members,
        })
        .withNetwork(required(networks, first))
        .withNetworkAliases(name)
        .withExposedPorts(DATA_PORT, ADMIN_PORT)
        // Only once it is on both of its networks can it found a ring with the others.
        .withWaitStrategy(Wait.forListeningPorts())
        .start();
      containers.set(name, started);
      await link(name, second, true);
    }),
  );
  await until("there is a ring and all are up", allUp);
});

afterAll(async () => {
  await Promise.all([...containers.values()].map((container) => container.stop()));
  await Promise.all([...networks.values()].map((network) => network.stop()));
});

describe("three containers on three networks", () => {
  const KEYS = Array.from({ length: 50 }, (_, index) => `key-${index}`);

  it("write through both sides of a cut, lose nothing, and are the same once it is healed", async () => {
    await link("a", "ab", false);
    const cutMs = await until(
      "neither reaches the other",
      async () => !(await reaches("a", "b")) && !(await reaches("b", "a")),
    );
    await until("both reach the third", async () => (await reaches("a", "c")) && (await reaches("c", "b")));
    for (const key of KEYS) {
      await put("a", `a-${key}`, `a of ${key}`);
      await put("b", `b-${key}`, `b of ${key}`);
    }
    // Both sides meet in the third member: R + W > N holds across the cut.
    for (const key of KEYS) {
      assert.equal(await read("b", `a-${key}`, 2), `a of ${key}`);
      assert.equal(await read("a", `b-${key}`, 2), `b of ${key}`);
    }
    await link("a", "ab", true);
    // Links are dialled anew by their own time: healed is when every member reads from all three.
    const healedMs = await until("every member reads from all homes", async () => {
      await Promise.all(NAMES.map((name) => read(name, `a-${KEYS[0]}`, 3)));
      return true;
    });
    for (const side of ["a", "b"]) {
      for (const key of KEYS) {
        const views = await Promise.all(NAMES.map((name) => read(name, `${side}-${key}`, 3)));
        assert.deepEqual(
          views,
          NAMES.map(() => `${side} of ${key}`),
        );
      }
    }
    process.stdout.write(
      `figure: cut after ${cutMs.toFixed(0)} ms, healed after ${healedMs.toFixed(0)} ms, ` +
        `${2 * KEYS.length} writes, 0 lost\n`,
    );
  });
});
