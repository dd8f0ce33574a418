/**
 * Tokens on a real Kubernetes: what a manifest that says nothing of them lets everybody do, the administrator's token and
 * its change, and tokens that a manifest names. Figures are printed.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { textAt } from "../../operator/core/objects.ts";
import { adminUrl, askFrom, authoritiesOf } from "./admin-port.ts";
import { apply, get, kubectl, run, until } from "./kubectl.ts";
import { condition, createStore, NAME, timed } from "./store.ts";

const NAMESPACE = "annulus-access";
const store = createStore(NAMESPACE);
const SECRET = `${NAME}-access`;
const SHOP = "shop-".repeat(8);
/** Without being hurried the operator looks again every 30 s, and kubelets bring a changed Secret within two minutes. */
const BROUGHT_SECONDS = 200;

beforeAll(() => store.install({ storage: { size: "1Gi" }, partitions: 64 }));

afterAll(() => store.uninstall());

const admin = adminUrl(NAMESPACE, NAME);
const data = `http://${NAME}:7400`;

/** Status of a request from the client's pod; over all members where the URL names the Service. */
async function status(method: string, url: string, token?: string, body?: string): Promise<number> {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  if (url.startsWith("https")) {
    const ca = await authoritiesOf(NAMESPACE, NAME);
    return (await askFrom(store.inPod, url, { method, headers, body, ca })).status;
  }
  const request = `fetch(${JSON.stringify(url)}, ${JSON.stringify({ method, headers, body })})`;
  return Number(await store.inPod(`${request}.then((r) => console.log(r.status))`));
}

async function fileIn(file: string): Promise<string> {
  const text = textAt(await get(NAMESPACE, "secret", SECRET), "data", file);
  return Buffer.from(text ?? "", "base64").toString();
}

async function merge(kind: string, name: string, patch: object): Promise<void> {
  await kubectl(["-n", NAMESPACE, "patch", kind, name, "--type=merge", "-p", JSON.stringify(patch)]);
}

const uids = async () => (await store.pods()).map(({ metadata }) => metadata.uid).sort();

describe("a store whose manifest says nothing of access", () => {
  it("lets everybody read, write and look, and nobody change the ring without the administrator's token", async () => {
    assert.equal(await status("PUT", `${data}/v1/kv/a`, undefined, "one"), 204);
    assert.equal(await status("GET", `${data}/v1/kv/a`), 200);
    for (const path of ["/healthz", "/readyz", "/metrics", "/v1/cluster", "/v1/ring", "/v1/ring/a"])
      assert.equal(await status("GET", `${admin}${path}`), 200, path);
    assert.equal(await status("GET", `${admin}/v1/export?partition=0`), 200);
    assert.equal(await status("POST", `${admin}/v1/repair`), 401);
    assert.equal(await status("POST", `${admin}/v1/repair`, await fileIn("admin-token")), 202);
  });

  it("grows, for which the operator shows the token; and the command line in a pod has it", async () => {
    await merge("kvc", NAME, { spec: { replicas: 4 } });
    await timed("3 to 4 members", () => store.untilSettled("grown", 180));
    const weigh = ["weight", `${NAME}-0`, "120", "--dry-run"];
    const inPod = ["-n", NAMESPACE, "exec", `${NAME}-0`, "--", "node", "dist/node/cli/main.js", ...weigh];
    await kubectl(inPod);
    const { code, err } = await run("kubectl", [
      ...inPod.slice(0, 4),
      "--",
      "env",
      "-u",
      "ANNULUS_TOKEN_FILE",
      ...inPod.slice(5),
    ]);
    assert.notEqual(code, 0);
    assert.match(err, /401/);
  });
});

describe("the administrator's token", () => {
  it("is another when it was deleted: that one holds at once, the one before no more once the kubelets were there", async () => {
    const [before, next] = [await fileIn("admin-token"), await fileIn("admin-token.next")];
    const pods = await uids();
    await kubectl([
      ...["-n", NAMESPACE, "patch", "secret", SECRET, "--type=json", "-p"],
      '[{"op": "remove", "path": "/data/admin-token"}]',
    ]);
    await until("the next one has taken its place", 60, async () => (await fileIn("admin-token")) === next);
    assert.equal(await status("POST", `${admin}/v1/repair`, next), 202);
    await timed("deleted to refused, hurried", () =>
      until("it is refused", BROUGHT_SECONDS, async () => {
        await store.hurry();
        return (await status("POST", `${admin}/v1/repair`, before)) === 401;
      }),
    );
    assert.equal(await status("POST", `${admin}/v1/repair`, next), 202);
    assert.deepEqual(await uids(), pods);
  });
});

describe("tokens that a manifest names", () => {
  it("are the only way in where it lets nobody in without one, and go with their Secret; no request was refused on the way", async () => {
    const tokens = [{ name: "shop", secret: { name: "shop-token" }, data: "read-write", prefixes: ["cart%2F"] }];
    const anonymous = { data: "read-write", cluster: "monitor" };
    await merge("kvc", NAME, { spec: { access: { anonymous, tokens } } });
    await until("it is missed", 60, async () => {
      return condition(await store.cluster(), "Degraded").reason === "TokenUnusable";
    });
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "shop-token", namespace: NAMESPACE } };
    const made = await apply({ ...secret, type: "annulus.dev/token", stringData: { token: SHOP } });
    assert.equal(made.code, 0, made.err);
    // Each request may reach another member.
    await timed("Secret made to known to the members, hurried", () =>
      until("it is known", BROUGHT_SECONDS, async () => {
        await store.hurry();
        for (let asked = 0; asked < 12; asked += 1)
          if ((await status("GET", `${data}/v1/kv/cart%2F1`, SHOP)) === 401) return false;
        return true;
      }),
    );
    await merge("kvc", NAME, { spec: { access: { anonymous: { data: "none" } } } });
    await timed("closed", () => store.untilSettled("closed", 300));
    assert.equal(await status("PUT", `${data}/v1/kv/cart%2F1`, SHOP, "one"), 204);
    assert.equal(await status("GET", `${data}/v1/kv/cart%2F1`), 401);
    assert.equal(await status("PUT", `${data}/v1/kv/other`, SHOP, "one"), 403);
    assert.equal(await status("GET", `${admin}/v1/export?partition=0`), 401);
    assert.equal(await status("GET", `${admin}/v1/cluster`), 200);
    await kubectl(["-n", NAMESPACE, "delete", "secret", "shop-token"]);
    await timed("Secret deleted to refused, hurried", () =>
      until("it is refused", BROUGHT_SECONDS, async () => {
        await store.hurry();
        return (await status("GET", `${data}/v1/kv/cart%2F1`, SHOP)) === 401;
      }),
    );
  });
});
