import assert from "node:assert/strict";
import { connect } from "node:tls";
import { afterEach, beforeAll, beforeEach, describe, it, jest } from "@jest/globals";
import { socketNetwork } from "../../../node/adapters/tcp/sockets.ts";
import type { Network } from "../../../node/adapters/tcp/wire.ts";
import { read, Scene, type TestNode, textIn } from "../../contract/transport-world.ts";
import { type Issued, TestAuthority } from "../../tls/authority.ts";
import { createTcpWorld } from "./tcp-world.ts";
import { type MemberFiles, networkOf, TestCredentials, withoutCertificate } from "./tls-world.ts";

// Conditions are waited for, not times: a machine that has other things to do may take long.
jest.setTimeout(60_000);

const HOUR_MS = 3_600_000;
let ours: TestAuthority;
let others: TestAuthority;
let a: MemberFiles;
let b: MemberFiles;
beforeAll(async () => {
  ours = await TestAuthority.create("ours");
  others = await TestAuthority.create("others");
  a = trusting(await ours.issue({ names: ["a"] }), ours);
  b = trusting(await ours.issue({ names: ["b"] }), ours);
});

function trusting(issued: Issued, ...authorities: readonly TestAuthority[]): MemberFiles {
  return { ...issued, authorities: authorities.map(({ pem }) => pem).join("") };
}

/** What the machine of each member is on. */
let networks: Record<string, () => Network>;
let scene: Scene;
beforeEach(() => {
  networks = { a: () => networkOf(new TestCredentials(a)) };
  scene = new Scene(
    createTcpWorld((name) => {
      const create = networks[name];
      assert(create !== undefined, `${name} has a network`);
      return create();
    }),
  );
});
afterEach(() => scene.end());

const refusals = (node: TestNode) => node.telemetry.events.filter((event) => event === "stranger.refused").length;

/** Lets b dial a, then a dial b, each several times. */
async function assertRefused(): Promise<[TestNode, TestNode]> {
  const [here, stranger] = [await scene.started("a"), await scene.started("b")];
  stranger.peers(here);
  await scene.until(() => here.counted("refused_strangers") >= 3 && stranger.counted("refused_strangers") >= 3);
  assert.deepEqual([refusals(here), refusals(stranger)], [1, 1]);
  assert(!here.isLinked(stranger) && !stranger.isLinked(here));
  await scene.refused(stranger.transport.ask(here.address, read("k"), 10_000), "PEER_UNREACHABLE", "none");
  stranger.transport.setPeers([]);
  const before = here.counted("refused_strangers") + here.counted("failed_handshakes");
  here.peers(stranger);
  await scene.until(() => here.counted("refused_strangers") + here.counted("failed_handshakes") >= before + 2);
  await scene.refused(here.request(stranger, read("k")), "PEER_UNREACHABLE", "none");
  assert.equal(here.transport.identityOf(stranger.name), undefined);
  assert.deepEqual([here.counted("opened_links"), stranger.counted("opened_links")], [0, 0]);
  return [here, stranger];
}

describe("where certificates are required, a peer is refused, counted, and logged once", () => {
  it("that speaks plainly", async () => {
    networks.b = socketNetwork;
    await assertRefused();
  });

  it("that shows no certificate", async () => {
    networks.b = () => networkOf(withoutCertificate(b));
    const [here, stranger] = [await scene.started("a"), await scene.started("b")];
    stranger.peers(here);
    await scene.until(() => here.counted("refused_strangers") >= 3 && stranger.counted("refused_strangers") >= 3);
    assert.deepEqual([refusals(here), refusals(stranger)], [1, 1]);
    assert(!here.isLinked(stranger) && !stranger.isLinked(here));
  });

  it("that has a certificate of another cluster", async () => {
    const files = trusting(await others.issue({ names: ["b"] }), others);
    networks.b = () => networkOf(new TestCredentials(files));
    await assertRefused();
  });

  it("that has a certificate of another cluster and trusts this one", async () => {
    const files = trusting(await others.issue({ names: ["b"] }), others, ours);
    networks.b = () => networkOf(new TestCredentials(files));
    await assertRefused();
  });

  it("that has a certificate of another member, of no member, or of a wildcard", async () => {
    for (const name of ["c", "b.example", "*"]) {
      const files = trusting(await ours.issue({ names: [name] }), ours);
      networks.b = () => networkOf(new TestCredentials(files));
      await assertRefused();
      await scene.end();
    }
  });

  it("whose certificate has expired", async () => {
    const until = new Date(Date.now() - HOUR_MS);
    const files = trusting(await ours.issue({ names: ["b"], until }), ours);
    networks.b = () => networkOf(new TestCredentials(files, Date.now() - 2 * HOUR_MS));
    await assertRefused();
  });

  it("that comes back with the session of an earlier connection, in place of a certificate", async () => {
    const here = await scene.started("a");
    const [host, port] = here.address.split(":");
    const visit = async (session?: Buffer) => {
      const [cert, key] = session === undefined ? [b.certificate, b.key] : [];
      const socket = connect({ host, port: Number(port), cert, key, session, rejectUnauthorized: false });
      let [given, isReused]: [Buffer | undefined, boolean | undefined] = [undefined, undefined];
      socket.on("session", (next) => {
        given = next;
      });
      socket.on("secureConnect", () => {
        isReused = socket.isSessionReused();
      });
      await scene.until(() => given !== undefined || socket.closed); // It waits for a hello, and not for long.
      socket.destroy();
      return { given, isReused };
    };
    const { given } = await visit();
    const { isReused } = await visit(given ?? Buffer.alloc(0));
    assert.equal(isReused, false);
  });

  it("that knows no TLS 1.3", async () => {
    const here = await scene.started("a");
    const [host, port] = here.address.split(":");
    const socket = connect({ host, port: Number(port), maxVersion: "TLSv1.2", rejectUnauthorized: false });
    socket.on("error", () => {}); // That it fails is seen on the other side.
    await scene.until(() => here.counted("refused_strangers") === 1 && socket.closed);
    assert.equal(refusals(here), 1);
  });
});

describe("where certificates are allowed", () => {
  beforeEach(() => {
    networks.a = () => networkOf(new TestCredentials(a), "allow");
  });

  it("a plain peer is linked with, whoever of the two dials, and told of", async () => {
    networks.b = socketNetwork;
    for (const direction of ["in", "out"]) {
      const [here, plain] = [await scene.started("a"), await scene.started("b")];
      if (direction === "in") plain.peers(here);
      else here.peers(plain);
      await scene.linked(here, plain);
      assert.equal(textIn(await scene.settle(here.request(plain, read("k")))), "k");
      assert.equal(here.gauge("untrusted_links"), 1);
      assert.equal(textIn(await scene.settle(here.transport.ask(plain.address, read("s"), 10_000))), "s");
      here.kill("process");
      plain.kill("process");
    }
  });

  it("a peer with a certificate is linked with over TLS, one that allows or requires", async () => {
    for (const mode of ["allow", "require"] as const) {
      networks.b = () => networkOf(new TestCredentials(b), mode);
      const [here, peer] = [await scene.started("a"), await scene.started("b")];
      here.peers(peer);
      await scene.linked(here, peer);
      assert.equal(textIn(await scene.settle(peer.request(here, read("k")))), "k");
      assert.deepEqual([here.gauge("untrusted_links"), peer.gauge("untrusted_links")], [0, 0]);
      here.kill("process");
      peer.kill("process");
    }
  });

  it("a peer with a certificate that would be refused is linked with, and told of", async () => {
    const files = trusting(await others.issue({ names: ["b"] }), others);
    networks.b = () => networkOf(new TestCredentials(files), "allow");
    const [here, peer] = [await scene.started("a"), await scene.started("b")];
    here.peers(peer);
    await scene.linked(here, peer);
    assert.deepEqual([here.gauge("untrusted_links"), peer.gauge("untrusted_links")], [1, 1]);
  });
});

describe("certificates and authorities that are exchanged under load", () => {
  it("cost no request: links stay, new connections use the new ones, and the old authority ends with its bundle", async () => {
    const [credentialsA, credentialsB] = [new TestCredentials(a), new TestCredentials(b)];
    networks.a = () => networkOf(credentialsA);
    networks.b = () => networkOf(credentialsB);
    networks.late = networks.b;
    const [here, peer] = [await scene.started("a"), await scene.started("b")];
    here.peers(peer);
    await scene.linked(here, peer);
    let answered = 0;
    let isOver = false;
    const load = async (ask: () => Promise<unknown>) => {
      while (!isOver) {
        await ask();
        answered++;
      }
    };
    const clients = Promise.all([
      load(() => here.request(peer, read("k"))),
      load(() => peer.request(here, read("k"))),
      load(() => here.transport.ask(peer.address, read("new connection"), 20_000)),
      load(() => peer.transport.ask(here.address, read("new connection"), 20_000)),
    ]);
    let failure: unknown;
    clients.catch((error: unknown) => {
      failure = error;
    });
    const more = async () => {
      const target = answered + 200;
      await scene.until(() => answered >= target || failure !== undefined);
      assert.equal(failure, undefined);
    };
    await more();
    const issuedA = await others.issue({ names: ["a"] });
    const issuedB = await others.issue({ names: ["b"] });
    const steps: [TestCredentials, MemberFiles][] = [
      [credentialsA, trusting(a, ours, others)],
      [credentialsB, trusting(b, ours, others)],
      [credentialsA, trusting(issuedA, ours, others)],
      [credentialsB, trusting(issuedB, ours, others)],
      [credentialsA, trusting(issuedA, others)],
      [credentialsB, trusting(issuedB, others)],
    ];
    for (const [credentials, files] of steps) {
      credentials.rotate(files);
      await more();
    }
    isOver = true;
    await scene.settle(clients);
    assert.deepEqual([here.counted("opened_links"), peer.counted("opened_links")], [1, 1]);
    assert.deepEqual([here.counted("refused_strangers"), peer.counted("refused_strangers")], [0, 0]);
    // Whoever comes with the old authority's certificate only is a stranger by now.
    networks.b = () => networkOf(new TestCredentials(b));
    const old = await scene.started("b");
    await scene.refused(old.transport.ask(here.address, read("k"), 20_000), "PEER_UNREACHABLE", "none");
    assert(here.isLinked(peer));
  });
});
