/** Clients and peers of a store that speaks TLS: those that are let in, and strangers. */
import { randomBytes } from "node:crypto";
import { request } from "node:https";
import { connect, createSecureContext } from "node:tls";
import { systemTime } from "../../node/adapters/system.ts";
import { type GreetingResult, greetByDialling } from "../../node/adapters/tcp/greeting.ts";
import { TRANSPORT_LIMITS } from "../../node/adapters/tcp/limits.ts";
import { secureNetwork } from "../../node/adapters/tcp/secure-network.ts";
import { socketNetwork } from "../../node/adapters/tcp/sockets.ts";

/** A certificate and its key, PEM. */
export type Shown = { readonly cert: string; readonly key: string };

export type Place = { readonly host: string; readonly port: number };
/** `servername`: what must stand in the certificate. */
export type SecurePlace = Place & { readonly servername: string };

const PATIENCE_MS = 10_000;

/** A GET over TLS. Rejects where the connection is refused. */
export function ask(
  place: SecurePlace,
  path: string,
  tls: { readonly ca: string } & Partial<Shown>,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...place, path, ...tls, agent: false, timeout: PATIENCE_MS }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        body += chunk;
      });
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
      answer.on("error", reject);
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)));
    asked.on("error", reject);
    asked.end();
  });
}

/** The value of a metric without labels. */
export function figureIn(text: string, name: string): number {
  const line = text.split("\n").find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`));
  return Number(line?.split(" ").at(-1) ?? 0);
}

/** The fingerprint of the certificate that a port shows. */
export function shownBy(place: SecurePlace, tls: { readonly ca: string } & Shown): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...place, ...tls }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

export type Visitor = {
  readonly clusterId: string;
  /** The member that it says it is. */
  readonly as: string;
  /** The member that it means. */
  readonly meant: string;
  readonly ca: string;
  /** Its certificate; undefined: it shows none. */
  readonly shown: Shown | undefined;
  /** Whether it speaks no TLS at all. */
  readonly isPlain: boolean;
};

/** Says hello on a peer port, as a member that wants to ask something; what it is answered. */
export function greet({ host, port }: Place, visitor: Visitor): Promise<GreetingResult> {
  const { clusterId, as, meant } = visitor;
  const instance = randomBytes(8).toString("hex");
  const context = {
    time: systemTime,
    limits: TRANSPORT_LIMITS,
    self: { clusterId, name: as, instance },
    introduce: (role: "member" | "visitor", expects: string | undefined) => ({
      ...{ clusterId, role, name: as, expects, incarnation: 1, sequence: 1 },
      actor: randomBytes(16).toString("hex"),
      instance,
    }),
  };
  const target = { address: `${host}:${port}`, meant, role: "visitor" } as const;
  return new Promise((resolve) => {
    greetByDialling(context, networkOf(visitor), target, (result) => {
      if (result.kind === "linked") result.wire.destroy();
      resolve(result);
    });
  });
}

/** Whom it meets is not judged here, but for being able to speak TLS. */
function networkOf({ shown, ca, isPlain }: Visitor) {
  if (isPlain) return socketNetwork();
  const options = { ca, minVersion: "TLSv1.3" as const, ...shown };
  const identity = { options, context: createSecureContext(options), expiresAtMs: 0, fingerprint: "" };
  const credentials = { current: () => identity, onChange() {}, async reload() {}, stop() {} };
  return secureNetwork({ credentials, mode: "allow", certifiedName: (member) => member });
}
