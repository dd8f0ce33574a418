// The dependencies as locked: known weaknesses, licences, and a CycloneDX SBOM for each image.
//
//   node .ci/supply-chain.js            checks; what a registry cannot be asked is said and is no failure
//   node .ci/supply-chain.js sbom DIR   writes DIR/node.cdx.json and DIR/operator.cdx.json
//
// Without network the licences are checked and the SBOMs can be made all the same: both come from the lock file.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

// Permissive ones: nothing that is shipped may ask for its own terms to be passed on.
const LICENCES = new Set(
  "MIT ISC Apache-2.0 BSD-2-Clause BSD-3-Clause 0BSD BlueOak-1.0.0 Unlicense PSF-2.0 CC0-1.0 Python-2.0".split(" "),
);
// Data and programs that tests and build tools use as they are; never shipped.
const FOR_DEVELOPMENT = new Set(["CC-BY-4.0", "MPL-2.0"]);
// What node/Dockerfile leaves out of the node's image.
const NOT_IN_NODE_IMAGE = /^@kubernetes\//;

/** Whether a licence expression holds: one of several by OR, all of several by AND. */
function isAllowed(expression, isForDevelopment) {
  return expression
    .replace(/[()]/g, "")
    .split(" OR ")
    .some((choice) =>
      choice.split(" AND ").every((one) => LICENCES.has(one) || (isForDevelopment && FOR_DEVELOPMENT.has(one))),
    );
}

/** Packages whose licence is none of the above, or not said. */
export function badLicences(lock, licenceOf) {
  return Object.entries(lock.packages).flatMap(([path, entry]) => {
    if (path === "" || entry.link) return [];
    const licence = entry.license ?? licenceOf(path);
    // An optional package for another machine is not here to be asked; its siblings are.
    if (licence === undefined && entry.optional) return [];
    if (licence !== undefined && isAllowed(licence, entry.dev === true)) return [];
    return [`${path}: ${licence ?? "no licence"}`];
  });
}

function installedLicence(path) {
  try {
    const { license, licenses } = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
    // Old packages have a list of objects; any of them may be chosen.
    const choices = [license ?? licenses ?? []].flat().map((one) => (typeof one === "string" ? one : one.type));
    return choices.length === 0 ? undefined : choices.join(" OR ");
  } catch {
    return undefined;
  }
}

/**
 * What `npm audit --json` says: findings, or why there is no answer. `grave`: of what is shipped, and high or critical.
 *
 * @param isShipped Of a path in the lock file.
 */
export function readAudit(text, isShipped) {
  let report;
  try {
    report = JSON.parse(text);
  } catch {
    return { unanswered: "it is no JSON" };
  }
  if (report.auditReportVersion === undefined) {
    return { unanswered: report.message ?? report.error?.summary ?? "no report" };
  }
  const grave = [];
  const light = [];
  for (const { name, severity, range, via, nodes } of Object.values(report.vulnerabilities ?? {})) {
    const what = via.map((one) => (typeof one === "string" ? one : `${one.title} ${one.url}`)).join("; ");
    const isGrave = (severity === "high" || severity === "critical") && nodes.some(isShipped);
    (isGrave ? grave : light).push(`${name} ${range}: ${severity}: ${what}`);
  }
  return { grave, light };
}

function check() {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
  // Of optional packages for other machines npm records neither version nor digest.
  const unlocked = Object.entries(lock.packages)
    .filter(([path, entry]) => path !== "" && !entry.link && !entry.optional && entry.integrity === undefined)
    .map(([path]) => `${path}: the lock file has no digest of it`);
  const licences = badLicences(lock, installedLicence);
  const { stdout } = spawnSync("npm", ["audit", "--json"], { encoding: "utf8", timeout: 120_000 });
  const audit = readAudit(stdout ?? "", (path) => lock.packages[path]?.dev !== true);
  const { unanswered, grave = [], light = [] } = audit;
  for (const finding of light) process.stderr.write(`to be looked at: ${finding}\n`);
  if (unanswered !== undefined) process.stderr.write(`npm audit: the registry did not answer: ${unanswered}\n`);
  const problems = [...unlocked, ...licences, ...grave];
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  const count = Object.keys(lock.packages).length - 1;
  const asked = unanswered === undefined ? "weaknesses, " : "";
  process.stdout.write(`${count} packages (${asked}licences, digests): ${problems.length} problems\n`);
  return problems.length === 0;
}

/** Without the packages that an image leaves out, and what only they need. */
export function without(bom, isLeftOut) {
  const dependsOn = new Map(bom.dependencies.map(({ ref, dependsOn = [] }) => [ref, dependsOn]));
  const names = new Map(
    bom.components.map((one) => [one["bom-ref"], one.group ? `${one.group}/${one.name}` : one.name]),
  );
  const reached = new Set();
  const queue = [bom.metadata.component["bom-ref"]];
  for (let ref = queue.pop(); ref !== undefined; ref = queue.pop()) {
    if (reached.has(ref) || isLeftOut(names.get(ref) ?? "")) continue;
    reached.add(ref);
    queue.push(...(dependsOn.get(ref) ?? []));
  }
  return {
    ...bom,
    components: bom.components.filter((one) => reached.has(one["bom-ref"])),
    dependencies: bom.dependencies
      .filter(({ ref }) => reached.has(ref))
      .map(({ ref, dependsOn: all = [] }) => ({ ref, dependsOn: all.filter((one) => reached.has(one)) })),
  };
}

function writeSboms(folder) {
  const arguments_ = [
    "sbom",
    "--sbom-format",
    "cyclonedx",
    "--sbom-type",
    "application",
    "--omit",
    "dev",
    "--package-lock-only",
  ];
  const bom = JSON.parse(execFileSync("npm", arguments_, { encoding: "utf8", maxBuffer: 1 << 26 }));
  mkdirSync(folder, { recursive: true });
  // The images bring a Node.js of their own: the package `node` is for checkouts.
  const isRuntime = (name) => /^node(-bin-setup|-linux-.*)?$/.test(name);
  const images = {
    node: (name) => isRuntime(name) || NOT_IN_NODE_IMAGE.test(name),
    operator: isRuntime,
  };
  for (const [image, isLeftOut] of Object.entries(images)) {
    const own = without(bom, isLeftOut);
    own.metadata.component = { ...own.metadata.component, name: image === "node" ? "annulus" : "annulus-operator" };
    writeFileSync(join(folder, `${image}.cdx.json`), `${JSON.stringify(own, null, 1)}\n`);
    process.stdout.write(`${join(folder, `${image}.cdx.json`)}: ${own.components.length} packages\n`);
  }
}

if (import.meta.main) {
  if (process.argv[2] === "sbom") writeSboms(process.argv[3] ?? "dist/sbom");
  else if (!check()) process.exitCode = 1;
}
