import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, beforeEach, describe, it } from "@jest/globals";
import { systemTime } from "../../../node/adapters/system.ts";
import { type Credentials, openCredentials } from "../../../node/adapters/tls/credentials.ts";
import { KvError } from "../../../node/core/errors.ts";
import type { Time, Timer } from "../../../node/ports.ts";
import { createRecordedTelemetry, type RecordedTelemetry } from "../../contract/recorded-telemetry.ts";
import { type Issued, TestAuthority } from "../../tls/authority.ts";

let authority: TestAuthority;
let first: Issued;
let second: Issued;
beforeAll(async () => {
  authority = await TestAuthority.create("ours");
  first = await authority.issue({ names: ["a"] });
  second = await authority.issue({ names: ["a"] });
});

let directory: string;
let telemetry: RecordedTelemetry;
let gauges: Map<string, () => number>;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "annulus-tls-"));
  telemetry = createRecordedTelemetry();
  gauges = new Map();
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Writes a version as a Kubernetes Secret is mounted: files are links through `..data`, which is swapped in one step. */
function mount(version: string, { certificate, key }: Issued): void {
  mkdirSync(join(directory, version));
  writeFileSync(join(directory, version, "tls.crt"), certificate);
  writeFileSync(join(directory, version, "tls.key"), key);
  writeFileSync(join(directory, version, "ca.crt"), authority.pem);
  symlinkSync(version, join(directory, "..next"));
  renameSync(join(directory, "..next"), join(directory, "..data"));
}

function open(time: Time = systemTime, reloadIntervalMs = 3_600_000): Promise<Credentials> {
  const at = (name: string) => join(directory, "..data", name);
  return openCredentials(
    { time, telemetry: { ...telemetry, gauge: (name, read) => gauges.set(name, () => Number(read())) } },
    {
      port: "peer",
      files: { certificate: at("tls.crt"), key: at("tls.key"), authorities: at("ca.crt") },
      purpose: { port: "the peer port", name: "a", isMutual: true },
      reloadIntervalMs,
    },
  );
}

describe("TLS files that are watched", () => {
  it("are taken over when a Secret is swapped, once", async () => {
    mount("v1", first);
    const credentials = await open();
    const before = credentials.current();
    const told: unknown[] = [];
    credentials.onChange((identity) => told.push(identity));
    await credentials.reload();
    assert.equal(credentials.current(), before);
    mount("v2", second);
    await credentials.reload();
    await credentials.reload();
    assert.notEqual(credentials.current().fingerprint, before.fingerprint);
    assert.deepEqual(told, [credentials.current()]);
    assert.deepEqual([telemetry.counted("annulus.tls.reloads"), telemetry.events], [1, ["tls.reloaded"]]);
    const days = (gauges.get("annulus.tls.expires.peer")?.() ?? 0) / 86_400;
    assert.ok(days > 29 && days <= 30, `expires in ${days} days`);
    credentials.stop();
  });

  it("stay as they were while new ones are half-written, which is counted each time and logged once", async () => {
    mount("v1", first);
    const credentials = await open();
    const before = credentials.current();
    const path = join(directory, "v1", "tls.crt");
    writeFileSync(path, second.certificate.slice(0, 200));
    for (let look = 0; look < 3; look++) await credentials.reload();
    writeFileSync(path, second.certificate);
    await credentials.reload(); // Another certificate beside the first one's key.
    assert.equal(credentials.current(), before);
    assert.equal(telemetry.counted("annulus.tls.reload_failures"), 4);
    assert.deepEqual(telemetry.events, ["tls.reload_failed", "tls.reload_failed"]);
    writeFileSync(join(directory, "v1", "tls.key"), second.key);
    await credentials.reload();
    assert.notEqual(credentials.current().fingerprint, before.fingerprint);
    credentials.stop();
  });

  it("stay as they were while they are gone, and are logged again when they go again", async () => {
    mount("v1", first);
    const credentials = await open();
    const before = credentials.current();
    for (let time = 0; time < 2; time++) {
      renameSync(join(directory, "..data"), join(directory, "gone"));
      await credentials.reload();
      renameSync(join(directory, "gone"), join(directory, "..data"));
      await credentials.reload();
    }
    assert.equal(credentials.current(), before);
    assert.deepEqual(telemetry.events, ["tls.reload_failed", "tls.reload_failed"]);
    credentials.stop();
  });

  it("are looked at again and again, and no more after the stop", async () => {
    mount("v1", first);
    let timers = 0;
    let due: (() => void) | undefined;
    const after = (delayMs: number, run: () => void): Timer => {
      assert.equal(delayMs, 5_000);
      timers++;
      due = run;
      return { cancel: () => (due = undefined) };
    };
    const credentials = await open({ ...systemTime, after }, 5_000);
    mount("v2", second);
    due?.();
    while (timers < 2) await sleep(1);
    assert.equal(telemetry.counted("annulus.tls.reloads"), 1);
    credentials.stop();
    assert.equal(due, undefined);
  });

  it("refuse the start when they cannot be read, and say which", async () => {
    mount("v1", first);
    rmSync(join(directory, "v1", "tls.key"));
    await assert.rejects(open(), (error: unknown) => {
      assert.ok(error instanceof KvError && error.code === "INVALID_REQUEST");
      assert.match(error.message, /TLS files of the peer port: expected to read .*tls\.key, found an error \(ENOENT/);
      return true;
    });
  });
});
