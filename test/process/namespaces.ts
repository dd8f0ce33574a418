/**
 * Machines of a test: network namespaces with a cable each to one bridge, whose links can be cut.
 *
 *     test ── 198.18.x.254 ── bridge ─┬─ veth ── eth0 198.18.x.1 (namespace of host 0)
 *                                     ├─ veth ── eth0 198.18.x.2 (namespace of host 1)
 *                                     └─ ...
 *
 * A cut is silent, as a firewall that drops is: the sender is given a wrong hardware address for the other, for good, so
 * that its packets reach nobody and nobody says so. It works in one direction; what comes the other way still arrives,
 * but its acknowledgement does not. Unplugging takes a cable out at the bridge: neither peers nor clients reach the host.
 * The addresses are those set aside for such tests (RFC 2544). Takes root; nothing is skipped where that is missing.
 */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import type { Undo } from "./undo.ts";

export type Host = {
  readonly namespace: string;
  readonly address: string;
  /** The bridge's end of its cable. */
  readonly cable: string;
};

/** Locally administered, and nobody's. */
const NOBODYS_ADDRESS = "02:00:00:00:00:01";
const HOSTS_MAX = 200;

const run = promisify(execFile);

async function ip(...args: readonly string[]): Promise<void> {
  await run("ip", [...args]);
}

export class Namespaces {
  readonly hosts: readonly Host[];
  readonly #cuts = new Map<string, readonly [from: Host, to: Host]>();
  readonly #unplugged = new Set<Host>();

  private constructor(hosts: readonly Host[]) {
    this.hosts = hosts;
  }

  /** Makes them; `undo` takes them away again, with every process inside. */
  static async create(undo: Undo, count: number): Promise<Namespaces> {
    assert(count >= 1 && count <= HOSTS_MAX, "a bridge has room for so many");
    const network = freeNetwork();
    const bridge = `annulus${process.pid}`;
    undo.with(`! ip link show ${bridge} >/dev/null 2>&1 || ip link delete ${bridge}`);
    undo.with(`! command -v iptables >/dev/null || iptables -D FORWARD -i ${bridge} -j ACCEPT 2>/dev/null || true`);
    // Where Docker has been, what crosses a bridge is filtered like what is routed, and dropped by default.
    await run("sh", ["-c", `! command -v iptables >/dev/null || iptables -I FORWARD -i ${bridge} -j ACCEPT`]);
    await ip("link", "add", bridge, "type", "bridge");
    await ip("address", "add", `${network}.254/24`, "dev", bridge);
    await ip("link", "set", bridge, "up");
    const hosts: Host[] = [];
    for (let index = 0; index < count; index++) {
      const namespace = `annulus-${process.pid}-${index}`;
      const cable = `anv${process.pid}-${index}`;
      const address = `${network}.${index + 1}`;
      undo.with(removeNamespace(namespace));
      // With its namespace it would go too, but some time later: the next test's cable has the same name.
      undo.with(`! ip link show ${cable} >/dev/null 2>&1 || ip link delete ${cable}`);
      await ip("netns", "add", namespace);
      await ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace);
      await ip("link", "set", cable, "master", bridge, "up");
      await ip("-n", namespace, "address", "add", `${address}/24`, "dev", "eth0");
      await ip("-n", namespace, "link", "set", "lo", "up");
      await ip("-n", namespace, "link", "set", "eth0", "up");
      hosts.push({ namespace, address, cable });
    }
    return new Namespaces(hosts);
  }

  /** From now on what `from` sends to `to` is lost. */
  async cut(from: Host, to: Host): Promise<void> {
    await neighbour("replace", from, to, "lladdr", NOBODYS_ADDRESS, "nud", "permanent");
    this.#cuts.set(`${from.namespace} ${to.namespace}`, [from, to]);
  }

  /** Cuts each of some hosts off from each of the others, both ways. Clients still reach all. */
  async isolate(some: readonly Host[]): Promise<void> {
    const others = this.hosts.filter((host) => !some.includes(host));
    const pairs = some.flatMap((one) => others.map((other) => [one, other] as const));
    await Promise.all(pairs.flatMap(([one, other]) => [this.cut(one, other), this.cut(other, one)]));
  }

  /** Takes the cables out. */
  async unplug(some: readonly Host[]): Promise<void> {
    for (const host of some) {
      await ip("link", "set", host.cable, "down");
      this.#unplugged.add(host);
    }
  }

  /** Ends every cut and plugs every cable in again. */
  async heal(): Promise<void> {
    for (const host of this.#unplugged) await ip("link", "set", host.cable, "up");
    this.#unplugged.clear();
    for (const [from, to] of this.#cuts.values()) await neighbour("delete", from, to);
    this.#cuts.clear();
  }
}

/** Sets or removes what `from` believes to be the hardware address of `to`. */
async function neighbour(
  action: "replace" | "delete",
  from: Host,
  to: Host,
  ...rest: readonly string[]
): Promise<void> {
  await ip("-n", from.namespace, "neighbour", action, to.address, "dev", "eth0", ...rest);
}

/** Kills what runs in a namespace, waits until it is gone, and removes the namespace. */
function removeNamespace(namespace: string): string {
  const pids = `ip netns pids ${namespace}`;
  const killed = `for i in $(seq 100); do p=$(${pids}); [ -z "$p" ] && break; kill -9 $p 2>/dev/null; sleep 0.1; done`;
  return `[ ! -e /run/netns/${namespace} ] || { ${killed}; ip netns delete ${namespace}; }`;
}

/** The first three bytes of a network of 256 addresses in which this machine has none. */
function freeNetwork(): string {
  const links = JSON.parse(execFileSync("ip", ["-json", "-4", "address", "show"], { encoding: "utf8" })) as {
    readonly addr_info: readonly { readonly local: string }[];
  }[];
  const taken = new Set(links.flatMap(({ addr_info }) => addr_info.map(({ local }) => local.replace(/\.\d+$/, ""))));
  const networks = Array.from({ length: 256 }, (_, index) => `198.18.${(process.pid + index) % 256}`);
  const free = networks.find((network) => !taken.has(network));
  assert(free !== undefined, "some network of 198.18.0.0/16 is free");
  return free;
}
