/** Looks at what is to be trusted and shown before a connection is made with it: what fails then reads as a node that is away. */
import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { ClientTls } from "./http.ts";

/** Why it cannot be used; undefined where it can. */
export function tlsFaultOf({ authorities, certificate, key }: ClientTls): string | undefined {
  if ((certificate === undefined) !== (key === undefined))
    return "expected a certificate and its key, found one of them";
  if (authorities !== undefined) {
    const fault = thrownBy(() => new X509Certificate(authorities));
    if (fault !== undefined) return `expected certificates in PEM as authorities, found something else (${fault})`;
  }
  if (certificate === undefined || key === undefined) return undefined;
  const fault = thrownBy(() => createSecureContext({ cert: certificate, key }));
  return fault === undefined ? undefined : `expected a certificate in PEM and the key that belongs to it (${fault})`;
}

function thrownBy(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
