import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "@jest/globals";
import { ConfigError, loadConfig } from "../node/config.ts";
import { settingsTable } from "../node/config-table.ts";

const REQUIRED = { ANNULUS_CLUSTER: "test", ANNULUS_NODE: "n1", ANNULUS_DATA_DIR: "/data" };
const noFile = (): string => assert.fail("no file is named");
const load = (settings: Record<string, string>) => loadConfig({ ...REQUIRED, ...settings }, noFile);

/** What the start is refused with. */
function problemsOf(settings: Record<string, string | undefined>, readFile = noFile): readonly string[] {
  try {
    loadConfig(settings, readFile);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return assert.fail("the settings were taken");
}

describe("the settings of a node", () => {
  it("need a cluster, a name and a data directory, and have defaults for all else", () => {
    const config = load({});
    assert.equal(config.clusterId, "test");
    assert.deepEqual([config.dataPort, config.adminPort, config.peerPort, config.host], [7400, 7401, 7402, "0.0.0.0"]);
    assert.deepEqual(
      [config.partitionCount, config.replicationFactor, config.readQuorum, config.writeQuorum, config.mode],
      [512, 3, 2, 2, "sloppy"],
    );
    assert.deepEqual([config.requestTimeoutMs, config.gossipIntervalMs, config.phiThreshold], [1000, 1000, 8]);
    assert.deepEqual([config.hintWindowMs, config.repairIntervalMs], [10_800_000, 30_000]);
    assert.deepEqual([config.pairBytesMax, config.siblingCountMax, config.contextEntriesMax], [10_240, 50, 32]);
    assert.deepEqual([config.durability, config.zone, config.weight], ["os", "default", 100]);
    assert.ok(Object.isFrozen(config));
  });

  it("come from the file that ANNULUS_CONFIG names, and from the environment before that", () => {
    const file = '# a node\nANNULUS_NODE="n7"\nANNULUS_R=1\nANNULUS_W=3\nOTHER=x\n';
    const environment = {
      ANNULUS_CLUSTER: "c",
      ANNULUS_DATA_DIR: "/d",
      ANNULUS_W: "2",
      ANNULUS_CONFIG: "/etc/annulus",
    };
    const config = loadConfig(environment, (path) => {
      assert.equal(path, "/etc/annulus");
      return file;
    });
    assert.deepEqual([config.nodeName, config.readQuorum, config.writeQuorum], ["n7", 1, 2]);
  });

  it("take OpenTelemetry's variables that the table names, look at no others of its, and trace nothing without being told", () => {
    const off = load({ OTEL_PROPAGATORS: "b3", OTEL_SDK_DISABLED: "" }).telemetry;
    assert.deepEqual(off, {
      isDisabled: false,
      endpoint: undefined,
      exportIntervalMs: 60_000,
      sampler: "always_off",
      ratio: 1,
    });
    const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
    const sampled = { ...collector, OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" };
    const { endpoint, sampler, ratio } = load(sampled).telemetry;
    assert.deepEqual([endpoint, sampler, ratio], ["http://collector:4318", "parentbased_traceidratio", 0.01]);
    const nowhere = problemsOf({ ...REQUIRED, OTEL_TRACES_SAMPLER: "always_on" });
    assert.match(nowhere.join(), /OTEL_TRACES_SAMPLER: expected `always_off` where OTEL_EXPORTER_OTLP_ENDPOINT/);
    const wrong = problemsOf({ ...REQUIRED, ...collector, OTEL_TRACES_SAMPLER_ARG: "1.5", OTEL_SDK_DISABLED: "yes" });
    assert.equal(wrong.length, 2);
  });

  it("are advertised under the member's own address, the listen address or the host name, in this order", () => {
    const members = "n1=db-1.local:7402,n2=db-2.local:7402,n3=db-3.local:7402";
    assert.equal(load({ ANNULUS_ADVERTISE: "pod-1:9", ANNULUS_MEMBERS: members }).advertisedAddress, "pod-1:9");
    assert.equal(load({ ANNULUS_MEMBERS: members }).advertisedAddress, "db-1.local:7402");
    assert.equal(load({ ANNULUS_HOST: "10.0.0.7", ANNULUS_PEER_PORT: "8" }).advertisedAddress, "10.0.0.7:8");
    assert.equal(load({ ANNULUS_HOST: "fd00::7" }).advertisedAddress, "[fd00::7]:7402");
    assert.match(load({}).advertisedAddress, /^.+:7402$/);
  });

  it("name the first members with address, zone and weight", () => {
    const text = "n2=[::1]:2@z2 , n1=a:1@z1*50,n3=c.d:3*200,n4=e:4,";
    assert.deepEqual(load({ ANNULUS_MEMBERS: text }).firstMembers, [
      { name: "n1", address: "a:1", zone: "z1", weight: 50, state: "active" },
      { name: "n2", address: "[::1]:2", zone: "z2", weight: 100, state: "active" },
      { name: "n3", address: "c.d:3", zone: "default", weight: 200, state: "active" },
      { name: "n4", address: "e:4", zone: "default", weight: 100, state: "active" },
    ]);
  });

  it("name the TLS files of the peer port, and are refused while one is missing", () => {
    const files = {
      ANNULUS_PEER_TLS: "require",
      ANNULUS_PEER_TLS_CERTIFICATE_FILE: "/tls/crt",
      ANNULUS_PEER_TLS_KEY_FILE: "/tls/key",
    };
    assert.deepEqual(problemsOf({ ...REQUIRED, ...files }), [
      "ANNULUS_PEER_TLS_CA_FILE: expected a file's path, since ANNULUS_PEER_TLS is require; found none",
    ]);
    assert.deepEqual(load({ ...files, ANNULUS_PEER_TLS_CA_FILE: "/tls/ca" }).tls, {
      peer: {
        mode: "require",
        files: { certificate: "/tls/crt", key: "/tls/key", authorities: "/tls/ca" },
        domain: undefined,
      },
      data: undefined,
      admin: undefined,
      reloadIntervalMs: 10_000,
    });
    assert.equal(load({}).tls.peer, undefined);
  });

  it("leave the command line's and the operator's variables alone", () => {
    load({ ANNULUS_URL: "http://a", ANNULUS_ADMIN_URL: "http://b", ANNULUS_OPERATOR_LEASE: "x" });
  });
});

describe("a node's start is refused", () => {
  it.each([
    ["ANNULUS_CLUSTR", "a", /ANNULUS_CLUSTR: there is no such setting; did you mean ANNULUS_CLUSTER\?/],
    ["ANNULUS_SERVICE_HOST", "a", /ANNULUS_SERVICE_HOST: there is no such setting/],
    ["ANNULUS_NODE", "N1", /ANNULUS_NODE: expected 1 to 63 of .*, found "N1"/],
    ["ANNULUS_CLUSTER", "", /ANNULUS_CLUSTER: expected 1 to 128/],
    ["ANNULUS_DATA_PORT", "65536", /ANNULUS_DATA_PORT: expected a whole number from 0 to 65535, found "65536"/],
    ["ANNULUS_DATA_PORT", "7402", /three different ports/],
    ["ANNULUS_PEER_PORT", "0", /ANNULUS_PEER_PORT: expected a whole number from 1/],
    ["ANNULUS_TIMEOUT_MS", "1e3", /ANNULUS_TIMEOUT_MS: expected a whole number/],
    ["ANNULUS_TIMEOUT_MS", " 5", /ANNULUS_TIMEOUT_MS: expected a whole number/],
    ["ANNULUS_TIMEOUT_MS", "-5", /ANNULUS_TIMEOUT_MS: expected a whole number/],
    ["ANNULUS_TIMEOUT_MS", "", /ANNULUS_TIMEOUT_MS: expected a whole number/],
    ["ANNULUS_PAIR_BYTES_MAX", "1048577", /ANNULUS_PAIR_BYTES_MAX: expected a whole number from 2048 to 1048576/],
    ["ANNULUS_PARTITIONS", "500", /ANNULUS_PARTITIONS: expected a power of two, found 500/],
    ["ANNULUS_R", "4", /ANNULUS_R: expected at most ANNULUS_N \(3\), found 4/],
    ["ANNULUS_W", "4", /ANNULUS_W: expected at most ANNULUS_N \(3\), found 4/],
    ["ANNULUS_MODE", "lazy", /ANNULUS_MODE: expected `sloppy` or `strict`, found "lazy"/],
    ["ANNULUS_DURABILITY", "fsync", /ANNULUS_DURABILITY: expected `os` or `disk`/],
    ["ANNULUS_ADVERTISE", "host", /ANNULUS_ADVERTISE: expected host:port/],
    ["ANNULUS_SEEDS", "a:1,b", /ANNULUS_SEEDS: expected host:port .*found "b"/],
    ["ANNULUS_MEMBERS", "n1=a:1,n1=b:1", /ANNULUS_MEMBERS: .*n1 is listed twice/],
    ["ANNULUS_MEMBERS", "n1=a:1,n2=a:1", /ANNULUS_MEMBERS: expected another address for each member/],
    ["ANNULUS_ANONYMOUS_DATA", "read", /ANNULUS_ANONYMOUS_DATA: expected ANNULUS_ACCESS_FILE beside it/],
    ["ANNULUS_ANONYMOUS_CLUSTER", "monitor", /ANNULUS_ANONYMOUS_CLUSTER: expected ANNULUS_ACCESS_FILE beside it/],
    ["ANNULUS_ANONYMOUS_CLUSTER", "admin", /ANNULUS_ANONYMOUS_CLUSTER: expected `none` or `monitor`/],
    ["ANNULUS_ACCESS_FILES", "/f", /ANNULUS_ACCESS_FILES: .*did you mean ANNULUS_ACCESS_FILE\?/],
    ["ANNULUS_MEMBERS", "n1=a:1@z*10001", /ANNULUS_MEMBERS: .*"n1=a:1@z\*10001"/],
    ["ANNULUS_MEMBERS", "n1", /ANNULUS_MEMBERS: .*name=host:peerPort@zone\*weight, found "n1"/],
    ["ANNULUS_PEER_TLS", "on", /ANNULUS_PEER_TLS: expected `off` or `allow` or `require`, found "on"/],
    ["ANNULUS_PEER_TLS_KEY_FILE", "/k", /ANNULUS_PEER_TLS: expected `allow` or `require`, since .*_KEY_FILE is set/],
    [
      "ANNULUS_ADMIN_TLS_KEY_FILE",
      "/k",
      /ANNULUS_ADMIN_TLS_CERTIFICATE_FILE: .*since ANNULUS_ADMIN_TLS_KEY_FILE is set/,
    ],
    [
      "ANNULUS_DATA_TLS_CERTIFICATE_FILE",
      "/c",
      /ANNULUS_DATA_TLS_KEY_FILE: .*ANNULUS_DATA_TLS_CERTIFICATE_FILE is set/,
    ],
    ["ANNULUS_PEER_TLS_DOMAIN", "a b", /ANNULUS_PEER_TLS_DOMAIN: expected a domain/],
    ["ANNULUS_MEMBERS", "n1=a:1,n2=b:1", /ANNULUS_N: expected at most the 2 members of ANNULUS_MEMBERS, found 3/],
  ])("when %s is %j", (name, value, expected) => {
    const problems = problemsOf({ ...REQUIRED, [name]: value });
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.match(problems.join(), expected);
  });

  it("with one message that names all problems at once", () => {
    const problems = problemsOf({ ANNULUS_R: "x", ANNULUS_MOOD: "strict" });
    const named = problems.map((problem) => problem.slice(0, problem.indexOf(":"))).sort();
    assert.deepEqual(named, ["ANNULUS_CLUSTER", "ANNULUS_DATA_DIR", "ANNULUS_MOOD", "ANNULUS_NODE", "ANNULUS_R"]);
  });

  it("when the settings file cannot be read, naming the file", () => {
    const problems = problemsOf({ ...REQUIRED, ANNULUS_CONFIG: "/nowhere" }, () => {
      throw new Error("no such file");
    });
    assert.deepEqual(problems, ['ANNULUS_CONFIG: expected a readable file, found "/nowhere" (no such file)']);
  });

  it("when the settings file holds an unknown name", () => {
    const problems = problemsOf({ ...REQUIRED, ANNULUS_CONFIG: "f" }, () => "ANNULUS_WIGHT=5\n");
    assert.deepEqual(problems, ["ANNULUS_WIGHT: there is no such setting; did you mean ANNULUS_WEIGHT?"]);
  });
});

describe("docs/configuration.md", () => {
  it("holds the table that `annulus node --settings` prints", () => {
    const page = readFileSync(new URL("../docs/configuration.md", import.meta.url), "utf8");
    const table = /<!-- settings: begin -->\n([\s\S]*)<!-- settings: end -->/.exec(page)?.[1];
    assert.equal(table, settingsTable());
  });
});
