/** A store that speaks TLS on all its ports, and what its members show: read from its Secrets and from its ports. */
import assert from "node:assert/strict";
import { AUTHORITY_FILE, certificatesIn } from "../../operator/core/certificates.ts";
import { tlsName } from "../../operator/core/names.ts";
import { listAt, textAt } from "../../operator/core/objects.ts";
import { STRICT_QUORUM } from "./history-load.ts";
import { get } from "./kubectl.ts";
import { createStore, NAME, type Store } from "./store.ts";
import { ask, figureIn, type Shown, shownBy } from "./tls-clients.ts";

export const DATA_PORT = 7400;
export const ADMIN_PORT = 7401;
export const PEER_PORT = 7402;
const PORTS = [DATA_PORT, ADMIN_PORT, PEER_PORT] as const;

/** Members hold each other to certificates, and clients, too; files are looked at so often that a test can wait for it. */
export const TLS_SPEC = {
  storage: { size: "1Gi" },
  partitions: 64,
  quorum: STRICT_QUORUM,
  tls: { peers: true, admin: true, data: true },
  config: {
    ANNULUS_DATA_TLS_CLIENT_CA_FILE: `/etc/annulus-tls/${AUTHORITY_FILE}`,
    ANNULUS_TLS_RELOAD_INTERVAL_MS: "1000",
  },
};

export type TlsStore = {
  readonly store: Store;
  readonly members: readonly string[];
  /** What follows a member's name in its certificate. */
  readonly domain: string;
  /** The name by which clients know it. */
  readonly service: string;
  /** A file of one of the store's Secrets. */
  fileOf(secret: string, file: string): Promise<string>;
  /** The authorities that members trust, PEM. */
  authorities(): Promise<string>;
  /** What a member is to show of itself, by the Secret. */
  shownOf(member: string): Promise<Shown>;
  addressOf(member: string): Promise<string>;
  /** A figure of a member's metrics, over TLS. */
  figureOf(member: string, name: string): Promise<number>;
  /** Whether all ports of a member show the certificate that is in the Secret. */
  showsIt(member: string): Promise<boolean>;
  /** A setting with which the members are started. */
  settingOf(name: string): Promise<string>;
};

/** Makes the handle; nothing is there before `store.install(TLS_SPEC)`. */
export function createTlsStore(namespace: string): TlsStore {
  const store = createStore(namespace);
  const domain = `${NAME}-peers.${namespace}.svc`;

  async function fileOf(secret: string, file: string): Promise<string> {
    const text = textAt(await get(namespace, "secret", secret), "data", file);
    return Buffer.from(text ?? assert.fail(`${secret} has no ${file}`), "base64").toString();
  }
  const inMounted = (file: string) => fileOf(tlsName(NAME), file);
  const authorities = () => inMounted(AUTHORITY_FILE);
  const shownOf = async (member: string) => ({
    cert: await inMounted(`${member}.crt`),
    key: await inMounted(`${member}.key`),
  });
  const addressOf = async (member: string) =>
    textAt(await get(namespace, "pod", member), "status", "podIP") ?? assert.fail(`${member} has no address`);

  return {
    store,
    members: [0, 1, 2].map((ordinal) => `${NAME}-${ordinal}`),
    domain,
    service: `${NAME}.${namespace}.svc`,
    fileOf,
    authorities,
    shownOf,
    addressOf,
    async figureOf(member, name) {
      const place = { host: await addressOf(member), port: ADMIN_PORT, servername: `${member}.${domain}` };
      return figureIn((await ask(place, "/metrics", { ca: await authorities() })).body, name);
    },
    async showsIt(member) {
      const [host, ca, shown] = await Promise.all([addressOf(member), authorities(), shownOf(member)]);
      const servername = `${member}.${domain}`;
      const seen = await Promise.all(PORTS.map((port) => shownBy({ host, port, servername }, { ca, ...shown })));
      const [wanted] = certificatesIn(shown.cert);
      return seen.every((fingerprint) => fingerprint === wanted?.fingerprint256);
    },
    async settingOf(name) {
      const [pod] = await store.pods();
      const settings = listAt(pod, "spec", "containers", 0, "env");
      const found = settings.find((setting) => textAt(setting, "name") === name);
      return textAt(found, "value") ?? assert.fail(`${name} is not set`);
    },
  };
}
