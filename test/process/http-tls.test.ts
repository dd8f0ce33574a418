/** A node whose data and admin ports speak TLS, as a process: the command line, a probe, and a renewed certificate. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { type ClusterNode, LocalCluster } from "../bench/cluster.ts";
import { sleep } from "../bench/processes.ts";
import { runCli } from "../cli/run-cli.ts";
import { type Issued, TestAuthority } from "../tls/authority.ts";

const RENEWED_WITHIN_MS = 60_000;

let directory: string;
let cluster: LocalCluster | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "annulus-http-tls-"));
});
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
  rmSync(directory, { recursive: true });
});

const at = (name: string) => join(directory, name);

function write({ certificate, key }: Issued): void {
  writeFileSync(at("tls.crt"), certificate);
  writeFileSync(at("tls.key"), key);
}

/** The fingerprint of the certificate that a port shows. */
function shown(port: number, authority: TestAuthority): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, ca: authority.pem }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

describe("a node whose data and admin ports speak TLS", () => {
  it("is used as ever, by https URLs, and shows a renewed certificate on both without a restart", async () => {
    const authority = await TestAuthority.create("ours");
    const issue = () => authority.issue({ names: ["localhost"], addresses: ["127.0.0.1"], uses: ["server"] });
    write(await issue());
    writeFileSync(at("ca.crt"), authority.pem);
    const files = (port: string) => ({
      [`ANNULUS_${port}_TLS_CERTIFICATE_FILE`]: at("tls.crt"),
      [`ANNULUS_${port}_TLS_KEY_FILE`]: at("tls.key"),
    });
    cluster = await LocalCluster.start({
      nodeCount: 1,
      directory: at("cluster"),
      tls: { authorities: authority.pem },
      settings: {
        ...files("DATA"),
        ...files("ADMIN"),
        ANNULUS_N: "1",
        ANNULUS_R: "1",
        ANNULUS_W: "1",
        ANNULUS_TLS_RELOAD_INTERVAL_MS: "100",
      },
    });
    const { dataPort, adminPort } = cluster.nodes[0] as ClusterNode;
    const env = {
      ANNULUS_URL: `https://127.0.0.1:${dataPort}`,
      ANNULUS_ADMIN_URL: `https://127.0.0.1:${adminPort}`,
      ANNULUS_CA_FILE: at("ca.crt"),
    };
    const run = async (...args: string[]) => {
      const { exitCode, stdout, stderr } = await runCli(args, { env });
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      return stdout.toString();
    };
    await run("put", "k", "value");
    expect(await run("get", "k")).toBe("value");
    expect(await run("status")).toContain("node-0");
    // As the operator has it in a pod.
    expect(await run("status", "--admin-url", `https://localhost:${adminPort}`)).toContain("node-0");
    const before = await shown(dataPort, authority);
    expect(await shown(adminPort, authority)).toBe(before);
    write(await issue());
    const startedMs = performance.now();
    for (const port of [dataPort, adminPort]) {
      while ((await shown(port, authority)) === before) {
        expect(performance.now() - startedMs).toBeLessThan(RENEWED_WITHIN_MS);
        await sleep(20);
      }
    }
    expect(await shown(dataPort, authority)).toBe(await shown(adminPort, authority));
    expect(await run("get", "k")).toBe("value");
  });
});
