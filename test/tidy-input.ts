/**
 * Rules against hostile input that a machine can check, by the syntax tree of what is shipped (`tidy.test.ts` applies them):
 *
 * - No text may hold a regular expression up: each literal is analysed (tidy-patterns.ts), and none is put together at run
 *   time, where nobody could.
 * - No text may become the name of a property of an object that inherits from others: `object[name] = value` with a name
 *   that is `__proto__` changes what the object is. What has names that are not known is a Map, or made at once by
 *   Object.fromEntries or a spread, which define properties and set none. Elements of arrays are told from properties by what
 *   the file itself declares them to be.
 */
import { parseSync } from "@swc/core";
import type { Finding, SourceFile } from "./tidy.ts";
import { slowness } from "./tidy-patterns.ts";

type Tree = { readonly type: string; readonly span?: { readonly start: number }; readonly [field: string]: unknown };

/** Everything that the rules find wrong with one file. */
export function inputFindings({ path, text }: SourceFile): Finding[] {
  if (!/^(node|operator)\//.test(path)) return [];
  // The parser counts bytes from where the first token of a file stands: one that is known is put before it.
  const source = `;\n${text.replace(/^#!/, "//")}`;
  const module = parseSync(source, { syntax: "typescript", target: "es2024" }) as unknown as Tree;
  const base = module.span?.start ?? 0;
  const bytes = Buffer.from(source);
  const declared: Declared = new Map();
  visit(module, (tree) => declare(tree, declared));
  const found: Finding[] = [];
  visit(module, (tree) => {
    const line = () =>
      bytes
        .subarray(0, (tree.span?.start ?? base) - base)
        .toString()
        .split("\n").length - 1;
    for (const message of complaints(tree, declared)) found.push({ path, line: line(), message });
  });
  return found;
}

function visit(tree: unknown, look: (tree: Tree) => void): void {
  if (typeof tree !== "object" || tree === null) return;
  if ("type" in tree && typeof tree.type === "string") look(tree as Tree);
  for (const part of Object.values(tree)) visit(part, look);
}

function complaints(tree: Tree, declared: Declared): string[] {
  switch (tree.type) {
    case "RegExpLiteral":
      return slowness(String(tree.pattern), String(tree.flags));
    case "NewExpression":
    case "CallExpression":
      if (nameOf(tree.callee) === "RegExp")
        return ["a regular expression is put together at run time: write it as a literal, or do without"];
      return assigns(tree) ? ["Object.assign sets properties of names that are not known: spread them"] : [];
    case "AssignmentExpression":
      return setsProperty(tree.left as Tree, declared);
    case "UpdateExpression":
      return setsProperty(tree.argument as Tree, declared);
    default:
      return [];
  }
}

/** `Object.assign` from anything but literals. */
function assigns({ callee, arguments: given }: Tree): boolean {
  const { type, object, property } = (callee ?? {}) as Tree;
  if (type !== "MemberExpression" || nameOf(object) !== "Object" || nameOf(property) !== "assign") return false;
  const sources = (given as { readonly expression: Tree }[]).slice(1);
  return sources.some(({ expression }) => expression.type !== "ObjectExpression");
}

function setsProperty(target: Tree, declared: Declared): string[] {
  if (target.type === "ParenthesisExpression") return setsProperty(target.expression as Tree, declared);
  if (target.type !== "MemberExpression") return [];
  const property = target.property as Tree;
  if (property.type !== "Computed") return [];
  const key = property.expression as Tree;
  if (key.type === "NumericLiteral" || key.type === "StringLiteral") return [];
  const name = nameOf(target.object);
  if (name !== undefined && isArray(name, target.span?.start ?? 0, declared)) return [];
  const what = name ?? "an expression";
  return [
    `${what} is not declared here to be an array, and a property of it is set by a name that is not known: use a Map, Object.fromEntries or a spread`,
  ];
}

/** `name` of an identifier, `#name` of `this.#name`, `.name` of `a.name`. */
function nameOf(tree: unknown): string | undefined {
  const { type, value, property, id, expression } = (tree ?? {}) as Tree;
  if (type === "PrivateName") return `#${String(value ?? (id as Tree | undefined)?.value)}`;
  if (type === "Identifier") return String(value);
  if (type === "MemberExpression" && (property as Tree).type === "PrivateName") return nameOf(property);
  if (type === "MemberExpression" && (property as Tree).type !== "Computed") return `.${nameOf(property)}`;
  if (type === "ParenthesisExpression" || type === "TsNonNullExpression") return nameOf(expression);
  return undefined;
}

/** What a file says of a name, at each place that declares it, in order: a type, or a value. */
type Declared = Map<string, { readonly at: number; readonly type: unknown; readonly value: unknown }[]>;

/** Whether a name at a place is an array's, by the last declaration before it, which is the nearest as files are written. */
function isArray(name: string, at: number, declared: Declared, seen: readonly string[] = []): boolean {
  const places = declared.get(name) ?? [];
  const place = places.findLast((one) => one.at <= at) ?? places[0];
  if (place === undefined || seen.includes(name)) return false;
  return isArrayType(place.type) || isArrayValue(place.value, place.at, declared, [...seen, name]);
}

function declare(tree: Tree, declared: Declared): void {
  const note = (name: string | undefined, type: unknown, value: unknown) => {
    if (name !== undefined)
      declared.set(name, [...(declared.get(name) ?? []), { at: tree.span?.start ?? 0, type, value }]);
  };
  switch (tree.type) {
    case "VariableDeclarator": {
      const id = tree.id as Tree;
      if (id.type === "Identifier") note(nameOf(id), id.typeAnnotation, tree.init);
      if (id.type !== "ArrayPattern" || (tree.init as Tree | null)?.type !== "ArrayExpression") return;
      const values = (tree.init as Tree).elements as ({ expression: Tree } | null)[];
      (id.elements as (Tree | null)[]).forEach((one, at) => {
        note(nameOf(one), undefined, values[at]?.expression);
      });
      return;
    }
    case "ArrowFunctionExpression":
      for (const one of tree.params as Tree[]) note(nameOf(one), one.typeAnnotation, undefined);
      return;
    case "Parameter":
      return note(nameOf(tree.pat), (tree.pat as Tree).typeAnnotation, undefined);
    case "ClassMethod":
    case "PrivateMethod":
      return note(memberOf(tree.key), (tree.function as Tree).returnType, undefined);
    case "KeyValueProperty":
      return note(memberOf(tree.key), undefined, tree.value);
    case "FunctionDeclaration":
      return note(nameOf(tree.identifier), tree.returnType, undefined);
    case "ClassProperty":
    case "PrivateProperty":
    case "TsPropertySignature":
      return note(memberOf(tree.key), tree.typeAnnotation, tree.value);
    default:
  }
}

function memberOf(key: unknown): string | undefined {
  const name = nameOf(key);
  return name === undefined || name.startsWith("#") ? name : `.${name}`;
}

/** Types and constructors of which every property that is set by a computed name is an element. */
const ARRAY = /^(Readonly)?(Array|Buffer|(Big)?(Ui|I)nt\d+(Clamped)?Array|Float\d+Array)$/;
/** Calls that answer with an array. */
const MAKERS: ReadonlySet<string> = new Set(
  ["alloc", "allocUnsafe", "from", "fill", "map", "slice", "subarray", "split"].map((name) => `.${name}`),
);

function isArrayType(annotation: unknown): boolean {
  const { type, typeAnnotation, typeName } = (annotation ?? {}) as Tree;
  if (type === "TsTypeAnnotation" || type === "TsTypeOperator") return isArrayType(typeAnnotation);
  return type === "TsArrayType" || (type === "TsTypeReference" && ARRAY.test(nameOf(typeName) ?? ""));
}

function isArrayValue(value: unknown, at: number, declared: Declared, seen: readonly string[]): boolean {
  const { type, callee, expression } = (value ?? {}) as Tree;
  switch (type) {
    case "TsAsExpression":
    case "ParenthesisExpression":
      return isArrayValue(expression, at, declared, seen);
    case "ArrayExpression":
      return true;
    case "NewExpression":
      return ARRAY.test(nameOf(callee) ?? "");
    case "CallExpression": {
      const name = nameOf(callee) ?? "";
      return MAKERS.has(name) || isArray(name, at, declared, seen);
    }
    case "Identifier":
    case "MemberExpression":
      return isArray(nameOf(value) ?? "", at, declared, seen);
    default:
      return false;
  }
}
