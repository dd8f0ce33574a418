/**
 * Members that show each other certificates, as processes: from plain to required in two rolls, a new authority under load
 * without a restart, and a process with a certificate of another name, which is refused.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { History } from "../sim/history.ts";
import { type Issued, TestAuthority } from "../tls/authority.ts";
import { Clients } from "./clients.ts";
import { viewOf } from "./rest.ts";
import { SEED } from "./world.ts";

const NAMES = ["node-0", "node-1", "node-2"];
const DOMAIN = "peers.example";
const PATIENCE_MS = 60_000;
const POLL_MS = 20;

let directory: string;
let mode: "off" | "allow" | "require";
let cluster: LocalCluster | undefined;
let clients: Clients | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "annulus-peer-tls-"));
});
afterEach(async () => {
  await Promise.allSettled([clients?.stop()]);
  await cluster?.stop();
  rmSync(directory, { recursive: true });
  clients = undefined;
  cluster = undefined;
});

const fileOf = (name: string, kind: "crt" | "key" | "ca") => join(directory, `${name}.${kind}`);

function settingsOf(name: string): Record<string, string> {
  if (mode === "off") return {};
  return {
    ANNULUS_PEER_TLS: mode,
    ANNULUS_PEER_TLS_CERTIFICATE_FILE: fileOf(name, "crt"),
    ANNULUS_PEER_TLS_KEY_FILE: fileOf(name, "key"),
    ANNULUS_PEER_TLS_CA_FILE: fileOf(name, "ca"),
    ANNULUS_PEER_TLS_DOMAIN: DOMAIN,
    ANNULUS_TLS_RELOAD_INTERVAL_MS: "100",
  };
}

function writeIssued(name: string, { certificate, key }: Issued): void {
  writeFileSync(fileOf(name, "crt"), certificate);
  writeFileSync(fileOf(name, "key"), key);
}

function writeAuthorities(...authorities: readonly TestAuthority[]): void {
  for (const name of NAMES) writeFileSync(fileOf(name, "ca"), authorities.map(({ pem }) => pem).join(""));
}

async function issueAll(authority: TestAuthority): Promise<void> {
  for (const name of NAMES) writeIssued(name, await authority.issue({ names: [`${name}.${DOMAIN}`] }));
}

async function start(as: typeof mode): Promise<LocalCluster> {
  mode = as;
  const settings = { ANNULUS_PARTITIONS: "64" };
  cluster = await LocalCluster.start({ settings, settingsOf, directory: join(directory, "cluster") });
  clients = new Clients(cluster.nodes, new History(), {
    seed: SEED,
    clients: 4,
    keys: 24,
    thinkMsMax: 20,
    mix: ["read", "context", "overwrite"],
    isFresh: false,
    allNamed: true,
  });
  return cluster;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const startedMs = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedMs > PATIENCE_MS) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await sleep(POLL_MS);
  }
}

async function figure({ host, adminPort }: ClusterNode, name: string): Promise<number> {
  const text = await (await fetch(`http://${host}:${adminPort}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(text)?.[1] ?? 0);
}

/** Waits until each node is linked with both others, by links of which `untrusted` would be refused where required. */
async function linked({ nodes }: LocalCluster, untrusted: number): Promise<void> {
  await until(`links, ${untrusted} of them untrusted`, async () => {
    for (const node of nodes) {
      if ((await figure(node, "annulus_transport_links")) !== 2) return false;
      if ((await figure(node, "annulus_transport_untrusted_links")) !== untrusted) return false;
      const { members } = await viewOf(node);
      if (members.some(({ health }) => health !== "up")) return false;
    }
    return true;
  });
}

function failures(of: Clients): Record<string, number> {
  const { readsFailed, writesRefused, writesUnknown } = of.counters;
  return { readsFailed, writesRefused, writesUnknown };
}

const NONE = { readsFailed: 0, writesRefused: 0, writesUnknown: 0 };

describe("three nodes whose members show each other certificates", () => {
  it("come from plain to required in two rolls, and no client notices once it has tried again", async () => {
    const authority = await TestAuthority.create("ours");
    await issueAll(authority);
    writeAuthorities(authority);
    const rolled = await start("off");
    await linked(rolled, 0);
    for (const next of ["allow", "require"] as const) {
      mode = next;
      for (const node of rolled.nodes) {
        await node.server?.stop();
        await rolled.startNode(node);
        await until("all up", async () => {
          const views = await Promise.all(rolled.nodes.map(viewOf));
          return views.every(({ members }) => members.every(({ health }) => health === "up"));
        });
      }
      await linked(rolled, 0);
    }
    await clients?.stop();
    expect(failures(clients as Clients)).toEqual(NONE);
    expect(clients?.counters.acknowledged).toBeGreaterThan(100);
  });

  it("take a new authority under load without a restart, and refuse the old one afterwards", async () => {
    const [first, second] = [await TestAuthority.create("first"), await TestAuthority.create("second")];
    await issueAll(first);
    writeAuthorities(first);
    const running = await start("require");
    await linked(running, 0);
    const reloads = () => Promise.all(running.nodes.map((node) => figure(node, "annulus_tls_reloads_total")));
    const taken = async (change: () => void | Promise<void>) => {
      const before = await reloads();
      await change();
      await until("the files are taken over", async () => {
        const now = await reloads();
        return now.every((count, index) => count > (before[index] ?? 0));
      });
    };
    await taken(() => writeAuthorities(first, second));
    await taken(() => issueAll(second));
    await taken(() => writeAuthorities(second));
    await clients?.stop();
    expect(failures(clients as Clients)).toEqual(NONE);
    const [restarted, refuser] = running.nodes as [ClusterNode, ClusterNode];
    await running.killNode(restarted);
    await running.startNode(restarted);
    await linked(running, 0);
    // The same process with the old authority's certificate, which is what its disk and its peers know it by.
    await running.killNode(restarted);
    writeIssued(restarted.name, await first.issue({ names: [`${restarted.name}.${DOMAIN}`] }));
    writeFileSync(fileOf(restarted.name, "ca"), first.pem + second.pem);
    const before = await figure(refuser, "annulus_transport_refused_strangers_total");
    await running.startNode(restarted, [], "alive");
    await until("it is refused", async () => {
      return (await figure(refuser, "annulus_transport_refused_strangers_total")) > before + 2;
    });
    expect(await figure(refuser, "annulus_transport_links")).toBe(1);
    const told = refuser.server?.output.split("\n").filter((line) => line.includes("stranger.refused")) ?? [];
    expect(new Set(told.map((line) => (JSON.parse(line) as { direction: string }).direction)).size).toBe(told.length);
    expect(told.length).toBeGreaterThan(0);
  });

  it("are not started with a certificate of another member, and say why", async () => {
    const authority = await TestAuthority.create("ours");
    await issueAll(authority);
    writeAuthorities(authority);
    writeIssued("node-1", await authority.issue({ names: [`node-2.${DOMAIN}`] }));
    await expect(start("require")).rejects.toThrow(
      /Cannot use the TLS files of the peer port: expected the DNS name node-1\.peers\.example in the certificate/,
    );
  });
});
