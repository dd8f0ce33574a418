/** Where no cluster asks for TLS, certificates must never be made. */
import assert from "node:assert/strict";
import type { CertificateMaker } from "../../operator/ports.ts";

export const NO_CERTIFICATES: CertificateMaker = {
  createAuthority: () => assert.fail("no cluster asks for TLS"),
  issue: () => assert.fail("no cluster asks for TLS"),
};
