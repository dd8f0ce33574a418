/** The rules of `tidy.test.ts`, each a function from one source file to what is wrong with it. */

export type SourceFile = { readonly path: string; readonly text: string };
export type Finding = { readonly path: string; readonly line: number; readonly message: string };

/** Turns an import's specifier into a path from the repository's top; a package's name is left as it is. */
export type Resolve = (from: string, specifier: string) => string;

type Layer = {
  /** Paths that belong to the layer. */
  readonly files: RegExp;
  /** Paths and packages that the layer may import. */
  readonly mayImport: readonly RegExp[];
};

/** The one allowed direction. The first layer that a path matches is its own; see `docs/architecture.md`. */
const LAYERS: readonly Layer[] = [
  { files: /^node\/core\//, mayImport: [/^node\/core\//, /^node:assert/, /^node:crypto$/, /^xxhash-wasm$/] },
  { files: /^node\/(ports|messages(-\w+)*)\.ts$/, mayImport: [/^node\/core\//, /^node\/messages(-\w+)*\.ts$/] },
  {
    files: /^node\/services\//,
    mayImport: [/^node\/(core|services)\//, /^node\/(ports|messages)\.ts$/, /^node:assert/, /^lru-cache$/],
  },
  { files: /^node\/node\.ts$/, mayImport: [/^node\/(core|services)\//, /^node\/(ports|messages)\.ts$/] },
  {
    files: /^node\/adapters\/http\//,
    mayImport: [
      /^node\/(adapters\/(http|tls)|core)\//,
      /^node\/adapters\/followed-files\.ts$/,
      /^node\/(ports|messages)\.ts$/,
      /^node\/services\/coordinator\.ts$/,
      /^node:/,
      /^express$/,
      /^zod$/,
    ],
  },
  {
    files: /^node\/adapters\/tcp\//,
    mayImport: [
      /^node\/(adapters\/(tcp|tls)|core)\//,
      /^node\/(ports|messages(-\w+)*)\.ts$/,
      /^node:/,
      /^msgpackr(\/pack|\/unpack)?$/,
    ],
  },
  {
    files: /^node\/adapters\/level\//,
    mayImport: [/^node\/(adapters\/level|core)\//, /^node\/ports\.ts$/, /^node:/, /^classic-level$/],
  },
  {
    files: /^node\/adapters\/telemetry\//,
    mayImport: [
      /^node\/(adapters\/telemetry|core)\//,
      /^node\/ports\.ts$/,
      /^node:/,
      /^pino(-pretty)?$/,
      /^@opentelemetry\//,
    ],
  },
  {
    files: /^node\/adapters\/tls\//,
    mayImport: [/^node\/(adapters\/tls|core)\//, /^node\/adapters\/followed-files\.ts$/, /^node\/ports\.ts$/, /^node:/],
  },
  // In the browser: what it takes from the core are types, of which nothing is left in the page.
  { files: /^node\/console\//, mayImport: [/^node\/(console|core\/watch)\//] },
  { files: /^node\/adapters\/followed-files\.ts$/, mayImport: [/^node\/core\//, /^node\/ports\.ts$/] },
  { files: /^node\/adapters\/system\.ts$/, mayImport: [/^node\/ports\.ts$/, /^node:/] },
  { files: /^node\/config(-\w+)?\.ts$/, mayImport: [/^node\/core\//, /^node\/config/, /^node:(util|os)$/, /^zod$/] },
  { files: /^node\/(main|node-settings|salvage-directory|tls-ports)\.ts$/, mayImport: [/^node\//, /^node:/] },
  {
    files: /^node\/client\//,
    mayImport: [/^node\/(client|core)\//, /^node:/, /^undici(\/lib\/dispatcher\/pool\.js)?$/],
  },
  {
    files: /^node\/cli\//,
    mayImport: [
      /^node\/(cli|client|core)\//,
      /^node\/(config(-\w+)?|main|salvage-directory)\.ts$/,
      /^node:/,
      /^(commander|cli-progress|csv-parse|zod|pino-pretty|@aws-sdk\/client-s3)$/,
    ],
  },
  { files: /^operator\/api\//, mayImport: [/^operator\/api\//, /^zod$/, /^yaml$/] },
  { files: /^operator\/config\.ts$/, mayImport: [/^zod$/] },
  { files: /^operator\/gen\.ts$/, mayImport: [/^operator\/api\//, /^node:/] },
  {
    files: /^operator\/core\//,
    mayImport: [/^operator\/(core|api)\//, /^node\/core\/(errors|ring\/\w+)\.ts$/, /^node:(assert|crypto)/],
  },
  { files: /^operator\/ports\.ts$/, mayImport: [/^operator\/(core|api)\//, /^node\/ports\.ts$/] },
  {
    files: /^operator\/(services\/|operator\.ts$)/,
    mayImport: [/^operator\/(core|api|services)\//, /^(operator|node)\/ports\.ts$/, /^node:assert/],
  },
  {
    files: /^operator\/adapters\//,
    mayImport: [
      /^operator\/(adapters|core|api)\//,
      /^(operator|node)\/ports\.ts$/,
      /^node\/adapters\/(system|telemetry\/telemetry)\.ts$/,
      /^node:/,
      /^(@kubernetes\/client-node|@peculiar\/x509|reflect-metadata|undici|zod)$/,
    ],
  },
  {
    files: /^operator\/main\.ts$/,
    mayImport: [
      /^operator\//,
      /^node\/adapters\/(system|telemetry\/telemetry)\.ts$/,
      /^node\/ports\.ts$/,
      /^node:/,
      /^@kubernetes\/client-node$/,
    ],
  },
  { files: /^test\//, mayImport: [/./] },
];

/** Calls that reach for the real world; in the pure part of the tree they would make one seed give two runs. */
const BANNED: readonly [RegExp, string][] = [
  [/\bDate\b\s*[.(]/, "Date: take Time from the ports"],
  [/\bnew Date\b/, "Date: take Time from the ports"],
  [/\bperformance\s*\./, "performance: take Time from the ports"],
  [/\bMath\.random\b/, "Math.random: take Random from the ports"],
  [/\bcrypto\.random\w*/, "crypto.random: take Random from the ports"],
  [/\b(setTimeout|setInterval|setImmediate|queueMicrotask)\s*\(/, "setTimeout and its kin: use Time.after"],
  [/\bAbortSignal\.timeout\b/, "AbortSignal.timeout: use Time.after"],
  [/\bprocess\s*\./, "process: configuration and signals belong to main.ts"],
  [/\bconsole\s*\./, "console: use Telemetry.log"],
];

const LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

/** Everything that the rules find wrong with one file. */
export function findings(file: SourceFile, resolve: Resolve): Finding[] {
  const lines = file.text.split("\n");
  const found: Finding[] = [];
  const add = (line: number, message: string) => found.push({ path: file.path, line: line + 1, message });
  checkImports(file, resolve, add);
  if (lines.length > LINES_MAX + 1) add(LINES_MAX, `the file is over ${LINES_MAX} lines: split it by job`);
  if (!file.path.endsWith(".test.ts") && !/^(#!.*\n)?\s*\/\*\*/.test(file.text))
    add(0, "the file has no header that says what it is");
  checkLines(file.path, lines, add);
  if (!file.path.startsWith("test/")) {
    checkDocComments(lines, add);
    checkFunctionLengths(lines, add);
  }
  return found;
}

type Add = (line: number, message: string) => void;

function checkImports(file: SourceFile, resolve: Resolve, add: Add): void {
  const layer = LAYERS.find(({ files }) => files.test(file.path));
  if (layer === undefined) return add(0, "the file belongs to no layer: give it one in test/tidy.ts");
  for (const match of file.text.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/gm)) {
    const target = resolve(file.path, match[1] ?? match[2] ?? "");
    if (layer.mayImport.some((allowed) => allowed.test(target))) continue;
    add(file.text.slice(0, match.index).split("\n").length - 1, `${file.path} may not import ${target}`);
  }
}

function checkLines(path: string, lines: readonly string[], add: Add): void {
  const pure = /^(node|operator)\/(api|core|services)\/|^node\/node\.ts$|^operator\/operator\.ts$/.test(path);
  lines.forEach((line, index) => {
    const code = line.replace(/(^|\s)(\/\/|\*|\/\*).*/, "");
    if (pure) for (const [call, instead] of BANNED) if (call.test(code)) add(index, `calls ${instead}`);
    if (/^(node|operator)\/core\//.test(path) && /\basync\b|\bPromise\b|\.then\(/.test(code))
      add(index, "the core has no promise");
    if (/\.catch\(\(\w*\)\s*=>\s*(\{\s*\}|undefined)\)|catch\s*(\(\w+\))?\s*\{\s*\}/.test(code)) {
      add(index, "an error is swallowed: handle it, or say in code why it is none");
    }
    if (/^export default\b/.test(code) && !path.endsWith("config.js"))
      add(index, "no default exports: names are searched for");
    if (/\b(TODO|FIXME|XXX|HACK)\b/.test(line) && !path.startsWith("test/tidy"))
      add(index, "a leftover: finish it or file an issue");
    if (/\b(it|test|describe)\.(skip|only|todo)\b/.test(code) && !path.startsWith("test/tidy"))
      add(index, "a leftover: a test that does not run");
  });
}

function checkDocComments(lines: readonly string[], add: Add): void {
  lines.forEach((line, index) => {
    if (!/^export (async )?(function|class)\b/.test(line)) return;
    if (!/\*\/\s*$/.test(lines[index - 1] ?? "")) add(index, "an exported function or class has no doc comment");
  });
}

/** Measures functions and methods by their indentation, which the formatter keeps true. */
function checkFunctionLengths(lines: readonly string[], add: Add): void {
  lines.forEach((line, index) => {
    const start =
      /^(\s*)(?:export )?(?:async )?(?:function\b|(?:static |async |get |set |#)*[\w#]+\([^;]*\)(?::[^;=]*)?\s*\{$)/.exec(
        line,
      );
    if (start === null || /^\s*(if|for|while|switch|catch|return|else|describe|it)\b/.test(line)) return;
    const indent = start[1] ?? "";
    const end = lines.findIndex(
      (other, at) => at > index && (other === `${indent}}` || other === `${indent}},` || other === `${indent}};`),
    );
    if (end - index - 1 > FUNCTION_LINES_MAX && !/^(export )?function create[A-Z]/.test(line)) {
      add(index, `the function is over ${FUNCTION_LINES_MAX} lines`);
    }
  });
}
