/**
 * A store that speaks TLS on all its ports, with certificates that the operator makes: who is refused without one, and
 * certificates that are renewed under a history. Figures are printed.
 */
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { createCertificateMaker } from "../../operator/adapters/certificates.ts";
import {
  AUTHORITY_FILE,
  AUTHORITY_KEY_FILE,
  certificatesIn,
  encoded,
  isIssued,
} from "../../operator/core/certificates.ts";
import { authorityName, tlsName } from "../../operator/core/names.ts";
import { textAt } from "../../operator/core/objects.ts";
import { TestAuthority } from "../tls/authority.ts";
import { createHistoryLoad } from "./history-load.ts";
import { get, kubectl, until } from "./kubectl.ts";
import { NAME, tell, timed } from "./store.ts";
import { ask, greet, type Shown } from "./tls-clients.ts";
import { ADMIN_PORT, createTlsStore, DATA_PORT, PEER_PORT, TLS_SPEC } from "./tls-store.ts";

const NAMESPACE = "annulus-tls";
const { store, members, domain, service, ...tls } = createTlsStore(NAMESPACE);
const DAY_MS = 86_400_000;
/** Without being hurried the operator looks again every 30 s, and kubelets bring a changed Secret within two minutes. */
const RENEWED_SECONDS = 300;
const UNTRUSTED = "annulus_transport_untrusted_links";
const REFUSED = "annulus_transport_refused_strangers_total";
/** What a client is told by a server that wants another certificate, or none of its kind. */
const REFUSAL = /alert|ECONNRESET|EPIPE|socket hang up/i;

beforeAll(() => store.install(TLS_SPEC));

afterAll(() => store.uninstall());

async function refusalsTold(member: string): Promise<string[]> {
  const log = await kubectl(["-n", NAMESPACE, "logs", member, "--tail=-1"]);
  return log.split("\n").filter((line) => line.includes("stranger.refused"));
}

/** Gives every member a certificate of the store's authority that has few days left, as if two months had passed. */
async function nearTheirEnd(): Promise<void> {
  const by = {
    certificate: await tls.fileOf(authorityName(NAME), AUTHORITY_FILE),
    key: await tls.fileOf(authorityName(NAME), AUTHORITY_KEY_FILE),
  };
  const span = { fromMs: Date.now() - 70 * DAY_MS, untilMs: Date.now() + 20 * DAY_MS };
  const data: Record<string, string> = {};
  for (const member of members) {
    const names = [`${member}.${domain}`, domain, service, `${NAME}.${NAMESPACE}`, NAME, "localhost"];
    const { certificate, key } = await createCertificateMaker().issue(by, names, span);
    data[`${member}.crt`] = encoded(certificate);
    data[`${member}.key`] = encoded(key);
  }
  const patch = JSON.stringify({ data });
  await kubectl(["-n", NAMESPACE, "patch", "secret", tlsName(NAME), "--type=merge", "-p", patch]);
}

/** Whether a member has a certificate that will last, and shows it. */
async function isRenewed(member: string): Promise<boolean> {
  const [wanted] = certificatesIn((await tls.shownOf(member)).cert);
  const leftMs = (wanted?.validToDate.getTime() ?? 0) - Date.now();
  return leftMs > 60 * DAY_MS && (await tls.showsIt(member));
}

describe("a store whose ports speak TLS", () => {
  it("is available, with a certificate for each member by the operator's authority, and no link without", async () => {
    const [own] = certificatesIn(await tls.authorities());
    assert.ok(own !== undefined);
    for (const member of members) {
      const [certificate] = certificatesIn((await tls.shownOf(member)).cert);
      assert.ok(certificate !== undefined && isIssued(certificate, own));
      for (const name of [`${member}.${domain}`, service]) assert.equal(certificate.checkHost(name), name);
      const days = (certificate.validToDate.getTime() - Date.now()) / DAY_MS;
      assert.ok(days > 80 && days < 91, `valid for ${days} days`);
      assert.ok(await tls.showsIt(member));
      assert.equal(await tls.figureOf(member, "annulus_transport_links"), 2);
      assert.equal(await tls.figureOf(member, UNTRUSTED), 0);
    }
  });

  it("refuses clients without a certificate of its authority, and those that speak plainly", async () => {
    const [first = ""] = members;
    const host = textAt(await get(NAMESPACE, "service", NAME), "spec", "clusterIP") ?? "";
    const place = { host, port: DATA_PORT, servername: service };
    const ca = await tls.authorities();
    const stranger = await (await TestAuthority.create("others")).issue({ names: ["client"] });
    await assert.rejects(ask(place, "/v1/kv/a", { ca }), REFUSAL);
    await assert.rejects(ask(place, "/v1/kv/a", { ca, cert: stranger.certificate, key: stranger.key }), REFUSAL);
    await assert.rejects(fetch(`http://${host}:${DATA_PORT}/v1/kv/a`));
    await assert.rejects(fetch(`http://${await tls.addressOf(first)}:${ADMIN_PORT}/v1/cluster`));
    assert.equal((await ask(place, "/v1/kv/a", { ca, ...(await tls.shownOf(first)) })).status, 404);
    tell("clients without a certificate, with another authority's, and without TLS: refused; with one: answered");
  });

  it("refuses peers without a certificate, with another authority's, with another member's name; counts and tells it", async () => {
    const [meant = "", one = "", two = ""] = members;
    const clusterId = await tls.settingOf("ANNULUS_CLUSTER");
    const visit = async (as: string, shown: Shown | undefined, isPlain = false) => {
      const place = { host: await tls.addressOf(meant), port: PEER_PORT };
      return greet(place, { clusterId, as, meant, ca: await tls.authorities(), shown, isPlain });
    };
    const ofOne = await tls.shownOf(one);
    assert.equal((await visit(one, ofOne)).kind, "linked", "with its own certificate");
    const before = await tls.figureOf(meant, REFUSED);
    const toldBefore = (await refusalsTold(meant)).length;
    const forged = await (await TestAuthority.create("others")).issue({ names: [`${one}.${domain}`] });
    const strangers: [string, () => ReturnType<typeof visit>][] = [
      ["plain", () => visit(one, undefined, true)],
      ["without a certificate", () => visit(one, undefined)],
      ["with another authority's", () => visit(one, { cert: forged.certificate, key: forged.key })],
      ["with another member's name", () => visit(two, ofOne)],
    ];
    const times = 3;
    for (const [who, come] of strangers)
      for (let time = 0; time < times; time += 1) assert.notEqual((await come()).kind, "linked", who);
    const visits = strangers.length * times;
    await until("each is counted", 60, async () => (await tls.figureOf(meant, REFUSED)) >= before + visits);
    const told = (await refusalsTold(meant)).slice(toldBefore);
    const ways = told.map((line) => {
      const { direction, name, other, reason } = JSON.parse(line) as Record<string, string>;
      return `${direction} ${name ?? other?.replace(/:\d+$/, "")} ${reason}`;
    });
    assert.ok(ways.length > 0 && new Set(ways).size === ways.length, `each way is told once: ${ways.join("; ")}`);
    assert.equal(await tls.figureOf(meant, "annulus_transport_links"), 2);
    tell(`strange peers: ${visits} refused and counted, told ${ways.length} times: ${ways.join("; ")}`);
  });

  it("has certificates renewed near their end under a history, without a restart: no request is lost", async () => {
    const uids = async () => (await store.pods()).map(({ metadata }) => metadata.uid).sort();
    const before = await uids();
    const [first = ""] = members;
    const ca = await tls.authorities();
    const load = createHistoryLoad(store, { ca, servername: service, ...(await tls.shownOf(first)) });
    await load.during("certificates renewed", async (progress) => {
      await progress(300);
      await nearTheirEnd();
      assert.ok(!(await isRenewed(first)));
      await timed("certificates near their end to renewed ones on all ports, hurried", () =>
        until(
          "renewed",
          RENEWED_SECONDS,
          async () => {
            await store.hurry();
            return (await Promise.all(members.map(isRenewed))).every(Boolean);
          },
          () => kubectl(["-n", NAMESPACE, "get", "events"]),
        ),
      );
      await progress(1_000);
    });
    assert.deepEqual(await uids(), before);
    for (const member of members) assert.equal(await tls.figureOf(member, UNTRUSTED), 0);
  });
});
