/** The admin ports of a store's members as pods of the cluster come to them: over TLS, known by the store's own authority. */
import assert from "node:assert/strict";
import { AUTHORITY_FILE, TLS_DIRECTORY } from "../../operator/core/certificates.ts";
import { ADMIN_PORT, peersName, tlsName } from "../../operator/core/names.ts";
import { textAt } from "../../operator/core/objects.ts";
import { get } from "./kubectl.ts";

/** Node.js in a member's own pod, which trusts the store's authority then; and where its node is found there. */
export const NODE_IN_POD = ["env", `NODE_EXTRA_CA_CERTS=${TLS_DIRECTORY}/${AUTHORITY_FILE}`, "node", "-e"] as const;
export const ADMIN_URL_IN_POD = `https://localhost:${ADMIN_PORT}`;

/** The authorities by which a store's members are known, as whoever may read its Secret gets them: PEM. */
export async function authoritiesOf(namespace: string, name: string): Promise<string> {
  const held = textAt(await get(namespace, "secret", tlsName(name)), "data", AUTHORITY_FILE);
  return Buffer.from(held ?? assert.fail(`${tlsName(name)} has no ${AUTHORITY_FILE}`), "base64").toString();
}

/** What follows a member's name in DNS and in its certificate; it stands there by itself, too. */
export const domainOf = (namespace: string, name: string) => `${peersName(name)}.${namespace}.svc`;

/** Where a member's admin port is, by the name that its certificate holds. */
export function adminUrl(namespace: string, name: string, ordinal = 0): string {
  return `https://${name}-${ordinal}.${domainOf(namespace, name)}:${ADMIN_PORT}`;
}

export type Asked = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly ca: string;
  /** The name that the certificate must hold, where that is not the URL's. */
  readonly servername?: string;
};

export type Answered = { readonly status: number; readonly type: string; readonly text: string };

/**
 * Asks over TLS from within a pod.
 *
 * @param inPod Runs a script of Node.js there, and resolves with what it printed.
 */
export async function askFrom(
  inPod: (script: string) => Promise<string>,
  url: string,
  { body, ...options }: Asked,
): Promise<Answered> {
  const script = `
    require("node:https").request(${JSON.stringify(url)}, ${JSON.stringify(options)}, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (more) => (text += more));
      answer.on("end", () =>
        console.log(JSON.stringify({status: answer.statusCode, type: answer.headers["content-type"], text})));
    }).end(${JSON.stringify(body)})`;
  return JSON.parse(await inPod(script)) as Answered;
}
