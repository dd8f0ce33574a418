/** Opens the TLS files that the settings name, for each port that has some. */

import type { PeerTls } from "./adapters/tcp/secure-network.ts";
import { type Credentials, openCredentials } from "./adapters/tls/credentials.ts";
import type { NodeConfig } from "./config.ts";
import type { Telemetry, Time } from "./ports.ts";

type Ports = { readonly time: Time; readonly telemetry: Telemetry };

/** The TLS of a node's ports; undefined where a port is plain. */
export type TlsPorts = {
  readonly peer: PeerTls | undefined;
  readonly data: Credentials | undefined;
  readonly admin: Credentials | undefined;
  /** Looks at the files no more. */
  stop(): void;
};

/** @throws {KvError} INVALID_REQUEST: a file cannot be read or is wrong; the message says which, and what to do. */
export async function openTlsPorts(ports: Ports, { tls, nodeName }: NodeConfig): Promise<TlsPorts> {
  const { reloadIntervalMs } = tls;
  const openFor = async (port: "data" | "admin"): Promise<Credentials | undefined> => {
    const files = tls[port];
    if (files === undefined) return undefined;
    const purpose = { port: `the ${port} port`, name: undefined, isMutual: false };
    return openCredentials(ports, { port, files, purpose, reloadIntervalMs });
  };
  const peer = tls.peer === undefined ? undefined : await openPeer(ports, tls.peer, { nodeName, reloadIntervalMs });
  const [data, admin] = [await openFor("data"), await openFor("admin")];
  return {
    peer,
    data,
    admin,
    stop() {
      for (const credentials of [peer?.credentials, data, admin]) credentials?.stop();
    },
  };
}

async function openPeer(
  ports: Ports,
  { mode, files, domain }: NonNullable<NodeConfig["tls"]["peer"]>,
  { nodeName, reloadIntervalMs }: { readonly nodeName: string; readonly reloadIntervalMs: number },
): Promise<PeerTls> {
  const certifiedName = (member: string) => (domain === undefined ? member : `${member}.${domain}`);
  const purpose = { port: "the peer port", name: certifiedName(nodeName), isMutual: true };
  const credentials = await openCredentials(ports, { port: "peer", files, purpose, reloadIntervalMs });
  return { credentials, mode, certifiedName };
}
