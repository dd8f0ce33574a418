/**
 * The admin port of a store whose manifest says nothing of TLS: who is answered there and who is not, and the way of a running store to
 * a plain port and back, by its manifest and by the chart, under writes. Figures are printed.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { ADMIN_PORT } from "../../operator/core/names.ts";
import { at, listAt, textAt } from "../../operator/core/objects.ts";
import { authoritiesOf, domainOf } from "./admin-port.ts";
import { helm, kubectl, until } from "./kubectl.ts";
import { underLoad } from "./load.ts";
import { condition, createStore, NAME, SYSTEM, tell, timed } from "./store.ts";
import { ask } from "./tls-clients.ts";

const NAMESPACE = "annulus-admin-tls";
const CHART = join(import.meta.dirname, "..", "..", "charts", "annulus");
const ROLLED_SECONDS = 400;
const store = createStore(NAMESPACE);

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64 }));

afterAll(() => store.uninstall());

type Member = { readonly name: string; readonly uid: string | undefined; readonly host: string };

async function members(): Promise<Member[]> {
  const pods = await store.pods();
  return pods.map((pod) => {
    const { name, uid } = pod.metadata;
    return { name, uid, host: textAt(pod, "status", "podIP") ?? assert.fail(`${name} has no address`) };
  });
}

/** What a member's admin port answers over TLS to one that knows the store's authority, and holds it to the member's name. */
async function askSecurely({ name, host }: Member, path: string) {
  const place = { host, port: ADMIN_PORT, servername: `${name}.${domainOf(NAMESPACE, NAME)}` };
  return ask(place, path, { ca: await authoritiesOf(NAMESPACE, NAME) });
}

const askPlainly = ({ host }: Member, path: string) => fetch(`http://${host}:${ADMIN_PORT}${path}`);

/** Waits until every member is another pod than before and the store is settled; the store never stops being available meanwhile. */
async function rolled(what: string, before: readonly Member[]): Promise<void> {
  const old = new Set(before.map(({ uid }) => uid));
  await timed(what, () =>
    until(
      "rolled",
      ROLLED_SECONDS,
      async () => {
        const found = await store.cluster();
        assert.equal(condition(found, "Available").status, "True");
        const pods = await store.pods();
        const areNew = pods.length === before.length && pods.every(({ metadata }) => !old.has(metadata.uid));
        return areNew && condition(found, "Progressing").reason === "AsWanted";
      },
      () => kubectl(["-n", NAMESPACE, "describe", "kvc", NAME]),
    ),
  );
}

async function patch(type: "merge" | "json", change: unknown): Promise<void> {
  await kubectl(["-n", NAMESPACE, "patch", "kvc", NAME, `--type=${type}`, "-p", JSON.stringify(change)]);
}

const chartSays = (adminTls: boolean) =>
  helm(
    ...["-n", SYSTEM, "upgrade", "annulus", CHART, "--reuse-values", "--set", `clusters.adminTls=${adminTls}`],
    ...["--wait", "--timeout=90s"],
  );

async function areSecure(): Promise<void> {
  for (const member of await members()) {
    assert.equal((await askSecurely(member, "/v1/cluster")).status, 200);
    await assert.rejects(askPlainly(member, "/v1/cluster"), member.name);
  }
}

async function arePlain(): Promise<void> {
  for (const member of await members()) {
    assert.equal((await askPlainly(member, "/v1/cluster")).status, 200);
    await assert.rejects(askSecurely(member, "/v1/cluster"), member.name);
  }
}

/** Has a port of a pod come to one of this machine while something happens there. */
async function throughPort(pod: string, port: number, happening: (local: number) => Promise<void>): Promise<void> {
  const args = ["-n", NAMESPACE, "port-forward", `pod/${pod}`, `:${port}`];
  const child = spawn("kubectl", args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  try {
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    await happening(Number(/127\.0\.0\.1:(\d+)/.exec(line)?.[1]));
  } finally {
    child.kill();
    await closed;
  }
}

describe("a store whose manifest says nothing of TLS", () => {
  it("has admin ports that speak TLS and nothing else, data ports that are plain, and nothing of it in its manifest", async () => {
    await areSecure();
    for (const member of await members()) {
      const place = { host: member.host, port: ADMIN_PORT, servername: `${member.name}.${domainOf(NAMESPACE, NAME)}` };
      await assert.rejects(ask(place, "/readyz", { ca: "" }), /self-signed|unable to verify|unable to get/i);
      await assert.rejects(
        ask({ ...place, servername: "somebody.else" }, "/readyz", { ca: await authoritiesOf(NAMESPACE, NAME) }),
        /altnames/,
      );
    }
    await store.put("greeting", "hello");
    assert.equal(await store.read("greeting"), "hello");
    assert.deepEqual(at(await store.cluster(), "spec", "tls"), { peers: false, data: false });
    tell("admin ports: answered over TLS to who knows the authority; plain, unknown and misnamed refused");
  });

  it("is worked by the operator: a change of weights becomes one of the ring", async () => {
    await patch("merge", { spec: { weights: { byNode: { [`${NAME}-0`]: 120 } } } });
    await timed("weights changed to settled", () => store.untilSettled("weighed", 120));
    const told = listAt(await store.cluster(), "status", "members").find((one) => textAt(one, "name") === `${NAME}-0`);
    assert.equal(at(told, "weight"), 120);
  });

  it("is reached by the command line in a pod, and by whoever forwards the port and has the authority's certificate", async () => {
    const inPod = (...args: string[]) =>
      kubectl(["-n", NAMESPACE, "exec", `${NAME}-1`, "--", "node", "dist/node/cli/main.js", ...args]);
    assert.match(await inPod("status"), new RegExp(`${NAME}-2`));
    await inPod("weight", `${NAME}-0`, "100", "--dry-run");
    await inPod("put", "by-hand", "value");
    assert.equal(await inPod("get", "by-hand"), "value");
    await throughPort(`${NAME}-0`, ADMIN_PORT, async (port) => {
      const ca = await authoritiesOf(NAMESPACE, NAME);
      const { status, body } = await ask({ host: "127.0.0.1", port, servername: "localhost" }, "/v1/cluster", { ca });
      assert.equal(status, 200);
      assert.equal(textAt(JSON.parse(body), "node"), `${NAME}-0`);
    });
  });
});

describe("the way of a running store, under writes", () => {
  it("leads to plain admin ports where its manifest says so, and back when it says nothing again", async () => {
    await underLoad(store, "manifest", async () => {
      const secure = await members();
      await patch("merge", { spec: { tls: { admin: false } } });
      await rolled("tls.admin false: three members restarted", secure);
      await arePlain();
      const plain = await members();
      await patch("json", [{ op: "remove", path: "/spec/tls/admin" }]);
      await rolled("tls.admin left out: three members restarted", plain);
      await areSecure();
    });
  });

  it("leads there and back by the value of the chart, too", async () => {
    await underLoad(store, "chart", async () => {
      const secure = await members();
      await chartSays(false);
      await rolled("clusters.adminTls=false: three members restarted", secure);
      await arePlain();
      const plain = await members();
      await chartSays(true);
      await rolled("clusters.adminTls=true: three members restarted", plain);
      await areSecure();
    });
  });
});
