/**
 * What a KVBackup's pods do, as processes on this machine: the Job's very arguments and variables, with real nodes that ask for
 * tokens and whose admin ports speak TLS, onto a directory and into a store that speaks S3; the operator's reading of what they leave; and the example of a restore.
 *
 * In place of the kubelet only files and addresses are put where they are here.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { parseAllDocuments } from "yaml";
import { parseBackup } from "../../operator/api/kvbackup.ts";
import { parseCluster } from "../../operator/api/kvcluster.ts";
import { readTry } from "../../operator/core/backup/facts.ts";
import { scheduledRuns, singleRun } from "../../operator/core/backup/resources.ts";
import { rightsOf } from "../../operator/core/backup/rights.ts";
import { at, type KubeObject, listAt, textAt } from "../../operator/core/objects.ts";
import { LocalCluster } from "../bench/cluster.ts";
import { checkoutDirectory } from "../bench/processes.ts";
import { startS3 } from "../cli/s3.ts";
import { backupManifest } from "../operator/backup-manifests.ts";
import { manifest } from "../operator/manifests.ts";
import { TestAuthority } from "../tls/authority.ts";
import { ask } from "./http.ts";

const TEST_TIMEOUT_MS = 120_000;
const POLICY = { nodeImage: "annulus:test", operatorNamespace: "annulus-system", adminTls: true };
const PAIRS = 300;
/** The program's exit code at which the Job is not tried again. */
const EXIT_FINAL = 2;

type Made = { readonly token: string; readonly entry: { readonly name: string } };
type Ended = { readonly code: number; readonly told: ReturnType<typeof readTry>; readonly stderr: string };

let folder: string;
let source: LocalCluster;
let target: LocalCluster;
let tokens: { readonly client: Made; readonly backup: Made; readonly wrong: Made };

/** The image's entry point, read where it is written, with the program of this checkout. */
function entryPoint(): string[] {
  const text = readFileSync(join(checkoutDirectory(), "node", "Dockerfile"), "utf8");
  const [, list = ""] = /^ENTRYPOINT (\[.*\])$/m.exec(text) ?? [];
  const [program, ...rest] = JSON.parse(list) as string[];
  assert.equal(program, "node");
  return rest.map((argument) => argument.replace(/^dist\//, `${checkoutDirectory()}/dist/`));
}

function execute(args: readonly string[], env: Readonly<Record<string, string>>) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(process.execPath, [...args], { env }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
    child.stdin?.end();
  });
}

/** What the kubelet does with a container: mounts, Secrets and names in DNS are those of `here`, what it leaves is a pod's status. */
async function runContainer(
  template: unknown,
  {
    cluster,
    secrets = {},
    mounts,
  }: {
    readonly cluster: LocalCluster;
    readonly secrets?: Readonly<Record<string, string>>;
    readonly mounts: Readonly<Record<string, string>>;
  },
): Promise<Ended> {
  const container = at(template, "spec", "containers", 0);
  const terminationFile = join(folder, "termination-log");
  writeFileSync(terminationFile, "");
  const places = Object.entries({ ...mounts, "/dev/termination-log": terminationFile });
  const here = (text: string) => {
    const moved = places.reduce((sum, [inside, outside]) => sum.replaceAll(inside, outside), text);
    return moved.replace(/https:\/\/[a-z]+-(\d)\.[a-z]+-peers\.default\.svc:7401/g, (_, ordinal) => {
      const node = cluster.nodes[Number(ordinal)];
      return `https://${node?.host}:${node?.adminPort}`;
    });
  };
  const env: [string, string][] = listAt(container, "env").flatMap((variable) => {
    const name = textAt(variable, "name") ?? "";
    const key = textAt(variable, "valueFrom", "secretKeyRef", "key");
    const value = key === undefined ? here(textAt(variable, "value") ?? "") : secrets[key];
    return value === undefined ? [] : [[name, value]];
  });
  const args = listAt(container, "args").map((argument) => here(String(argument)));
  const image = { PATH: process.env.PATH ?? "", NODE_ENV: "production", ANNULUS_DATA_DIR: "/data" };
  const ended = await execute([...entryPoint(), ...args], { ...image, ...Object.fromEntries(env) });
  const written = readFileSync(terminationFile, "utf8");
  // FallbackToLogsOnError.
  const message = written === "" && ended.code !== 0 ? ended.stderr : written;
  const status = { phase: "Failed", containerStatuses: [{ state: { terminated: { exitCode: ended.code, message } } }] };
  const pod: KubeObject = { apiVersion: "v1", kind: "Pod", metadata: { name: "x" }, status };
  return { code: ended.code, told: readTry(pod, 0), stderr: ended.stderr };
}

/** The pod template of a run, and the Secrets' keys that it names as files. */
function templateOf(spec: Record<string, unknown>): unknown {
  const token = { name: "backup", secret: { name: "backup-token" }, data: "read", cluster: "monitor" };
  const [one, other] = [manifest({ access: { tokens: [token] } }), backupManifest({ token: "backup", ...spec })];
  const cluster = parseCluster({ ...one, metadata: { ...one.metadata, uid: "u" } }, POLICY);
  const backup = parseBackup({ ...other, metadata: { ...other.metadata, uid: "v" } });
  assert.ok(cluster.ok && backup.ok);
  const rights = rightsOf(cluster.cluster, backup.backup);
  assert.equal(rights.kind, "token");
  const parts = {
    cluster: cluster.cluster,
    backup: backup.backup,
    isAdminSecure: cluster.cluster.spec.tls.admin,
    policy: POLICY,
    rights,
  };
  if (backup.backup.spec.schedule === undefined) return at(singleRun(parts), "spec", "template");
  return at(scheduledRuns(parts), "spec", "jobTemplate", "spec", "template");
}

/** Mounted Secrets: of one token, and of the authority by which admin ports are known. */
function mounted({ token }: Made, file = "token"): Record<string, string> {
  const directory = mkdtempSync(join(folder, "access-"));
  writeFileSync(join(directory, file), `${token}\n`);
  return { "/etc/annulus-access": directory, "/etc/annulus-tls": join(folder, "authority") };
}

/** Settings by which admin ports speak TLS, and how they are known; the authority's certificate is where Secrets are mounted from. */
async function makeCertificates() {
  const authority = await TestAuthority.create("ours");
  const { certificate, key } = await authority.issue({ names: ["any"], addresses: ["127.0.0.1"] });
  const files = { "authority/ca.crt": authority.pem, "tls.crt": certificate, "tls.key": key };
  mkdirSync(join(folder, "authority"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const settings = {
    ANNULUS_ADMIN_TLS_CERTIFICATE_FILE: join(folder, "tls.crt"),
    ANNULUS_ADMIN_TLS_KEY_FILE: join(folder, "tls.key"),
  };
  return { settings, tls: { authorities: authority.pem } };
}

const onVolume = () => ({ cluster: source, mounts: { ...mounted(tokens.backup), "/backups": join(folder, "volume") } });
const place = () => join(folder, "volume", "sessions");
const backups = () => readdirSync(join(place(), "backups"));
const authorization = () => ({ Authorization: `Bearer ${tokens.client.token}` });

async function put(cluster: LocalCluster, index: number, body: string): Promise<void> {
  const node = cluster.nodes[index % cluster.nodes.length] ?? assert.fail();
  const { status } = await ask(node, "PUT", `pair-${index}`, { headers: authorization(), body });
  assert.equal(status, 204);
}

async function make(name: string, ...rights: string[]): Promise<Made> {
  const program = join(checkoutDirectory(), "dist/node/cli/main.js");
  const { stdout, stderr } = await execute([program, "token", name, ...rights], { PATH: process.env.PATH ?? "" });
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout) as Made;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "annulus-kvbackup-"));
  tokens = {
    client: await make("client", "--data", "read-write", "--cluster", "admin"),
    backup: await make("backup", "--data", "read", "--cluster", "monitor"),
    wrong: await make("wrong", "--data", "read"),
  };
  const table = join(folder, "tokens.json");
  writeFileSync(table, JSON.stringify({ tokens: Object.values(tokens).map(({ entry }) => entry) }));
  const { tls, settings: secured } = await makeCertificates();
  const settings = { ...secured, ANNULUS_ACCESS_FILE: table, ANNULUS_PARTITIONS: "32" };
  source = await LocalCluster.start({ settings, tls });
  target = await LocalCluster.start({ settings: { ...settings, ANNULUS_PARTITIONS: "16" }, tls });
  for (let index = 0; index < PAIRS; index += 1) await put(source, index, `value ${index}`);
}, TEST_TIMEOUT_MS);

afterAll(async () => {
  const complaints = [...(await source.stop()), ...(await target.stop())];
  rmSync(folder, { recursive: true });
  assert.deepEqual(complaints, []);
}, TEST_TIMEOUT_MS);

describe("a run of a KVBackup", () => {
  it(
    "onto a volume leaves a whole backup, and tells the operator of it",
    async () => {
      const { code, told, stderr } = await runContainer(templateOf({}), onVolume());
      assert.equal(code, 0, stderr);
      assert.equal(told.report?.keys, PAIRS);
      assert.equal(`${told.report?.backup}.json`, backups()[0]);
      assert.equal(told.report?.newBytes, told.report?.bytes);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "by a schedule adds what has changed, and prunes as retention says",
    async () => {
      await put(source, 3, "another");
      const spec = { schedule: "@daily", retention: { last: 1, daily: 1 }, rateMiBPerSecond: 50 };
      const [before] = backups();
      const { code, told, stderr } = await runContainer(templateOf(spec), onVolume());
      assert.equal(code, 0, stderr);
      assert.deepEqual([backups().length, backups()[0] !== before, told.report?.removed], [1, true, 1]);
      const { bytes = 0, newBytes = 0 } = told.report ?? {};
      assert.ok(newBytes > 0 && newBytes < bytes / 4, `${newBytes} of ${bytes}`);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "into a bucket takes the Secret's credentials",
    async () => {
      const s3 = await startS3();
      const { AWS_ENDPOINT_URL_S3: endpoint, ...secrets } = s3.environment;
      try {
        const store = { bucket: s3.bucket, prefix: `kvbackup/${Date.now()}`, endpoint, region: "eu-1" };
        const spec = {
          destination: { s3: { ...store, credentialsSecret: { name: "store" } } },
          retention: { last: 2 },
        };
        const here = { cluster: source, secrets, mounts: mounted(tokens.backup) };
        const { code, told, stderr } = await runContainer(templateOf(spec), here);
        assert.equal(code, 0, stderr);
        assert.deepEqual([told.report?.keys, told.report?.removed], [PAIRS, 0]);
      } finally {
        await s3.stop();
      }
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "with too few rights fails, and its last words say what it lacks",
    async () => {
      const here = { ...onVolume(), mounts: { ...onVolume().mounts, ...mounted(tokens.wrong) } };
      const { code, told } = await runContainer(templateOf({}), here);
      assert.equal(code, 1);
      assert.equal(told.report, undefined);
      assert.match(told.lastWords ?? "", /^403: .*monitor/);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "of another cluster into the same place ends as nothing that is tried again",
    async () => {
      const before = backups();
      const { code, told } = await runContainer(templateOf({}), { ...onVolume(), cluster: target });
      assert.equal(code, EXIT_FINAL);
      assert.match(told.lastWords ?? "", /holds backups of another cluster: name another place/);
      assert.deepEqual(backups(), before);
    },
    TEST_TIMEOUT_MS,
  );
});

describe("the example of a restore", () => {
  it(
    "brings every pair into another cluster",
    async () => {
      const path = join(checkoutDirectory(), "docs", "examples", "restore-job.yaml");
      const documents = parseAllDocuments(readFileSync(path, "utf8")).map((one) => one.toJS() as KubeObject);
      const template = at(
        documents.find(({ kind }) => kind === "Job"),
        "spec",
        "template",
      );
      // The cluster of the example lets everybody read and write, so that its administrator's token is enough there.
      const mounts = { "/backups": join(folder, "volume"), ...mounted(tokens.client, "admin-token") };
      assert.ok(existsSync(place()));
      const { code, stderr } = await runContainer(template, { cluster: target, mounts });
      assert.equal(code, 0, stderr);
      for (let index = 0; index < PAIRS; index += 1) {
        const node = target.nodes[index % 3] ?? assert.fail();
        const { status, body } = await ask(node, "GET", `pair-${index}`, { headers: authorization() });
        assert.equal(`${status} ${body}`, `200 ${index === 3 ? "another" : `value ${index}`}`);
      }
    },
    TEST_TIMEOUT_MS,
  );
});
