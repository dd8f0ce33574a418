/** Quantities as Kubernetes writes them (`10Gi`, `500m`), read as numbers. */

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
const QUANTITY = /^(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$/;
/** What reading them as numbers may make of equal ones. */
const TOLERANCE = 1e-9;

/** The number that a quantity stands for (bytes, cores), or undefined when it is none. */
export function readQuantity(text: string | number | undefined): number | undefined {
  if (typeof text === "number") return text;
  const match = QUANTITY.exec(text ?? "");
  if (match === null) return undefined;
  return Number(match[1]) * 10 ** Number(match[2] ?? 0) * (FACTORS[match[3] ?? ""] as number);
}

/** Whether both are quantities, and stand for the same: the API server writes `1000m` as `1`. */
export function isSameQuantity(a: unknown, b: unknown): boolean {
  const [one, other] = [a, b].map((value) => (typeof value === "string" ? readQuantity(value) : undefined));
  if (one === undefined || other === undefined) return false;
  return Math.abs(one - other) <= TOLERANCE * Math.max(one, other);
}
